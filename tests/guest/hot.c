/* Code that runs a thousand times and more, with branches both ways, calls and returns, and then something rare in the
 * middle of it: a fault, a trap, an interrupt, a store into it, another mapping. What happens is what happens to
 * code that runs once (SDM volumes 1 and 2 for the instructions; volume 3, 6.5, 8.1.3, 4.10.4 and chapter 17). */
#include "guest.h"

const char program_name[] = "hot";

#define ROUNDS 3000
#define HANDLER 0x10200u /* CODE + 0x200: where snippets have a handler of their own */

static void branches(void)
{
    group("branches");
    T("both ways in turn", P32, "mov ecx, 3000; 1: test cl, 1; jz 2f; add eax, 3; jmp 3f; 2: sub eax, 1; "
      "3: dec ecx; jnz 1b", .x = { { AX, 3000 }, { CX, 0 }, { FL, ZF | PF, ZF | SF | OF | PF } });
    T("a rare way", P32, "mov ecx, 6400; 1: test cl, 63; jz 2f; 3: inc eax; dec ecx; jnz 1b; jmp 4f; "
      "2: inc edx; jmp 3b; 4:", .x = { { AX, 6400 }, { DX, 100 } });
    T("first one way, then the other", P32, "mov ecx, 6000; 1: cmp ecx, 3000; ja 2f; inc edx; jmp 3f; "
      "2: inc eax; 3: dec ecx; jnz 1b", .x = { { AX, 3000 }, { DX, 3000 } });
    T("loop", P32, "mov ecx, 3000; 1: inc eax; loop 1b", .x = { { AX, 3000 } });
    T("loopne", P32, "mov ecx, 4000; 1: inc eax; cmp eax, 3000; loopne 1b", .x = { { AX, 3000 }, { CX, 1000 },
      { FL, ZF | PF } });
    T("jecxz", P32, "mov ecx, 3000; 1: jecxz 2f; inc eax; dec ecx; jmp 1b; 2:", .x = { { AX, 3000 } });
    T("a loop in a loop", P32, "mov ecx, 200; 1: mov edx, 30; 2: inc eax; dec edx; jnz 2b; inc esi; dec ecx; jnz 1b",
      .x = { { AX, 6000 }, { SI, 200 } });
    T("round by falling in", P32, "mov ecx, 3000; jmp 2f\n" AT(0x40) "1: inc eax; 2: inc edx; dec ecx; jz 3f; jmp 1b; "
      "3:", .x = { { AX, 2999 }, { DX, 3000 } });
    T("carry of before the branch", P32, "mov ecx, 3000; 1: add esi, 0x60000000; jc 2f; adc eax, 0; jmp 3f; "
      "2: adc eax, 1; adc edx, 0; 3: dec ecx; jnz 1b",
      .x = { { AX, 2 * 1125 }, { DX, 0 }, { SI, 0x60000000u * 3000u } });
    T("all flags of before the branch", P32, "mov ecx, 3000; 1: mov al, 0x7f; add al, 1; ja 2f; ud2; 2: pushfd; "
      "pop edx; dec ecx; jnz 1b", .x = { { DX, OF | SF | AF, ARITH } });
    T("a repetition", P32, "mov ebp, 3000; 1: mov ecx, 3; mov edi, 0x20100; rep stosb; inc edx; dec ebp; jnz 1b",
      .ax = 0x5a, .x = { { DX, 3000 }, { DI, 0x20103 }, { CX, 0 }, { M32, 0x5a5a5a, 0x20100 } });
    T("in 16-bit code", P16, "mov cx, 3000; 1: test cl, 1; jz 2f; inc ax; 2: inc dx; dec cx; jnz 1b",
      .x = { { AX, 1500 }, { DX, 3000 } });
    if (!HAS_LM)
        return;
    T("both ways, 64-bit", L64U, "mov ecx, 3000; 1: test cl, 1; jz 2f; add r8, 3; add rax, r8; jmp 3f; "
      "2: sub r9, 1; 3: dec ecx; jnz 1b", .x = { { R8, 4500 }, { R9, -1500ull }, { AX, 3ull * 1500 * 1501 / 2 } });
    T("a rare way with high registers", L64U, "mov r15d, 6400; 1: test r15b, 63; jz 2f; 3: inc r8; lea r9, [r8+r8]; "
      "dec r15; jnz 1b; jmp 4f; 2: mov r10, r9; inc r11; jmp 3b; 4:",
      .x = { { R8, 6400 }, { R9, 12800 }, { R10, 2 * (6400 - 64) }, { R11, 100 }, { R15, 0 } });
}

