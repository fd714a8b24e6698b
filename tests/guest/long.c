/* Long mode: canonical addresses, 64-bit operands, compatibility mode, system calls, IDT and stacks, MSRs,
 * invalid opcodes (SDM volume 3, chapters 4 to 6 and volume 2). */
#include "guest.h"

const char program_name[] = "long";

#define NONCANON 0x0000800000000000ULL
#define HIGH 0xffffff8000000000ULL /* maps the same as 0 */
enum { M_EFER = 0xc0000080, M_STAR, M_LSTAR, M_CSTAR, M_FMASK, M_FSBASE = 0xc0000100, M_GSBASE, M_KGSBASE,
       M_SYSENTER_CS = 0x174, M_SYSENTER_ESP, M_SYSENTER_EIP };

static void operands(void)
{
    group("operands");
    T("32-bit result clears the high half", L64U, "mov eax, ecx", .ax = ~0ULL, .cx = 5, .x = { { AX, 5 } });
    T("16-bit result keeps it", L64U, "mov ax, cx", .ax = ~0ULL, .cx = 5, .x = { { AX, ~0ULL << 16 | 5 } });
    T("spl, bpl, sil, dil", L64U, "mov sil, 0x11; mov dil, 0x22; mov bpl, 0x33", .si = 0x4400,
      .x = { { SI, 0x4411 }, { DI, 0x22 }, { BP, 0x33 } });
    T("ah, bh without rex", L64U, "mov ah, 0x11; mov bh, ah", .bx = 0x10000, .x = { { AX, 0x1100 }, { BX,
      0x11100 } });
    T("rex before another prefix is ignored", L64U, ".byte 0x48, 0x66, 0x01, 0xc8", .ax = 0xffff, .cx = 1,
      .x = { { AX, 0 } });
    T("rex.w beats 66", L64U, ".byte 0x66, 0x48, 0x01, 0xc8", .ax = 0xffffffff, .cx = 1, .x = { { AX,
      0x100000000 } });
    T("r8 to r15", L64U, "mov r8, rax; lea r15, [r8+r8*8]; mov r12d, r15d", .ax = 0x100000001,
      .x = { { R15, 0x900000009 }, { R12, 9 } });
    T("r12 and r13 as bases", L64U, "mov rax, [r12]; mov rcx, [r13]; mov edx, [r13+r12*1+4]", .r12 = DATA,
      .r13 = DATA,
      .d = { 1, 2 }, .x = { { AX, 0x200000001 }, { CX, 0x200000001 } });
    T("rip relative", L64U, "mov rax, [rip+2]; jmp 1f; .quad 0x1122334455667788; 1:", .x = { { AX,
      0x1122334455667788 } });
    T("rip relative with an immediate", L64U, "add dword ptr [rip+8], 0x11223344; mov eax, [rip+2]; jmp 1f; "
      ".long 1; 1:",
      .x = { { AX, 0x11223345 } });
    T("eip relative", L64U, "lea eax, [eip+4]; lea rcx, [rip-8]", .x = { { AX, CODE + 11 }, { CX,
      CODE + 6 } });
    T("absolute by sib", L64U, "mov eax, ds:[0x20000]", .d = { 0x31 }, .x = { { AX, 0x31 } });
    T("moffs64", L64U, "movabs rax, [0x20000]; movabs [0x20008], rax", .d = { 1, 2 }, .x = { { M64,
      0x200000001, DATA + 8 } });
    T("addr32 truncates", L64U, "mov eax, [ecx]", .cx = HIGH + DATA + NONCANON * 2, .d = { 0x77 },
      .x = { { AX, 0x77 } });
    T("addr32 sum wraps", L64U, "mov eax, [ecx+edx]", .cx = 0xffffffff, .dx = DATA + 1, .d = { 0x78 },
      .x = { { AX, 0x78 } });
    T("displacement is sign extended", L64U, "mov eax, [rcx-0x10]", .cx = DATA + 0x10, .d = { 0x79 },
      .x = { { AX, 0x79 } });
    T("imm32 is sign extended", L64U, "mov rax, -2; add rcx, -1; push -3; pop rdx", .x = { { AX, -2ULL },
      { CX, -1ULL }, { DX, -3ULL } });
    T("movsxd", L64U, "movsxd rax, ecx", .cx = 0x80000000, .x = { { AX, 0xffffffff80000000 } });
    T("movzx into 64", L64U, "movzx rax, cl; movsx rdx, cx", .cx = 0x8181, .x = { { AX, 0x81 }, { DX,
      0xffffffffffff8181 } });
    T("cdqe cqo", L64U, "cdqe; cqo", .ax = 0x80000000, .x = { { AX, 0xffffffff80000000 }, { DX, ~0ULL } });
}

