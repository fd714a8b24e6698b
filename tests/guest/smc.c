/* Self-modifying code: whatever is stored is what runs next, on the same block, page, through another
 * mapping, by any store, also across pages (SDM volume 3, section 11.6: a jump or the same linear address
 * suffices). */
#include "guest.h"

const char program_name[] = "smc";

#define WIN 0x08000000u
#define FRAME 0x01000000u
static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

/* In each snippet [edi] is what it rewrites. */
static void snippets(void)
{
    group("within a block");
    T("next instruction", P32, "mov byte ptr [edi], 5; mov cl, 1", .di = CODE + 4, .x = { { CX, 5 } });
    T("opcode of the next instruction", P32, "mov byte ptr [edi], 0x40; inc ecx", .di = CODE + 3,
      .x = { { AX, 1 }, { CX, 0 } });
    T("later in the block", P32, "mov byte ptr [edi], 7; inc eax; inc eax; mov cl, 1; inc eax",
      .di = CODE + 6, .x = { { CX, 7 }, { AX, 3 } });
    T("an earlier instruction of the loop", P32, "mov edx, 3; 1: add eax, 1; inc byte ptr [edi]; dec edx; "
      "jnz 1b", .di = CODE + 7,
      .x = { { AX, 1 + 2 + 3 } });
    T("an immediate in a hot loop", P32, "mov edx, 1000; 1: mov ecx, 0; add eax, ecx; inc dword ptr [edi]; "
      "dec edx; jnz 1b", .di = CODE + 6,
      .x = { { AX, 499500 } });
    T("push over the next instruction", P32, "mov esp, edi; push ecx; nop; nop; nop; nop", .di = CODE + 7,
      .cx = 0x42424242, .x = { { DX, 4 } });
    T("a prefix appears", P32, "mov byte ptr [edi], 0x66; nop; mov eax, 0x40cd", .di = CODE + 3,
      .ax = 0x11110000, .vec = DONE,
      .x = { { AX, 0x111140cd } });
    T("xchg", P32, "xchg [edi], cl; mov al, 1", .di = CODE + 3, .cx = 9, .x = { { AX, 9 }, { CX, 1 } });
    T("two bytes of it", P32, "mov word ptr [edi], 0x9090; inc ecx; inc ecx; inc ecx", .di = CODE + 5,
      .x = { { CX, 1 } });
    T("the running instruction itself", P32, "mov dword ptr [edi], 0x90909090; inc ecx", .di = CODE,
      .x = { { CX, 1 } });
    T("rep movsb of new code, then jump", P32, "rep movsb; jmp 1f\n" AT(0x40) "1: nop; nop; nop", .cx = 3,
      .si = DATA, .di = CODE + 0x40, .d = { 0x414242 },
      .x = { { DX, 2 }, { CX, 1 } });
    T("rep stosb ahead", P32, "rep stosb; nop; nop; nop; nop", .ax = 0x42, .cx = 4, .di = CODE + 2,
      .x = { { DX, 4 } });
    T("rep stosb ahead, downwards", P32, "std; rep stosb; nop; nop; nop; nop; cld", .ax = 0x42, .cx = 4, .di = CODE + 6,
      .x = { { DX, 4 } });
    T("rep stosw ahead, downwards", P32, "std; rep stosw; nop; nop; nop; nop; cld", .ax = 0x4243, .cx = 2,
      .di = CODE + 6, .x = { { DX, 2 }, { BX, DATA + 2 } });
    T("rep movsw over a loop, downwards", P32, "mov ebp, 2; 1: call 2f; std; rep movsw; cld; dec ebp; jnz 1b; jmp 3f\n"
      AT(0x40) "2: inc eax; nop; nop; nop; ret; 3:", .si = DATA + 2, .cx = 2, .di = CODE + 0x42,
      .d = { 0x42424242 }, .x = { { AX, 1 }, { DX, 4 } });
    T("rep movsb copies code over itself", P32, "mov ebp, 2; 1: call 2f; rep movsb; dec ebp; jnz 1b; jmp 3f\n"
      AT(0x40) "2: inc eax; nop; nop; nop; ret; 3:", .si = CODE + 0x40, .cx = 3, .di = CODE + 0x41, .x = { { AX, 5 } });
    T("add to an immediate by lock", P32, "lock add dword ptr [edi], 2; mov eax, 1", .di = CODE + 5,
      .x = { { AX, 3 } });
    T("cmpxchg8b over code", P32, "cmpxchg8b [edi]; nop; nop; nop; nop; nop; nop; nop; nop",
      .di = CODE + 3, .ax = 0x90909090, .dx = 0x90909090,
      .bx = 0x46464646, .cx = 0x47474747, .x = { { SI, 4 }, { DI, CODE + 3 + 4 } });
    T("fstp over code", P32, "fninit; fild qword ptr [ebx]; fistp qword ptr [edi]; nop; nop; nop; nop; nop; "
      "nop; nop; nop", .di = CODE + 6,
      .d = { 0x42424242, 0x41414141 }, .x = { { DX, 4 }, { CX, 4 } });
    T("jump target rewritten, forth and back", P32, "mov ebp, 4; 1: call 2f; "
      "xor byte ptr [edi], 0x40 ^ 0x42; dec ebp; jnz 1b; jmp 3f\n" AT(0x40)
      "2: inc eax; ret; 3:", .di = CODE + 0x40, .x = { { AX, 2 }, { DX, 2 } });
    T("conditional flipped each time", P32, "mov ebp, 10; 1: xor byte ptr [edi], 1; stc; jc 2f; inc ecx; "
      "jmp 3f; 2: inc edx; 3: dec ebp; jnz 1b",
      .di = CODE + 9, .x = { { CX, 5 }, { DX, 5 } });
    T("in real mode, next instruction", REAL, "mov byte ptr [6], 9; mov cl, 1", .ds = CODE >> 4,
      .x = { { CX, 9 } });
    T("in v86 mode", V86, "mov byte ptr [6], 9; mov cl, 1", .ds = CODE >> 4, .x = { { CX, 9 } });
    T("in ring 3", P32U, "mov byte ptr [edi], 5; mov cl, 1", .di = CODE + 4, .x = { { CX, 5 } });
    T("in a block that others have gone with", P32, "mov ecx, 36; mov eax, 0x10200; 1: call eax; add eax, 4; dec ecx; "
      "jnz 1b; sub eax, 72; mov dl, 0x90; jmp 2f\n" AT(0x80) "2: .set k, -72\n.rept 36\nmov [eax+k], dl\n"
      ".set k, k+4\n.endr\nmov byte ptr [edi], 5\n" AT(0xf0) "mov cl, 1; int 0x40\n" AT(0x200)
      ".rept 36\nret; nop; nop; nop\n.endr", .di = CODE + 0xf1, .x = { { CX, 5 } });
    T("a flag-setting instruction becomes a nop", P32, "cmp ecx, ecx; mov word ptr [edi], 0x9090; "
      "cmp eax, ebx; setz dl", .di = CODE + 7, .ax = 1,
      .x = { { DX, 1 } });
    if (HAS_LM) {
        T("in 64-bit mode", L64U, "mov dword ptr [rdi], 5; mov ecx, 1", .di = CODE + 7, .x = { { CX, 5 } });
        T("64-bit immediate", L64U, "mov [rdi], rdx; movabs rax, 1", .di = CODE + 5,
          .dx = 0x1122334455667788, .x = { { AX, 0x1122334455667788 } });
    }
}