static void calls(void)
{
    group("calls");
    T("plain", P32, "mov ebp, 3000; 1: call 2f; dec ebp; jnz 1b; jmp 3f; 2: inc eax; ret; 3:", .x = { { AX, 3000 },
      { SP, STACK + STACK_TOP } });
    T("return address moved", P32, "mov ebp, 4000; 1: call 2f; .byte 0x83, 0xc2, 1; inc esi; dec ebp; jnz 1b; jmp 3f; "
      "2: test ebp, 1; jz 4f; add dword ptr [esp], 3; 4: ret; 3:",
      .x = { { DX, 2000 }, { SI, 4000 }, { SP, STACK + STACK_TOP } });
    T("another address pushed", P32, "mov ebp, 3000; 1: call 2f; inc esi; dec ebp; jnz 1b; jmp 3f; 2: inc eax; "
      "push 0x10040; ret; 3: int 0x40\n" AT(0x40) "inc edx; ret", .x = { { AX, 3000 }, { DX, 3000 }, { SI, 3000 },
      { SP, STACK + STACK_TOP } });
    T("ret 8", P32, "mov ebp, 3000; 1: push eax; push ecx; call 2f; dec ebp; jnz 1b; jmp 3f; 2: add eax, [esp+4]; "
      "ret 8; 3:", .cx = 2, .x = { { AX, 6000 }, { SP, STACK + STACK_TOP } });
    T("popped and jumped to", P32, "mov ebp, 3000; 1: call 2f; inc eax; dec ebp; jnz 1b; jmp 3f; 2: pop edx; jmp edx; "
      "3:", .x = { { AX, 3000 }, { SP, STACK + STACK_TOP } });
    T("call to the next instruction", P32, "mov ebp, 3000; 1: call 2f; 2: pop edx; inc eax; dec ebp; jnz 1b",
      .x = { { AX, 3000 }, { SP, STACK + STACK_TOP } });
    T("stack switched", P32, "mov ebp, 3000; 1: call 2f; inc esi; dec ebp; jnz 1b; jmp 3f; 2: mov ecx, esp; "
      "mov esp, edi; mov dword ptr [esp], 0x10060; ret; 3: int 0x40\n" AT(0x60) "inc edx; mov esp, ecx; ret",
      .di = DATA + 0x40, .x = { { DX, 3000 }, { SI, 3000 }, { SP, STACK + STACK_TOP } });
    T("nested and recursive", P32, "mov ebp, 1000; 1: mov ecx, 12; call 2f; dec ebp; jnz 1b; jmp 3f; "
      "2: dec ecx; jz 4f; call 2b; 4: inc eax; ret; 3:", .x = { { AX, 12000 }, { SP, STACK + STACK_TOP } });
    T("two callers", P32, "mov ebp, 2000; 1: call 2f; inc ecx; call 2f; inc edx; dec ebp; jnz 1b; jmp 3f; "
      "2: inc eax; ret; 3:", .x = { { AX, 4000 }, { CX, 2000 }, { DX, 2000 } });
    T("a push between", P32, "mov ebp, 3000; 1: call 2f; dec ebp; jnz 1b; jmp 3f; 2: push edx; push ecx; pop eax; "
      "pop edx; inc edx; ret; 3:", .cx = 7, .x = { { AX, 7 }, { DX, 3000 }, { SP, STACK + STACK_TOP } });
    if (!HAS_LM)
        return;
    T("plain, 64-bit", L64U, "mov ebp, 3000; 1: call 2f; inc r9; dec ebp; jnz 1b; jmp 3f; 2: inc r8; ret; 3:",
      .x = { { R8, 3000 }, { R9, 3000 }, { SP, STACK + STACK_TOP } });
    T("return address moved, 64-bit", L64U, "mov ebp, 4000; 1: call 2f; .byte 0x83, 0xc2, 1; inc esi; dec ebp; jnz 1b; "
      "jmp 3f; 2: test ebp, 1; jz 4f; add qword ptr [rsp], 3; 4: ret; 3:", .x = { { DX, 2000 }, { SI, 4000 } });
    T("upper half of it changed", L64U, "mov ebp, 3000; 1: call 2f; inc eax; dec ebp; jnz 1b; jmp 3f; "
      "2: cmp ebp, 1; sete dl; shl edx, 3; mov [rsp+4], edx; ret; 3:", .x = { { AX, 2999 }, { BP, 1 } },
      .vec = V_PF, .err = HAS_NX ? 0x14 : 4, .anyip = true);
    check("it goes there", out->rip >> 32, 8);
    T("to no canonical address", L64U, "mov ebp, 3000; 1: call 2f; inc eax; dec ebp; jnz 1b; jmp 3f; "
      "2: cmp ebp, 1; jne 4f; mov [rsp], rdx; 4: 99: ret; 3:", .dx = 0x800000000000, .vec = V_GP,
      .x = { { AX, 2999 }, { SP, STACK + STACK_TOP - 8 }, { M64, 0x800000000000, STACK + STACK_TOP - 8 },
             { FL, ZF | PF } });
}