static void arithmetic(void)
{
    group("arithmetic");
    T("mul 64", L64U, "mul rcx", .ax = ~0ULL, .cx = ~0ULL, .x = { { AX, 1 }, { DX, ~1ULL }, { FL, CF | OF,
      CF | OF } });
    T("imul 64", L64U, "imul rax, rcx", .ax = 1ULL << 62, .cx = 4, .x = { { AX, 0 }, { FL, CF | OF,
      CF | OF } });
    T("div 128 by 64", L64U, "div rcx", .dx = 1, .ax = 0, .cx = 3, .x = { { AX, 0x5555555555555555 }, { DX,
      1 } });
    T("div overflow 64", L64U, "div rcx", .dx = 3, .ax = 0, .cx = 3, .vec = V_DE);
    T("idiv overflow 64", L64U, "idiv rcx", .dx = ~0ULL, .ax = 1ULL << 63, .cx = ~0ULL, .vec = V_DE);
    T("shift count has 6 bits", L64U, "shl rax, cl", .ax = 1, .cx = 0x7f, .x = { { AX, 1ULL << 63 } });
    T("shift count has 5 bits at 32", L64U, "shl eax, cl", .ax = 1ULL << 40 | 1, .cx = 0x20, .x = { { AX,
      1 } });
    T("shrd 64", L64U, "shrd rax, rdx, 8", .ax = 0x100, .dx = 0xab, .x = { { AX, 0xab00000000000001 } });
    T("rcl 64", L64U, "stc; rcl rax, 1", .ax = 1ULL << 63, .x = { { AX, 1 }, { FL, CF, CF } });
    T("bswap 64", L64U, "bswap rax", .ax = 0x0102030405060708, .x = { { AX, 0x0807060504030201 } });
    T("bt 64 reaches memory", L64U, "bts [rbx], rax", .ax = 64 + 33, .x = { { M64, 1ULL << 33, DATA + 8 } });
    T("bsr 64", L64U, "bsr rax, rcx; bsf rdx, rcx", .cx = 1ULL << 45, .x = { { AX, 45 }, { DX, 45 } });
    T("cmpxchg8b and 16b", L64U, "cmpxchg16b [rbx]", .ax = 1, .dx = 2, .cx = 4, .bx = DATA, .d = { 1, 0, 2 },
      .x = { { M64, DATA, DATA }, { M64, 4, DATA + 8 }, { FL, ZF, ZF } });
    T("cmpxchg16b not aligned", L64U, "cmpxchg16b [rbx]", .bx = DATA + 8, .vec = V_GP);
    T("cmpxchg16b miss", L64U, "cmpxchg16b [rbx]", .ax = 7, .d = { 1, 0, 2 }, .x = { { AX, 1 }, { DX, 2 },
      { FL, 0, ZF } });
    T("cmpxchg 32 miss clears high rax", L64U, "cmpxchg ecx, edx", .ax = ~0ULL, .cx = 5, .x = { { AX, 5 } });
    T("xchg r8, rax is no nop", L64U, ".byte 0x49, 0x90", .ax = 1, .r8 = 2, .x = { { AX, 2 }, { R8, 1 } });
    T("nop keeps the high half", L64U, "nop", .ax = ~0ULL, .x = { { AX, ~0ULL } });
    T("cmov 32 clears although not taken", L64U, "cmp eax, eax; cmovne eax, ecx", .ax = ~0ULL, .x = { { AX,
      0xffffffff } });
}

static void stack_and_counts(void)
{
    group("stack and counts");
    T("push and pop are 64-bit", L64U, "push rax; pop rcx; mov rdx, rsp; pushw ax; sub rdx, rsp; popw si",
      .ax = 0x1122334455667788,
      .x = { { CX, 0x1122334455667788 }, { DX, 2 }, { SI, 0x7788 } });
    T("pushfq", L64U, "stc; pushfq; pop rax", .x = { { AX, 3 } });
    T("call and ret are 64-bit", L64U, "call 1f; 1: pop rax; lea rcx, [rip+3]; push rcx; ret; .byte 0x06",
      .x = { { AX, CODE + 5 } });
    T("enter and leave", L64U, "enter 0x20, 0; mov rax, rbp; sub rax, rsp; leave", .bp = 9, .x = { { AX,
      0x20 }, { BP, 9 } });
    T("jrcxz sees all bits", L64U, "jrcxz 1f; mov eax, 1; 1:", .cx = 1ULL << 32, .x = { { AX, 1 } });
    T("jecxz sees 32", L64U, "jecxz 1f; mov eax, 1; 1:", .cx = 1ULL << 32, .x = { { AX, 0 } });
    T("loop counts rcx", L64U, "loop 1f; jmp 2f; 1: mov eax, 1; 2:", .cx = 1ULL << 32, .x = { { AX, 1 },
      { CX, 0xffffffff } });
    T("addr32 loop clears the high half", L64U, "addr32 loop 1f; jmp 2f; 1: mov eax, 1; 2:",
      .cx = 1ULL << 32 | 2, .x = { { CX, 1 } });
    T("rep stosq", L64U, "rep stosq", .ax = 0x0102030405060708, .cx = 3, .di = DATA + 1, .x = { { M64,
      0x0102030405060708, DATA + 17 },
      { DI, DATA + 25 }, { CX, 0 } });
    T("rep movsb with 32-bit addresses", L64U, "addr32 rep movsb", .cx = 4ULL | 1ULL << 40, .si = DATA,
      .di = DATA + 8, .d = { 0xabcdef01 },
      .x = { { M32, 0xabcdef01, DATA + 8 }, { SI, DATA + 4 } });
    T("lahf", L64U, "stc; lahf", .x = { { AX, 0x300 } });
}