typedef u32 function(void);

/* Functions that C writes into fresh, reused, and neighbouring memory, called many times. */
static void functions(void)
{
    group("generated functions");
    u32 wrong = 0;
    for (u32 i = 0; i < 3000; i++) {
        u32 where = PLAY + (i % 50) * 16;
        poke8(where, 0xb8);
        poke32(where + 1, i);
        poke8(where + 5, 0xc3);
        wrong += ((function *)where)() != i;
    }
    check("fresh code", wrong, 0);
    wrong = 0;
    for (u32 i = 0; i < 3000; i++) {
        poke32(PLAY + 1, i);
        wrong += ((function *)PLAY)() != i;
    }
    check("one immediate rewritten", wrong, 0);
    wrong = 0;
    for (u32 i = 0; i < 2000; i++) { /* data beside code on its page */
        poke32(PLAY + 0xf00, i);
        wrong += ((function *)PLAY)() != 2999 || peek32(PLAY + 0xf00) != i;
    }
    check("data beside code", wrong, 0);
    wrong = 0;
    for (u32 i = 0; i < 300; i++) { /* b8 imm32 c3 laid across two pages, each half rewritten in turn */
        u32 where = PLAY + 0x2000 - 1 - i % 5;
        poke8(where, 0xb8);
        poke32(where + 1, 0x01010101 * (i & 0xff));
        poke8(where + 5, 0xc3);
        wrong += ((function *)where)() != 0x01010101 * (i & 0xff);
        poke8(where + 4, 0x77);
        wrong += ((function *)where)() != ((0x01010101 * (i & 0xff) & 0xffffff) | 0x77000000);
        poke8(where + 1, 0x66);
        wrong += ((function *)where)() != ((0x01010101 * (i & 0xff) & 0xffff00) | 0x77000066);
    }
    check("an instruction across two pages", wrong, 0);
    wrong = 0;
    for (u32 i = 0; i < 200; i++) {
        static const u8 add[] = { 0xb8, 1, 0, 0, 0, 0x83, 0xc0, 2, 0xc3 }, sub[] = { 0xb8, 9, 0, 0, 0,
          0x83, 0xe8, 2, 0xc3 };
        memcpy((void *)at(PLAY + 0x3000), i & 1 ? sub : add, sizeof add);
        wrong += ((function *)(PLAY + 0x3000))() != (i & 1 ? 7 : 3);
    }
    check("two bodies in turn", wrong, 0);
}