/* Faults in the middle, after thousands of rounds. */
static void faults(void)
{
    group("faults");
    T("#DE", P32, "mov ecx, 3000; 1: mov eax, 10; cdq; inc esi; cmp ecx, 1; setne bl; movzx ebx, bl; 99: div ebx; "
      "dec ecx; jnz 1b", .vec = V_DE, .x = { { AX, 10 }, { BX, 0 }, { CX, 1 }, { SI, 3000 }, { FL, ZF | PF } });
    T("#UD on the rare way", P32, "mov ecx, 3000; 1: inc eax; cmp ecx, 7; je 2f; dec ecx; jnz 1b; 2: 99: ud2",
      .vec = V_UD, .x = { { AX, 2994 }, { CX, 7 }, { FL, ZF | PF } });
    T("#GP by a limit", P32, "mov ecx, 3000; mov dx, ds; 1: mov es, dx; add eax, 0x7fffffff; 99: mov es:[ebx], ecx; "
      "cmp ecx, 3; jne 2f; xor edx, edx; 2: dec ecx; jnz 1b", .vec = V_GP,
      .x = { { CX, 2 }, { ES, 0 }, { AX, 0x7fffffffu * 2999u }, { M32, 3, DATA } });
    if (!HAS_LM)
        return;
    T("#PF of a load", L64U, "mov ecx, 3000; 1: inc eax; cmp ecx, 1; cmove rsi, rdi; 99: mov edx, [rsi]; inc r9; "
      "dec ecx; jnz 1b", .si = DATA, .di = WINDOW + 8, .vec = V_PF, .err = 4,
      .x = { { AX, 3000 }, { CX, 1 }, { R9, 2999 }, { SI, WINDOW + 8 }, { FL, ZF | PF } });
    check("cr2", out->cr2, WINDOW + 8);
    T("#PF of a store, flags of before a branch", L64U, "mov ecx, 3000; 1: cmp ecx, 1; cmove rsi, rdi; mov al, 0x7f; "
      "add al, 1; jc 2f; mov r8, rcx; 99: mov [rsi], rcx; 2: dec ecx; jnz 1b", .si = DATA, .di = WINDOW, .vec = V_PF,
      .err = 6, .x = { { CX, 1 }, { R8, 1 }, { AX, 0x80, 0xff }, { FL, OF | SF | AF }, { M64, 2, DATA } });
    T("#PF behind a way out, flags of before it", L64U, "mov ecx, 3000; mov edx, 1; 1: mov eax, ecx; neg al; "
      "sub al, dl; inc r8; cmp ecx, 1; jne 3f; mov al, 0xff; add al, dl; jc 2f; 3: inc r9; dec ecx; jnz 1b; "
      "int3; 2: 99: mov edx, [rdi]", .di = WINDOW, .vec = V_PF, .err = 4,
      .x = { { R8, 3000 }, { R9, 2999 }, { AX, 0, 0xff }, { FL, CF | ZF | AF | PF } });
    T("#GP of an address", L64U, "mov ecx, 3000; 1: inc eax; sub ecx, 1; cmovz rsi, rdi; 99: mov r8, [rsi]; jnz 1b",
      .si = DATA, .di = 1ull << 63, .vec = V_GP, .x = { { AX, 3000 }, { CX, 0 }, { FL, ZF | PF } });
    T("#SS of a push", L64U, "mov ecx, 3000; 1: inc eax; sub ecx, 1; cmovz rsp, rdi; 99: push rcx; pop rdx; jnz 1b",
      .di = 1ull << 63, .vec = V_SS, .x = { { AX, 3000 }, { DX, 1 }, { SP, 1ull << 63 } });
}