static void canonical(void)
{
    group("canonical");
    T("load", L64, "mov rax, [rcx]", .cx = NONCANON, .vec = V_GP);
    T("store from ring 3", L64U, "mov [rcx], rax", .cx = NONCANON, .vec = V_GP);
    T("highest bad", L64U, "mov al, [rcx]", .cx = 0xffff7fffffffffff, .vec = V_GP);
    T("across the end of the low half", L64U, "mov rax, [rcx]", .cx = NONCANON - 4, .vec = V_GP);
    T("stack is #SS", L64U, "mov rax, [rsp+rcx]", .cx = NONCANON, .vec = V_SS);
    T("rbp is #SS", L64U, "mov rax, [rbp]", .bp = NONCANON, .vec = V_SS);
    T("r13 is #GP", L64U, "mov rax, [r13+0]", .r13 = NONCANON, .vec = V_GP);
    T("push", L64U, "mov rsp, rcx; 99: push rax", .cx = NONCANON + 8, .vec = V_SS);
    T("pop", L64U, "mov rsp, rcx; 99: pop rax", .cx = NONCANON, .vec = V_SS);
    T("jmp", L64U, "jmp rax", .ax = NONCANON, .vec = V_GP);
    T("call", L64U, "call rax", .ax = NONCANON, .vec = V_GP, .x = { { SP, STACK + STACK_TOP } });
    T("ret", L64U, "push rax; 99: ret", .ax = NONCANON, .vec = V_GP, .x = { { SP, STACK + STACK_TOP - 8 } });
    T("ret, ring 0", L64, "push rax; 99: ret", .ax = -NONCANON - 1, .vec = V_GP,
      .x = { { M64, -NONCANON - 1, STACK + STACK_TOP - 8 } });
    T("ret imm16", L64U, "push rax; inc r8; 99: ret 0xfff8", .ax = NONCANON, .vec = V_GP,
      .x = { { SP, STACK + STACK_TOP - 8 }, { R8, 1 } });
    T("jmp by memory", L64U, "inc r8; 99: jmp [rcx]", .cx = DATA, .d = { 0, 0x8000 }, .vec = V_GP, .x = { { R8, 1 } });
    T("rep movs", L64U, "rep movsb", .cx = 1, .si = NONCANON, .di = DATA, .vec = V_GP);
    T("rep movs count 0", L64U, "rep movsb", .cx = 0, .si = NONCANON, .di = DATA);
    T("invlpg", L64, "invlpg [rcx]", .cx = NONCANON);
    T("high half is the same memory", L64U, "mov rax, [rcx]", .cx = HIGH + DATA, .d = { 0x5a5a },
      .x = { { AX, 0x5a5a } });
    T("lea is not checked", L64U, "lea rax, [rcx+1]", .cx = NONCANON, .x = { { AX, NONCANON + 1 } });
    T("wrmsr lstar", L64, "mov ecx, 0xc0000082; mov edx, 0x1000000; 99: wrmsr", .vec = V_GP);
    T("wrmsr fs base", L64, "mov ecx, 0xc0000100; mov edx, 0x1000000; 99: wrmsr", .vec = V_GP);
    T("iretq to a bad rip", L64, "push 0x23; push 0x34000; push 2; push 0x2b; push rcx; 99: iretq",
      .cx = NONCANON, .vec = V_GP, .anyip = true);
    T("unmapped canonical is #PF", L64U, "mov rax, [rcx]", .cx = 0x10000000000, .vec = V_PF, .err = 4);
    T("nx in the window", L64U, "jmp rcx", .cx = WINDOW, .vec = V_PF, .err = 0x14, .anyip = true);
    window64[0] = PLAY | 7 | 1ULL << 63;
    T("no-execute page", L64U, "mov rax, [rcx]; jmp rcx", .cx = WINDOW, .vec = V_PF, .err = 0x15,
      .anyip = true);
    check("cr2", cr2_get(), WINDOW);
    window64[0] = PLAY | 7 | 1ULL << 51;
    T("reserved bit", L64, "mov rax, [rcx]", .cx = WINDOW, .vec = V_PF, .err = 9);
    window64[0] = PLAY | 3;
    T("supervisor page", L64U, "mov rax, [rcx]", .cx = WINDOW, .vec = V_PF, .err = 5);
    window64[0] = PLAY | 5;
    T("read-only page, wp", L64, "mov [rcx], rax", .cx = WINDOW, .vec = V_PF, .err = 3);
    window64[0] = 0;
}