/* Immediates that change before each call, whole, byte by byte, and together with the opcode in front: of
 * 05 (add), 35 (xor), 25 (and), 2d (sub), b8 (mov). */
static u32 applied(u8 opcode, u32 x, u32 v)
{
    switch (opcode) {
    case 0x05: return x + v;
    case 0x35: return x ^ v;
    case 0x25: return x & v;
    case 0x2d: return x - v;
    default: return v;
    }
}

static void immediates(void)
{
    static const u8 opcodes[] = { 0x05, 0x35, 0x25, 0x2d, 0xb8 };
    const u32 code = PLAY + 0x4000, at_op = code + 5, at_imm = code + 6, x = 0x12345678;
    group("immediates that change");
    for (u32 k = 0; k < sizeof opcodes; k++) {
        u8 op = opcodes[k];
        u32 wrong = 0, v = 0;
        poke8(code, 0xb8);
        poke32(code + 1, x);
        poke8(at_op, op);
        poke8(at_op + 5, 0xc3);
        for (u32 i = 0; i < 60; i++) {
            v = i * 0x9e3779b9;
            poke32(at_imm, v);
            wrong += ((function *)code)() != applied(op, x, v);
            v = (v & 0xffff00ff) | i << 8;
            poke8(at_imm + 1, (u8)i);
            wrong += ((function *)code)() != applied(op, x, v);
            u8 other = opcodes[(k + i) % sizeof opcodes];
            v = (v & 0xff000000) | (i * 0x10203 & 0xffffff);
            poke32(at_op, other | v << 8); /* the opcode and three bytes of the immediate */
            wrong += ((function *)code)() != applied(other, x, v);
            poke8(at_op, op);
            wrong += ((function *)code)() != applied(op, x, v);
        }
        check("add, xor, and, sub, mov", wrong, 0);
    }
    T("imm8 is sign-extended", P32, "mov edx, 200; 1: add eax, 1; dec byte ptr [edi]; dec edx; jnz 1b",
      .di = CODE + 7, .x = { { AX, (u32)-1780 } }); /* from 1 down to -128, from 127 down to 58 */
    T("imm16", P32, "mov edx, 50; 1: add ax, 1000; inc word ptr [edi]; dec edx; jnz 1b", .di = CODE + 7,
      .ax = 0xffff0000, .x = { { AX, 0xffff0000 | ((50 * 1000 + 49 * 25) & 0xffff) } });
    T("of a comparison", P32, "mov edx, 50; 1: cmp edx, 1; setl bl; add cl, bl; inc byte ptr [edi]; "
      "dec edx; jnz 1b",
      .di = CODE + 7, .cx = 0, .x = { { CX, 25 } });
    T("of the instruction that rewrites it", P32, "mov edx, 50; 1: add dword ptr [edi], 1; dec edx; jnz 1b",
      .di = CODE + 7, .x = { { DX, 0 } });
    for (u32 vector = 0x41; vector < 0x48; vector++)
        T("vector of an interrupt", P32, "mov [edi], dl; int 0x40; 99:", .di = CODE + 3, .dx = vector,
          .vec = INT(vector));
    T("stored by the same block", P32, "mov edx, 100; 1: mov [edi], edx; mov ecx, 5; add eax, ecx; dec edx; "
      "jnz 1b", .di = CODE + 8, .x = { { AX, 5050 } });
}