/* A snippet's own handler at CODE + 0x200 for a vector of 32-bit code; `off`: the runtime's again. */
static void own_handler(int vec, bool on)
{
    idt32_gate(vec, SEL_CS32, on ? HANDLER : (u32)stubs32 + 16 * vec, 0x8e);
}

/* The handler counts in edi, stores EIP and EFLAGS at DATA + 16, and puts right what was wrong. */
static void resumption(void)
{
    group("resumption");
    own_handler(0, true);
    T("#DE every 64th time", P32, "mov ebp, 6400; 1: mov eax, 10; cdq; mov ecx, ebp; and ecx, 63; stc; jnc 2f; "
      "99: div ecx; add esi, eax; dec ebp; jnz 1b; 2: int 0x40\n" AT(0x200)
      "inc edi; pop dword ptr [ebx+16]; push dword ptr [ebx+16]; mov ecx, [esp+8]; mov [ebx+20], ecx; mov ecx, 10; iretd",
      .x = { { DI, 100 }, { M32, CODE + 0x13, DATA + 16 }, { M32, RF | CF | ZF | PF | 2, DATA + 20 } });
    u32 sum = 0;
    for (u32 i = 0; i < 64; i++)
        sum += i ? 10 / i : 1;
    check("sum", out->r[6], sum * 100);
    own_handler(0, false);
    own_handler(1, true);
    T("TF loaded by an IRET into the middle", P32, "mov ecx, 3000; 1: inc eax; cmp ecx, 1000; je 2f\n" AT(0x40)
      "add esi, 1; add esi, 1; dec ecx; jnz 1b; int 0x40; 2: pushfd; or dword ptr [esp], 0x100; push cs; push 0x10040; "
      "iretd\n" AT(0x200) "inc edi; mov edx, [esp]; and dword ptr [esp+8], 0xfffffeff; iretd",
      .x = { { AX, 3000 }, { SI, 6000 }, { DI, 1 }, { DX, CODE + 0x43 } });
    T("TF over several instructions", P32, "mov ecx, 3000; 1: inc eax; cmp ecx, 1000; je 2f\n" AT(0x40)
      "add esi, 1; 3: add esi, 1; dec ecx; jnz 1b; int 0x40; 2: pushfd; or dword ptr [esp], 0x100; push cs; "
      "push 0x10040; iretd\n" AT(0x200) "inc edi; cmp edi, 9; jb 4f; and dword ptr [esp+8], 0xfffffeff; 4: iretd",
      .x = { { AX, 3000 }, { SI, 6000 }, { DI, 9 } });
    own_handler(1, false);
}