static void invalid(void)
{
#define UNDEFINED(bytes) T(bytes, L64U, ".byte " bytes, .vec = V_UD)
    group("undefined in 64-bit mode");
    UNDEFINED("0x06");             /* push es */
    UNDEFINED("0x0e");             /* push cs */
    UNDEFINED("0x16");             /* push ss */
    UNDEFINED("0x1f");             /* pop ds */
    UNDEFINED("0x27");             /* daa */
    UNDEFINED("0x2f");             /* das */
    UNDEFINED("0x37");             /* aaa */
    UNDEFINED("0x3f");             /* aas */
    UNDEFINED("0x60");             /* pusha */
    UNDEFINED("0x61");             /* popa */
    UNDEFINED("0x82, 0xc0, 1");    /* group 1, alias */
    UNDEFINED("0x9a, 0,0,0,0,0,0"); /* far call */
    UNDEFINED("0xea, 0,0,0,0,0,0"); /* far jump */
    UNDEFINED("0xce");             /* into */
    UNDEFINED("0xd4, 10");         /* aam */
    UNDEFINED("0xd5, 10");         /* aad */
    UNDEFINED("0xd6");             /* salc */
    UNDEFINED("0x0f, 0x0b");       /* ud2 */
    UNDEFINED("0x0f, 0xb9, 0xc0"); /* ud1 */
    UNDEFINED("0x0f, 0x04");
    UNDEFINED("0x0f, 0x24, 0xc0"); /* mov from tr */
    UNDEFINED("0xf0, 0x01, 0xc8"); /* lock add eax, ecx */
    UNDEFINED("0xf0, 0x8b, 0x03"); /* lock mov */
    UNDEFINED("0xf0, 0x90");       /* lock nop */
    UNDEFINED("0xfe, 0xd0");
    UNDEFINED("0xff, 0xf8");
    UNDEFINED("0x8e, 0xc9");       /* mov cs, cx */
    UNDEFINED("0x8c, 0xf0");       /* mov eax, segment 6 */
    UNDEFINED("0x8f, 0x48, 0");    /* group 1A /1: neither pop nor XOP with such a map */
    UNDEFINED("0xc6, 0x48, 0, 0");
    UNDEFINED("0x0f, 0xba, 0xc0, 0"); /* group 8 /0 */
    UNDEFINED("0x0f, 0xc7, 0xc8"); /* cmpxchg8b with a register */
    UNDEFINED("0x8d, 0xc0");       /* lea with a register */
}

static void segments(void)
{
    group("segments");
    T("ds base and limit are ignored", L64U, "mov ds, cx; mov eax, [rbx]", .cx = SEL_UDS16 | 3,
      .d = { 0x41 }, .x = { { AX, 0x41 } });
    T("null ds is usable", L64U, "mov ds, ecx; mov es, ecx; mov eax, [rbx]", .cx = 0, .d = { 0x42 },
      .x = { { AX, 0x42 } });
    T("null ss in ring 0", L64, "mov ss, cx; push rax; pop rcx", .cx = 0, .ax = 6, .x = { { CX, 6 } });
    T("null ss in ring 3", L64U, "mov ss, cx", .cx = 0, .vec = V_GP);
    T("es, cs, ds overrides are nothing", L64U, "mov eax, es:[rbx]; mov ecx, cs:[rbx]",
      .es = SEL_UDS16 | 3, .d = { 0x43 },
      .x = { { AX, 0x43 }, { CX, 0x43 } });
    T("fs base from the msr", L64, "mov ecx, 0xc0000100; mov eax, 0x20000; xor edx, edx; wrmsr; "
      "mov eax, fs:[8]", .d = { 0, 0, 0x99 },
      .x = { { AX, 0x99 } });
    T("fs base, 64 bits", L64, "mov ecx, 0xc0000100; mov eax, 0x20000; mov edx, 0xffffff80; wrmsr; "
      "mov eax, fs:[8]; mov ecx, fs:[8]",
      .d = { 0, 0, 0x98 }, .x = { { AX, 0x98 } });
    T("fs base from a descriptor", L64U, "mov fs, cx; mov eax, fs:[4]", .cx = SEL_UDS16 | 3, .d = { 0,
      0x97 }, .x = { { AX, 0x97 } });
    T("swapgs", L64, "mov ecx, 0xc0000102; mov eax, 0x20000; xor edx, edx; wrmsr; mov ecx, 0xc0000101; "
      "mov eax, 0x40000; wrmsr;"
      "swapgs; mov esi, gs:[0]; rdmsr; mov edi, eax; mov ecx, 0xc0000102; rdmsr", .d = { 0x96 },
      .x = { { SI, 0x96 }, { DI, 0x20000 }, { AX, 0x40000 } });
    T("swapgs in ring 3", L64U, "swapgs", .vec = V_GP);
    T("swapgs in compatibility mode", C32, ".byte 0x0f, 0x01, 0xf8", .vec = V_UD);
    T("mov rax, ds zero extends", L64U, "mov rax, ds; mov ecx, ds", .ax = ~0ULL, .cx = ~0ULL, .x = { { AX,
      SEL_UDS | 3 }, { CX, SEL_UDS | 3 } });
    T("push fs pop gs", L64U, "push fs; pop gs; mov eax, gs", .fs = SEL_UCS32 | 3, .x = { { AX,
      SEL_UCS32 | 3 }, { SP, STACK + STACK_TOP } });
    T("lss 64-bit operand", L64, ".byte 0x48, 0x0f, 0xb2, 0x23", .d = { STACK + 0x100, 0, SEL_DS },
      .x = { { SP, STACK + 0x100 } });
    T("lgdt has a 64-bit base", L64, "sgdt [rbx]; sgdt [rbx+16]; lgdt [rbx]; mov ecx, 0x23; mov fs, ecx; "
      "mov rax, [rbx+2]",
      .x = { { AX, (u32)gdt }, { FS, 0x23 } });
    T("ltr busy", L64, "ltr ax", .ax = SEL_TSS64, .vec = V_GP, .err = SEL_TSS64);
    T("ltr with a bad upper half", L64, "ltr ax", .ax = 0x108, .vec = V_GP, .err = 0x108);
    T("str", L64U, "str rax", .x = { { AX, SEL_TSS64 } });
    T("lar of the tss", L64, "lar eax, ecx; lsl edx, ecx", .cx = SEL_TSS64, .x = { { AX, 0x8b00 }, { DX,
      sizeof tss64 - 1 } });
    T("conforming, lar of a 16-bit tss is refused", L64, "lar eax, ecx; setz dl", .cx = 0x118, .x = { { DX,
      0 } });
    T("verr", L64U, "verr cx; setz al; verw dx; setz ah", .cx = SEL_UDS, .dx = SEL_UCS64, .x = { { AX, 1 } });
}