static void alias(void)
{
    group("another mapping");
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x87;
    dir[WIN >> 22] = (u32)table | 7;
    table[0] = FRAME | 7;
    table[1] = FRAME | 7;
    table[2] = (FRAME + 0x1000) | 5;
    table[3] = (FRAME + 0x1000) | 7;
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
    u32 wrong = 0;
    for (u32 i = 0; i < 500; i++) {
        poke8(WIN + 0x1010, 0xb8);
        poke32(WIN + 0x1011, i);
        poke8(WIN + 0x1015, 0xc3);
        wrong += ((function *)(WIN + 0x10))() != i;
        poke32(FRAME + 0x11, ~i);
        wrong += ((function *)(WIN + 0x10))() != ~i || ((function *)(WIN + 0x1010))() != ~i;
    }
    check("written here, run there", wrong, 0);
    memcpy((void *)at(FRAME + 0x100), "\xc6\x07\x05\xb1\x01\xcd\x40", 7);
    T("alias, next instruction", P32U, "jmp esi", .si = WIN + 0x100, .di = WIN + 0x1104, .x = { { CX, 5 } });
    memcpy((void *)at(FRAME + 0x1000), "\xb8\x01\x00\x00\x00\xc3", 6);
    wrong = ((function *)(WIN + 0x2000))() != 1;
    poke8(WIN + 0x3001, 2);
    wrong += ((function *)(WIN + 0x2000))() != 2;
    check("code on a read-only page, written through a writable one", wrong, 0);
    /* The same linear address leads to another frame. */
    wrong = 0;
    memcpy((void *)at(FRAME + 0x2000), "\xb8\x22\x00\x00\x00\xc3", 6);
    memcpy((void *)at(FRAME + 0x3000), "\xb8\x33\x00\x00\x00\xc3", 6);
    for (u32 i = 0; i < 100; i++) {
        table[4] = (FRAME + (i & 1 ? 0x2000 : 0x3000)) | 7;
        __asm__ volatile("invlpg (%0)" : : "r"(WIN + 0x4000) : "memory");
        wrong += ((function *)(WIN + 0x4000))() != (i & 1 ? 0x22 : 0x33);
    }
    check("remapped by invlpg", wrong, 0);
    /* An instruction across two pages whose second page is exchanged. */
    wrong = 0;
    poke8(FRAME + 0x4fff, 0xb8);
    memcpy((void *)at(FRAME + 0x5000), "\x55\x00\x00\x00\xc3", 5);
    memcpy((void *)at(FRAME + 0x6000), "\x66\x00\x00\x00\xc3", 5);
    table[5] = (FRAME + 0x4000) | 7;
    for (u32 i = 0; i < 100; i++) {
        table[6] = (FRAME + (i & 1 ? 0x5000 : 0x6000)) | 7;
        cr3_set((u32)dir);
        wrong += ((function *)(WIN + 0x5fff))() != (i & 1 ? 0x55 : 0x66);
    }
    check("second page of an instruction exchanged", wrong, 0);
    cr0_set(cr0_get() & 0x7fffffff);
}

static void modes(void)
{
    group("one address, several modes");
    for (int i = 0; i < 3; i++) {
        T("b8 01 00 40 40 in 32-bit code", P32, ".byte 0xb8, 1, 0, 0x40, 0x40", .x = { { AX, 0x40400001 } });
        T("and in 16-bit code", P16, ".byte 0xb8, 1, 0, 0x40, 0x40", .x = { { AX, 3 } });
        T("and in real mode", REAL, ".byte 0xb8, 1, 0, 0x40, 0x40", .x = { { AX, 3 } });
        if (HAS_LM)
            T("48 in long mode is a prefix", L64U, ".byte 0x48, 0xff, 0xc0", .ax = 0xffffffff, .x = { { AX,
              0x100000000 } });
        T("48 elsewhere is dec", P32U, ".byte 0x48, 0xff, 0xc0", .ax = 5, .x = { { AX, 5 } });
    }
}

void program(const char *line)
{
    (void)line;
    snippets();
    functions();
    immediates();
    alias();
    modes();
}