/* Stores into code that is hot; [esi] is data in nearly all rounds. */
static void stores(void)
{
    group("stores");
    T("into what follows", P32, "mov ecx, 3000; 1: cmp ecx, 1000; cmove esi, edi; mov byte ptr [esi], 2; mov esi, ebx\n"
      AT(0x40) "add eax, 1; dec ecx; jnz 1b", .si = DATA, .di = CODE + 0x42, .x = { { AX, 2000 + 2 * 1000 } });
    T("into what went before", P32, "mov ecx, 3000; jmp 1f\n" AT(0x20) "1: add eax, 1; cmp ecx, 1000; cmove esi, edi; "
      "mov byte ptr [esi], 2; mov esi, ebx; dec ecx; jnz 1b", .si = DATA, .di = CODE + 0x22,
      .x = { { AX, 2001 + 2 * 999 } });
    T("into bytes in front of the loop's start", P32, "mov ecx, 3000; jmp 1f\n" AT(0x40) "2: add eax, 1; dec ecx; "
      "jnz 1f; int 0x40\n" AT(0x80) "1: cmp ecx, 1000; cmove esi, edi; mov byte ptr [esi], 2; mov esi, ebx; jmp 2b",
      .si = DATA, .di = CODE + 0x42, .x = { { AX, 2000 + 2 * 1000 } });
    T("into a subroutine on its way", P32, "mov ecx, 3000; 1: cmp ecx, 1000; cmove esi, edi; mov byte ptr [esi], 2; "
      "mov esi, ebx; call 2f; dec ecx; jnz 1b; int 0x40\n" AT(0x80) "2: add eax, 1; ret",
      .si = DATA, .di = CODE + 0x82, .x = { { AX, 2000 + 2 * 1000 } });
    T("into the branch itself", P32, "mov ecx, 3000; 1: cmp ecx, 1000; cmove esi, edi; mov byte ptr [esi], 0x75; "
      "mov esi, ebx; test ecx, ecx\n" AT(0x40) "jz 2f; inc eax; dec ecx; jnz 1b; int3; 2: inc edx; int 0x40",
      .si = DATA, .di = CODE + 0x40, .x = { { AX, 2000 }, { DX, 1 }, { CX, 1000 } });
    T("beside it, between its parts", P32, "mov ecx, 3000; 1: mov [edi], ecx; jmp 2f\n" AT(0x80) "2: add eax, [edi]; "
      "dec ecx; jnz 1b", .di = CODE + 0x40, .x = { { AX, 3000 * 3001 / 2 }, { M32, 1, CODE + 0x40 } });
    T("by a string instruction", P32, "mov ebp, 3000; 1: mov edi, 0x20040; cmp ebp, 1000; cmove edi, edx; mov esi, ebx; "
      "mov ecx, 3; rep movsb\n" AT(0x40) "add eax, 1; dec ebp; jnz 1b", .d = { 0x02c083 }, .dx = CODE + 0x40,
      .x = { { AX, 2000 + 2 * 1000 } });
    T("by a push", P32, "mov ecx, 3000; mov ebp, esp; 1: cmp ecx, 1000; cmove esp, edi; push edx; mov esp, ebp\n" AT(0x40)
      "add eax, 1; nop; dec ecx; jnz 1b", .dx = 0x9002c083, .di = CODE + 0x44, .x = { { AX, 2000 + 2 * 1000 } });
    if (HAS_LM)
        T("in 64-bit code", L64U, "mov ecx, 3000; 1: cmp ecx, 1000; cmove rsi, rdi; mov byte ptr [rsi], 2; mov rsi, rbx\n"
          AT(0x40) "add r8d, 1; dec ecx; jnz 1b", .si = DATA, .di = CODE + 0x43, .x = { { R8, 2000 + 2 * 1000 } });
}

static void breakpoints(void)
{
    group("breakpoints");
    T("of data, set later", P32, "mov ecx, 3000; 1: inc eax; mov [ebx], ecx; 99: dec ecx; jnz 1b; mov eax, 0x20000; "
      "mov dr0, eax; mov eax, 0xd0401; mov dr7, eax; mov ecx, 3; xor eax, eax; jmp 1b", .vec = V_DB,
      .x = { { AX, 1 }, { CX, 3 }, { M32, 3, DATA } });
    dr_set(7, 0x400);
    check("dr6", dr_get(6) & 0xf, 1);
    dr_set(6, 0);
    T("of code, set later", P32, "mov ecx, 3000; 1: inc eax; cmp ecx, 2000; ja 2f\n" AT(0x40) "2: 99: inc edx; dec ecx; "
      "jnz 1b; mov eax, 0x10040; mov dr0, eax; mov eax, 0x401; mov dr7, eax; mov ecx, 3; xor eax, eax; jmp 1b",
      .vec = V_DB, .x = { { AX, 1 }, { CX, 3 }, { DX, 3000 } });
    dr_set(7, 0x400);
    check("dr6", dr_get(6) & 0xf, 1);
    dr_set(6, 0);
}