static void compatibility(void)
{
    group("compatibility mode");
    T("32-bit code runs", C32U, "mov eax, [ebx]; inc eax; push eax; pop ecx", .d = { 7 }, .x = { { CX, 8 } });
    T("inc is no rex", C32U, ".byte 0x40, 0x90", .x = { { AX, 1 } });
    T("16-bit code with bases", C16U, "mov ax, [bx+4]; mov [bx], ax", .d = { 0, 0x1357 }, .x = { { M16,
      0x1357, DATA } });
    T("segment limit", C16U, "mov al, [ebx]", .bx = 0x10000, .vec = V_GP);
    T("stack limit", C16U, "mov al, [ebp]", .bp = 0x10000, .vec = V_SS);
    T("address wraps at 4 GiB", C32U, "mov eax, [esi+edi]", .si = 0xffffffff, .di = DATA + 1,
      .d = { 0x55 }, .x = { { AX, 0x55 } });
    T("null ds faults", C32U, "mov ds, cx; 99: mov eax, [ebx]", .cx = 0, .vec = V_GP);
    T("daa is defined", C32U, "daa", .ax = 0x0a, .x = { { AX, 0x10 } });
    T("far jump to 64-bit code", C32U, "ljmp 0x2b, 0x10020\n" AT(0x20) ".code64; mov rax, 0x123456789ab; "
      ".code32", .x = { { AX, 0x123456789ab } });
    T("far call to 64-bit code and back", C32U, "lcall 0x2b, 0x10020; jmp 1f\n" AT(0x20) ".code64; "
      "mov r8, rsp; mov ecx, cs; .byte 0xcb; .code32; 1:",
      .x = { { CX, 0x2b }, { CS, SEL_UCS32 | 3 }, { SP, STACK + STACK_TOP } });
    T("far return from 64-bit code", L64U, "push 0x1b; push 0x10020; .byte 0x48, 0xcb\n" AT(0x20) ".code32; "
      "mov eax, cs; inc eax; .code64",
      .x = { { AX, 0x1c } });
    T("far return to outer ring", L64, "push 0x23; push 0x34000; push 0x1b; push 0x10020; "
      ".byte 0x48, 0xcb\n" AT(0x20) "mov eax, cs; mov ecx, esp",
      .x = { { AX, 0x1b }, { CX, 0x34000 } });
    T("64-bit far jump through memory", L64U, "jmp fword ptr [rbx]\n" AT(0x20) ".code32; mov eax, cs; "
      ".code64", .d = { CODE + 0x20, 0x1b },
      .x = { { AX, 0x1b } });
    T("code with l and d set", L64U, "jmp fword ptr [rbx]", .d = { CODE + 0x20, 0x133 }, .vec = V_GP,
      .err = 0x130);
}