static void modes(void)
{
    group("modes");
    T("cli and sti", P32, "mov ecx, 3000; 1: cli; inc eax; sti; inc edx; dec ecx; jnz 1b; cli",
      .x = { { AX, 3000 }, { DX, 3000 } });
    T("segment loads", P32, "mov ecx, 3000; mov dx, ds; 1: mov es, dx; add eax, es:[ebx]; push es; pop fs; "
      "add esi, fs:[ebx]; dec ecx; jnz 1b", .d = { 2 }, .x = { { AX, 6000 }, { SI, 6000 } });
    T("a segment that is not flat any more", P32, "mov ecx, 3000; mov dx, ds; 1: mov es, dx; add eax, es:[edi]; "
      "cmp ecx, 1000; jne 2f; mov edx, esi; xor edi, edi; 2: dec ecx; jnz 1b", .d = { 2 }, .di = DATA, .si = SEL_DS16,
      .x = { { AX, 6000 }, { ES, SEL_DS16 } });
    T("stack segment", P32, "mov ecx, 3000; mov dx, ss; 1: mov ss, dx; mov esp, ebp; inc eax; push eax; pop esi; "
      "dec ecx; jnz 1b", .bp = STACK + 0x100, .x = { { AX, 3000 }, { SI, 3000 }, { SP, STACK + 0x100 } });
    T("direction flag", P32, "mov ebp, 3000; mov edi, ebx; 1: test ebp, 1; jz 2f; std; jmp 3f; 2: cld; 3: stosd; "
      "dec ebp; jnz 1b; cld", .x = { { DI, DATA } });
    T("popf", P32, "mov ecx, 3000; 1: mov edx, ecx; and edx, 0x8d5; push edx; popfd; pushfd; adc eax, 0; pop esi; "
      "xor edx, esi; and edx, 0x8d5; or ebp, edx; dec ecx; jnz 1b", .x = { { AX, 1500 }, { BP, 0 } });
    if (HAS_LM && cpu_has(7, 1, 20))
        T("stac and clac", L64, "mov ecx, 3000; 1: stac; pushfq; add eax, [rbx]; clac; pop r8; inc edx; dec ecx; jnz 1b",
          .d = { 2 }, .x = { { AX, 6000 }, { DX, 3000 }, { R8, AC, AC }, { FL, 0, AC } });
}

/* ---- interrupts ---- */

/* A timer's interrupts anywhere in the loop: no instruction is lost, none is done twice. A hundred of them, or what comes
 * in 2^28 rounds. */
static void interrupts(void)
{
    group("interrupts");
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0x21, 0xfe);
    outb(0x43, 0x34); /* 8254, rate generator: every 60 us */
    outb(0x40, 72);
    outb(0x40, 0);
    own_handler(0x20, true);
#define HANDLE AT(0x200) "push eax; xor eax, eax; inc dword ptr [0x20020]; mov al, 0x20; out 0x20, al; pop eax; iretd"
#define TICKS "cmp dword ptr [0x20020], 100; jae 9f; sub ecx, 1; jnz 1b; 9: cli; int 0x40; "
    poke32(DATA + 0x20, 0);
    T("timer", P32, "sti; 1: inc eax; call 2f; inc esi; test cl, 1; jz 3f; inc edi; 3: inc ebx; " TICKS
      "2: inc edx; ret\n" HANDLE, .bx = 5, .cx = 0x10000000, .x = { { SP, STACK + STACK_TOP } });
    check("ticks", peek32(DATA + 0x20) >= 100, 1);
    check("behind the call", out->r[6], out->r[0]);
    check("in the subroutine", out->r[2], out->r[0]);
    check("at the end", out->r[3], out->r[0] + 5);
    check("every second time", out->r[7], out->r[0] / 2);
    poke32(DATA + 0x20, 0);
    T("timer, carries between", P32, "sti; 1: add esi, 0x60000000; inc ebp; jc 2f; adc eax, 0; jmp 3f; 2: adc edx, 0; "
      "3: " TICKS HANDLE, .cx = 0x10000000, .x = { { AX, 0 } });
    check("ticks", peek32(DATA + 0x20) >= 100, 1);
    check("sum", out->r[6], 0x60000000u * (u32)out->r[5]);
    check("carries", out->r[2], (u32)(0x60000000ull * out->r[5] >> 32));
    outb(0x21, 0xff);
    outb(0x43, 0x30);
    own_handler(0x20, false);
}