static void gates(void)
{
    group("gates and iret");
    u32 target = (u32)CODE + 0x40;
    idt64[0x50] = (struct gate64){ .lo = target, .hi = target >> 16, .sel = SEL_CS64, .type = 0xee };
    T("frame from ring 3", L64U, "int 0x50; nop\n" AT(0x40) "pop rax; pop rcx; pop rdx; pop rsi; pop rdi; "
      "mov r8, ss", .fl = CF,
      .x = { { AX, CODE + 2 }, { CX, 0x2b }, { DX, 3 }, { SI, STACK + STACK_TOP }, { DI, 0x23 }, { R8, 0 } });
    check("rsp0", out->r[4], tss64.rsp[0]);
    T("frame in ring 0 has ss:rsp too", L64, "int 0x50; nop\n" AT(0x40) "pop rax; pop rcx; pop rdx; "
      "pop rsi; pop rdi",
      .x = { { AX, CODE + 2 }, { CX, SEL_CS64 }, { SI, STACK + STACK_TOP }, { DI, SEL_DS } });
    T("stack is aligned to 16", L64, "int 0x50\n" AT(0x40) "mov rax, rsp", .sp = STACK + 0x7ff7,
      .x = { { AX, STACK + 0x7ff0 - 40 } });
    T("int from compatibility mode", C32U, "int 0x50\n" AT(0x40) ".code64; mov rax, [rsp+8]; "
      "mov rcx, [rsp+24]; .code32",
      .x = { { AX, 0x1b }, { CX, STACK + STACK_TOP } });
    T("iretq returns to ring 3", L64U, "int 0x50; mov ecx, 5; jmp 1f\n" AT(0x40) "iretq; 1: mov eax, cs",
      .x = { { CX, 5 }, { AX, 0x2b } });
    T("iretq to compatibility mode", L64, "push 0x23; push 0x34000; push 2; push 0x1b; push 0x10020; "
      "iretq\n" AT(0x20)
      ".code32; mov eax, cs; dec eax; .code64", .x = { { AX, 0x1a } });
    T("iretd in 64-bit mode", L64, "sub rsp, 20; mov dword ptr [rsp], 0x10040; mov dword ptr [rsp+4], 0x2b; "
      "mov dword ptr [rsp+8], 2;"
      "mov dword ptr [rsp+12], 0x34000; mov dword ptr [rsp+16], 0x23; iretd\n" AT(0x40) "mov eax, cs; "
      "mov rcx, rsp",
      .x = { { AX, 0x2b }, { CX, 0x34000 } });
    T("iretq to ring 0 with null ss", L64, "push 0; push 0x34000; push 2; push 0x30; push 0x10020; "
      "iretq\n" AT(0x20) "mov eax, ss",
      .x = { { AX, 0 } });
    T("iretq to ring 3 with null ss", L64, "push 3; push 0x34000; push 2; push 0x2b; push 0x10020; "
      "99: iretq", .vec = V_GP);
    T("iretq with nt", L64, "push 0x23; push 0x34000; push 2; push 0x2b; push 0x10020; pushfq; "
      "or dword ptr [rsp], 0x4000; popfq; 99: iretq",
      .vec = V_GP);
    T("iretq bad cs", L64, "push 0x23; push 0x34000; push 2; push 0x13; push 0x10020; 99: iretq",
      .vec = V_GP, .err = 0x10);
    idt64[0x50].ist = 3;
    tss64.ist[4] = PLAY + 0x8000;
    T("ist stack", L64, "int 0x50\n" AT(0x40) "mov rax, rsp", .x = { { AX, PLAY + 0x8000 - 40 } });
    T("ist stack from ring 3", L64U, "int 0x50\n" AT(0x40) "mov rax, rsp", .x = { { AX,
      PLAY + 0x8000 - 40 } });
    tss64.ist[5] = 0x8000;
    T("ist not canonical", L64U, "int 0x50", .vec = V_SS, .err = 0);
    tss64.ist[5] = 0;
    idt64[0x50].ist = 0;
    idt64[0x50].type = 0x8e;
    T("gate dpl", L64U, "int 0x50", .vec = V_GP, .err = 0x50 * 8 + 2);
    idt64[0x50].type = 0x6e;
    T("gate not present", L64, "int 0x50", .vec = V_NP, .err = 0x50 * 8 + 2);
    idt64[0x50].type = 0xe6;
    T("16-bit gate is no gate", L64, "int 0x50", .vec = V_GP, .err = 0x50 * 8 + 2);
    idt64[0x50].type = 0xee;
    idt64[0x50].sel = SEL_CS32;
    T("gate to 32-bit code", L64, "int 0x50", .vec = V_GP, .err = SEL_CS32);
    idt64[0x50].sel = SEL_CS64;
    idt64[0x50].top = 0x8000;
    T("gate to a bad rip", L64, "int 0x50", .vec = V_GP, .err = 0, .anyip = true);
    idt64[0x50].top = 0;
    gdt_set(0x120, call_gate(SEL_CS64, CODE + 0x40, 0xec, 0));
    gdt_set(0x128, 0);
    T("64-bit call gate from compatibility mode", C32U, "lcall 0x120, 0; nop\n" AT(0x40) ".code64; pop rax; "
      "pop rcx; pop rdx; pop rsi; .code32",
      .x = { { AX, CODE + 7 }, { CX, 0x1b }, { DX, STACK + STACK_TOP }, { SI, 0x23 } });
    gdt_set(0x128, 1ULL << 40);
    T("call gate with a type in its upper half", C32U, "lcall 0x120, 0", .vec = V_GP, .err = 0x120);
    T("far call to a tss", C32, "lcall 0x78, 0", .vec = V_GP, .err = SEL_TSS64);
}

/* SYSENTER in long mode is undefined on AMD. */
static void long_sysenter(void)
{
    T("sysenter in 64-bit mode", L64U, "sysenter\n" AT(0x40) "mov eax, cs; mov ecx, ss; mov rdx, rsp; "
      "mov r8, 1", .x = { { AX, SEL_CS32 },
      { CX, SEL_DS }, { DX, STACK + 0x4000 }, { R8, 1 } });
    T("sysexit to 64-bit mode", L64, ".byte 0x48, 0x0f, 0x35\n" AT(0x20) "mov eax, cs; mov ebx, ss; "
      "mov rsi, rsp", .dx = CODE + 0x20, .cx = STACK + 0x5000,
      .x = { { AX, SEL_UCS64 | 3 }, { BX, SEL_CS64 | 3 }, { SI, STACK + 0x5000 } });
    T("sysexit to compatibility mode", L64, ".byte 0x0f, 0x35\n" AT(0x20) ".code32; mov eax, cs; dec eax; "
      ".code64", .dx = CODE + 0x20, .cx = STACK + 0x5000,
      .x = { { AX, (SEL_UCS32 | 3) - 1 } });
    T("sysexit in ring 3", L64U, ".byte 0x0f, 0x35", .vec = V_GP);
    msr_set(M_SYSENTER_CS, 0);
    T("sysenter with cs 0", L64U, "sysenter", .vec = V_GP);
    T("sysexit with cs 0", L64, ".byte 0x0f, 0x35", .vec = V_GP);
}

static void system_calls(void)
{
    group("system calls");
    msr_set(M_STAR, (u64)(SEL_UCS32 | 3) << 48 | (u64)SEL_CS64 << 32);
    msr_set(M_LSTAR, CODE + 0x40);
    msr_set(M_FMASK, CF | TF | DF);
    T("syscall", L64U, "std; stc; syscall; 1: cld; jmp 2f\n" AT(0x40) "mov rax, cs; mov rdx, ss; pushfq; "
      "pop rsi; 2:",
      .x = { { AX, SEL_CS64 }, { DX, SEL_DS64 }, { SI, 2 }, { CX, CODE + 4 }, { R11, DF | CF | 2 }, { SP,
      STACK + STACK_TOP } });
    T("sysret to 64-bit code", L64U, "stc; syscall; mov eax, cs; mov edx, ss; pushfq; pop rsi; "
      "jmp 1f\n" AT(0x40) "sysretq; 1:",
      .x = { { AX, SEL_UCS64 | 3 }, { DX, SEL_UDS | 3 }, { SI, CF | 2 } });
    T("sysret to 32-bit code", L64, ".byte 0x0f, 0x07\n" AT(0x20) ".code32; mov eax, cs; mov edx, ss; "
      "dec eax; .code64", .cx = CODE + 0x20 + (1ULL << 36),
      .r11 = 2, .x = { { AX, (SEL_UCS32 | 3) - 1 }, { DX, SEL_UDS | 3 } });
    T("sysret loads flags, never rf or vm", L64, "sysretq\n" AT(0x20) "pushfq; pop rax; push 2; popfq",
      .cx = CODE + 0x20, .r11 = 0x33007 | IF,
      .x = { { AX, 0x3007 | IF } });
    T("sysret not canonical", L64, "sysretq", .cx = NONCANON, .r11 = 2, .vec = V_GP);
    T("sysret in ring 3", L64U, "sysretq", .cx = CODE + 0x20, .vec = V_GP);
    u32 efer = lm_efer;
    lm_efer = efer & ~1u;
    T("syscall without sce", L64U, "syscall", .vec = V_UD);
    T("sysret without sce", L64, "sysretq", .vec = V_UD);
    lm_efer = efer;
    msr_set(M_SYSENTER_CS, SEL_CS32);
    msr_set(M_SYSENTER_ESP, STACK + 0x4000);
    msr_set(M_SYSENTER_EIP, CODE + 0x40);
    T("sysenter from 32-bit protected mode", P32U, "sti; sysenter\n" AT(0x40) "mov eax, cs; mov ecx, ss; "
      "mov edx, esp; pushfd; pop esi", .fl = IOPL3,
      .x = { { AX, SEL_CS32 }, { CX, SEL_DS }, { DX, STACK + 0x4000 }, { SI, 0x3002 } });
    T("sysexit to 32-bit protected mode", P32, ".byte 0x0f, 0x35\n" AT(0x20) "mov eax, cs; mov ebx, ss; "
      "mov esi, esp", .dx = CODE + 0x20, .cx = STACK + 0x5000,
      .x = { { AX, SEL_UCS32 | 3 }, { BX, SEL_UDS | 3 }, { SI, STACK + 0x5000 } });
    if (cpu_is_intel())
        long_sysenter();
}