/* ---- mappings ---- */

#define WIN 0x08000000u
#define FRAME 0x01000000u
static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
typedef u32 function(void);

/* mov eax, value; mov ecx, 100; 1: add eax, step; dec ecx; jnz 1b; ret */
static void put_loop(u32 where, u32 value, u8 step)
{
    static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xb9, 100, 0, 0, 0, 0x83, 0xc0, 1, 0x49, 0x75, 0xfa, 0xc3 };

    memcpy((void *)at(where), code, sizeof code);
    poke32(where + 1, value);
    poke8(where + 12, step);
}

static u32 wrong_results(u32 where, u32 expected, u32 times)
{
    u32 wrong = 0;
    while (times--)
        wrong += ((function *)where)() != expected;
    return wrong;
}

static void map(u32 page, u32 frame, bool by_cr3)
{
    table[page] = frame | 7;
    if (by_cr3)
        cr3_set((u32)dir);
    else
        __asm__ volatile("invlpg (%0)" : : "r"(WIN + page * 4096) : "memory");
}

/* 1: xor dword ptr [edi], 0x1000; invlpg [esi]; add eax, step; dec ecx; jnz 1b; ret: the page it is in changes under it. */
static void put_remapper(u32 where, u8 step)
{
    static const u8 code[] = { 0x81, 0x37, 0, 0x10, 0, 0, 0x0f, 1, 0x3e, 0x83, 0xc0, 1, 0x49, 0x75, 0xf1, 0xc3 };

    memcpy((void *)at(where), code, sizeof code);
    poke8(where + 11, step);
}

static void mappings(void)
{
    u32 a = 0, c = ROUNDS, s = WIN + 0x3000, d = (u32)&table[3];

    group("mappings");
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x87;
    dir[WIN >> 22] = (u32)table | 7;
    table[0] = table[1] = FRAME | 7;
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
    put_loop(FRAME + 0x10, 5, 1);
    check("hot", wrong_results(WIN + 0x10, 105, 50), 0);
    poke8(WIN + 0x1010 + 12, 3);
    check("written by another mapping", wrong_results(WIN + 0x10, 305, 50), 0);
    check("run by it", wrong_results(WIN + 0x1010, 305, 50), 0);
    put_loop(FRAME + 0x2000, 1, 1);
    put_loop(FRAME + 0x3000, 2, 2);
    for (u32 i = 0; i < 8; i++) {
        map(2, FRAME + (i & 1 ? 0x3000 : 0x2000), i & 2);
        check("another frame", wrong_results(WIN + 0x2000, i & 1 ? 202 : 101, 30), 0);
    }
    for (u32 i = 0; i < 300; i++) {
        map(2, FRAME + (i & 1 ? 0x3000 : 0x2000), i & 2);
        a += wrong_results(WIN + 0x2000, i & 1 ? 202 : 101, 1);
    }
    check("another frame each time", a, 0);
    put_remapper(FRAME + 0x4000, 1);
    put_remapper(FRAME + 0x5000, 5);
    map(3, FRAME + 0x4000, false);
    a = 0;
    __asm__ volatile("call *%4" : "+a"(a), "+c"(c), "+S"(s), "+D"(d) : "r"(WIN + 0x3000) : "memory", "cc");
    check("the frame that runs", a, ROUNDS / 2 * (1 + 5));
    /* The page goes away while it is hot. */
    map(2, FRAME + 0x2000, false);
    wrong_results(WIN + 0x2000, 101, 30);
    table[2] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(WIN + 0x2000) : "memory");
    T("no frame", P32, "jmp esi", .si = WIN + 0x2000, .vec = V_PF, .err = 0, .anyip = true, .x = { { IP, WIN + 0x2000 } });
    cr0_set(cr0_get() & 0x7ffeffff);
}

void program(const char *line)
{
    (void)line;
    branches();
    calls();
    faults();
    resumption();
    stores();
    breakpoints();
    modes();
    interrupts();
    mappings();
}