static void control(void)
{
    group("control registers and msrs");
    T("cr8 is the priority", L64, "mov eax, 5; mov cr8, rax; xor eax, eax; mov rax, cr8; mov ecx, 0; "
      "mov cr8, rcx", .x = { { AX, 5 } });
    T("cr8 reserved bits", L64, "mov eax, 0x10; 99: mov cr8, rax", .vec = V_GP);
    T("cr8 in ring 3", L64U, "mov rax, cr8", .vec = V_GP);
    T("cr0 high half", L64, "mov rax, cr0; bts rax, 32; 99: mov cr0, rax", .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 takes the bit and dies */
        T("cr4 high half", L64, "mov rax, cr4; bts rax, 40; 99: mov cr4, rax", .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 obeys */
        T("cr4.pae cannot be cleared", L64, "mov rax, cr4; btr rax, 5; 99: mov cr4, rax", .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 obeys */
        T("cr0.pg cannot be cleared in 64-bit code", L64, "mov rax, cr0; btr rax, 31; 99: mov cr0, rax",
          .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 takes them and dies */
        T("cr3 reserved bits", L64, "mov rax, cr3; bts rax, 52; 99: mov cr3, rax", .vec = V_GP);
    T("cr2 holds 64 bits", L64, "mov rax, 0xfedcba9876543210; mov cr2, rax; mov rcx, cr2", .x = { { CX,
      0xfedcba9876543210 } });
    T("mov cr ignores the operand size", L64, ".byte 0x66; mov rax, cr3", .vec = DONE, .anyip = true);
    T("dr7 high half", L64, "mov rax, 0x100000400; 99: mov dr7, rax", .vec = V_GP);
    T("efer.lma is read-only, lme set", L64, "mov ecx, 0xc0000080; rdmsr; and eax, 0x500", .x = { { AX,
      0x500 } });
    T("efer.lme cannot change under paging", L64, "mov ecx, 0xc0000080; rdmsr; btr eax, 8; 99: wrmsr",
      .vec = V_GP);
    T("efer reserved bit", L64, "mov ecx, 0xc0000080; rdmsr; bts eax, 30; 99: wrmsr", .vec = V_GP);
    T("rdmsr clears high halves", L64, "mov ecx, 0xc0000081; rdmsr", .ax = ~0ULL, .dx = ~0ULL, .x = { { AX,
      0 }, { DX, (SEL_UCS32 | 3) << 16 | SEL_CS64 } });
    T("smsw 64", L64, "smsw rax; mov rcx, cr0; xor eax, ecx", .x = { { AX, 0 } });
    T("popfq", L64U, "push 0x247fd7 - 0x300; popfq; pushfq; pop rax; push 2; popfq", .x = { { AX,
      0x244cd7 } });
    T("cpuid clears high halves", L64U, "xor eax, eax; xor ecx, ecx; cpuid; shr rbx, 32; shr rdx, 32",
      .bx = ~0ULL, .dx = ~0ULL, .x = { { BX, 0 }, { DX, 0 } });
    T("rdtscp", L64U, "rdtscp; shr rax, 32; shr rdx, 32; shr rcx, 32", .ax = ~0ULL, .x = { { AX, 0 }, { DX,
      0 }, { CX, 0 } });
    T("single step", L64, "nop; 99: nop", .fl = TF, .vec = V_DB);
    T("int3", L64U, "int3; 99:", .vec = V_BP);
    T("#AC", L64U, "mov eax, [rbx+1]", .fl = AC, .vec = DONE, .anyip = true);
    lm_cr0 |= 1 << 18;
    T("#AC with cr0.am", L64U, "mov eax, [rbx+1]", .fl = AC, .vec = V_AC, .err = 0);
    T("#AC not in ring 0", L64, "mov eax, [rbx+1]", .fl = AC);
    lm_cr0 &= ~(1u << 18);
    T("15 bytes are allowed", L64U,
      ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
    T("16 bytes are not", L64U,
      ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90", .vec = V_GP);
}

static void mode_switch(void)
{
    u32 efer = msr_get(M_EFER);
    group("entering long mode");
    msr_set(M_EFER, efer | 0x100);
    T("paging without pae", P32, "mov eax, cr0; or eax, 0x80000000; 99: mov cr0, eax", .vec = V_GP);
    T("lme without paging is not lma", P32, "mov ecx, 0xc0000080; rdmsr; and eax, 0x500", .x = { { AX,
      0x100 } });
    msr_set(M_EFER, efer & ~0x100ull);
}

void program(const char *line)
{
    (void)line;
    if (!HAS_LM) {
        check("no long mode to test", HAS_LM, 0);
        return;
    }
    gdt_set(0x108, desc(DATA, 0x67, 0x89, 0)); /* a TSS whose upper half is a segment */
    gdt_set(0x110, desc(0, 0xfffff, 0x93, 12));
    gdt_set(0x118, desc(DATA, 0x2b, 0x81, 0));
    gdt_set(0x130, desc(0, 0xfffff, 0xfb, 14));
    operands();
    arithmetic();
    stack_and_counts();
    canonical();
    invalid();
    segments();
    compatibility();
    gates();
    system_calls();
    control();
    mode_switch();
}
