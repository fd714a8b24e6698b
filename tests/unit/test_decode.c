/* Tests of the decoder: text and length against objdump's, limits of the encoding, hostile bytes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/opcodes.h"
#include "cpu/state.h"

struct sample {
    unsigned bits;
    uint64_t pc;
    const char *hex;
    const char *text;
};

/* What GNU objdump prints (-M intel) of assembled code. */
static const struct sample samples[] = {
    { 16, 0x0, "8b4010", "mov ax,WORD PTR [bx+si+0x10]" },
    { 16, 0x3, "894e00", "mov WORD PTR [bp+0x0],cx" },
    { 16, 0x6, "8b163412", "mov dx,WORD PTR ds:0x1234" },
    { 16, 0xa, "8a05", "mov al,BYTE PTR [di]" },
    { 16, 0xc, "818300fe3412", "add WORD PTR [bp+di-0x200],0x1234" },
    { 16, 0x12, "67668b442404", "mov eax,DWORD PTR [esp+0x4]" },
    { 16, 0x18, "66b878563412", "mov eax,0x12345678" },
    { 16, 0x1e, "50", "push ax" },
    { 16, 0x1f, "683412", "push 0x1234" },
    { 16, 0x22, "6a05", "push 0x5" },
    { 16, 0x24, "6650", "push eax" },
    { 16, 0x26, "5f", "pop di" },
    { 16, 0x27, "40", "inc ax" },
    { 16, 0x28, "664b", "dec ebx" },
    { 16, 0x2a, "eb0e", "jmp 0x3a" },
    { 16, 0x2c, "e90010", "jmp 0x102f" },
    { 16, 0x35, "74fe", "je 0x35" },
    { 16, 0x37, "ad", "lods ax,WORD PTR ds:[si]" },
    { 16, 0x38, "f3ab", "rep stos WORD PTR es:[di],ax" },
    { 16, 0x3a, "66f3a5", "rep movs DWORD PTR es:[di],DWORD PTR ds:[si]" },
    { 16, 0x3d, "8d31", "lea si,[bx+di]" },
    { 16, 0x3f, "67668d0491", "lea eax,[ecx+edx*4]" },
    { 16, 0x44, "31db", "xor bx,bx" },
    { 16, 0x46, "c1e004", "shl ax,0x4" },
    { 16, 0x49, "98", "cbw" },
    { 16, 0x4a, "6698", "cwde" },
    { 16, 0x4c, "c3", "ret" },
    { 16, 0x4d, "ffd3", "call bx" },
    { 16, 0x4f, "ff6702", "jmp WORD PTR [bx+0x2]" },
    { 16, 0x52, "660fc8", "bswap eax" },
    { 16, 0x55, "660fb64602", "movzx eax,BYTE PTR [bp+0x2]" },
    { 16, 0x5a, "26c60541", "mov BYTE PTR es:[di],0x41" },
    { 16, 0x5e, "90", "nop" },
    { 32, 0x0, "014475fc", "add DWORD PTR [ebp+esi*2-0x4],eax" },
    { 32, 0x4, "83ec10", "sub esp,0x10" },
    { 32, 0x7, "27", "daa" },
    { 32, 0x8, "2f", "das" },
    { 32, 0x9, "37", "aaa" },
    { 32, 0xa, "3f", "aas" },
    { 32, 0xb, "d40a", "aam 0xa" },
    { 32, 0xd, "d510", "aad 0x10" },
    { 32, 0x10, "47", "inc edi" },
    { 32, 0x11, "6649", "dec cx" },
    { 32, 0x13, "54", "push esp" },
    { 32, 0x14, "8f442404", "pop DWORD PTR [esp+0x4]" },
    { 32, 0x18, "60", "pusha" },
    { 32, 0x19, "61", "popa" },
    { 32, 0x1a, "6201", "bound eax,QWORD PTR [ecx]" },
    { 32, 0x1c, "6b153412000007", "imul edx,DWORD PTR ds:0x1234,0x7" },
    { 32, 0x23, "82c005", "add al,0x5" },
    { 32, 0x30, "881d10000000", "mov BYTE PTR ds:0x10,bl" },
    { 32, 0x36, "2667668b10", "mov dx,WORD PTR es:[bx+si]" },
    { 32, 0x3b, "678b45fe", "mov eax,DWORD PTR [di-0x2]" },
    { 32, 0x3f, "67c6460403", "mov BYTE PTR [bp+0x4],0x3" },
    { 32, 0x44, "2e8b00", "mov eax,DWORD PTR cs:[eax]" },
    { 32, 0x47, "8d0c9544332211", "lea ecx,[edx*4+0x11223344]" },
    { 32, 0x4e, "8d34c0", "lea esi,[eax+eax*8]" },
    { 32, 0x51, "e2fe", "loop 0x51" },
    { 32, 0x53, "e310", "jecxz 0x65" },
    { 32, 0x55, "67e310", "jcxz 0x68" },
    { 32, 0x58, "ff1494", "call DWORD PTR [esp+edx*4]" },
    { 32, 0x5b, "ffe0", "jmp eax" },
    { 32, 0x61, "0f8c00100000", "jl 0x1067" },
    { 32, 0x67, "7ff0", "jg 0x59" },
    { 32, 0x69, "d120", "shl DWORD PTR [eax],1" },
    { 32, 0x6b, "c1f004", "shl eax,0x4" },
    { 32, 0x6e, "f7c844332211", "test eax,0x11223344" },
    { 32, 0x74, "6d", "ins DWORD PTR es:[edi],dx" },
    { 32, 0x75, "f36e", "rep outs dx,BYTE PTR ds:[esi]" },
    { 32, 0x77, "f3a5", "rep movs DWORD PTR es:[edi],DWORD PTR ds:[esi]" },
    { 32, 0x79, "f6c410", "test ah,0x10" },
    { 32, 0x7c, "97", "xchg edi,eax" },
    { 32, 0x7d, "0fc70f", "cmpxchg8b QWORD PTR [edi]" },
    { 32, 0x80, "bfefbeadde", "mov edi,0xdeadbeef" },
    { 32, 0x85, "64833d00000000ff", "cmp DWORD PTR fs:0x0,0xffffffff" },
    { 32, 0x8d, "c20400", "ret 0x4" },
    { 32, 0x90, "c9", "leave" },
    { 32, 0x91, "c8341200", "enter 0x1234,0x0" },
    { 64, 0x0, "00d8", "add al,bl" },
    { 64, 0x2, "0008", "add BYTE PTR [rax],cl" },
    { 64, 0x4, "4f0b44ac7f", "or r8,QWORD PTR [r12+r13*4+0x7f]" },
    { 64, 0x9, "1578563412", "adc eax,0x12345678" },
    { 64, 0xe, "4883d8fe", "sbb rax,0xfffffffffffffffe" },
    { 64, 0x12, "4020f5", "and bpl,sil" },
    { 64, 0x15, "836c240805", "sub DWORD PTR [rsp+0x8],0x5" },
    { 64, 0x1a, "6644337d00", "xor r15w,WORD PTR [rbp+0x0]" },
    { 64, 0x1f, "803d0010000009", "cmp BYTE PTR [rip+0x1000],0x9 # 0x1026" },
    { 64, 0x26, "f0480107", "lock add QWORD PTR [rdi],rax" },
    { 64, 0x2f, "f00fc70e", "lock cmpxchg8b QWORD PTR [rsi]" },
    { 64, 0x33, "f00fc114cb", "lock xadd DWORD PTR [rbx+rcx*8],edx" },
    { 64, 0x38, "450fb008", "cmpxchg BYTE PTR [r8],r9b" },
    { 64, 0x3c, "4154", "push r12" },
    { 64, 0x3e, "6878563412", "push 0x12345678" },
    { 64, 0x43, "6aff", "push 0xffffffffffffffff" },
    { 64, 0x45, "8f442408", "pop QWORD PTR [rsp+0x8]" },
    { 64, 0x49, "5b", "pop rbx" },
    { 64, 0x4a, "6650", "push ax" },
    { 64, 0x4c, "c8200003", "enter 0x20,0x3" },
    { 64, 0x50, "c9", "leave" },
    { 64, 0x51, "4863ca", "movsxd rcx,edx" },
    { 64, 0x54, "48691034120000", "imul rdx,QWORD PTR [rax],0x1234" },
    { 64, 0x5b, "6bc3fd", "imul eax,ebx,0xfffffffd" },
    { 64, 0x5e, "4d0fafd3", "imul r10,r11" },
    { 64, 0x62, "f348a5", "rep movs QWORD PTR es:[rdi],QWORD PTR ds:[rsi]" },
    { 64, 0x65, "f3ab", "rep stos DWORD PTR es:[rdi],eax" },
    { 64, 0x67, "f2ae", "repnz scas al,BYTE PTR es:[rdi]" },
    { 64, 0x69, "66f3a7", "repz cmps WORD PTR ds:[rsi],WORD PTR es:[rdi]" },
    { 64, 0x6c, "ac", "lods al,BYTE PTR ds:[rsi]" },
    { 64, 0x6d, "0f4502", "cmovne eax,DWORD PTR [rdx]" },
    { 64, 0x70, "410f9fc1", "setg r9b" },
    { 64, 0x74, "0f920400", "setb BYTE PTR [rax+rax*1]" },
    { 64, 0x78, "4885ff", "test rdi,rdi" },
    { 64, 0x7b, "f6c140", "test cl,0x40" },
    { 64, 0x7e, "f70600000080", "test DWORD PTR [rsi],0x80000000" },
    { 64, 0x84, "4991", "xchg r9,rax" },
    { 64, 0x86, "8639", "xchg BYTE PTR [rcx],bh" },
    { 64, 0x88, "4990", "xchg r8,rax" },
    { 64, 0x8a, "90", "nop" },
    { 64, 0x8b, "f390", "pause" },
    { 64, 0x8d, "660f1f0400", "nop WORD PTR [rax+rax*1]" },
    { 64, 0x9c, "41b944332211", "mov r9d,0x11223344" },
    { 64, 0xa2, "88ec", "mov ah,ch" },
    { 64, 0xa4, "48c745f0fbffffff", "mov QWORD PTR [rbp-0x10],0xfffffffffffffffb" },
    { 64, 0xc6, "678d044b", "lea eax,[ebx+ecx*2]" },
    { 64, 0xca, "6698", "cbw" },
    { 64, 0xcc, "98", "cwde" },
    { 64, 0xcd, "4898", "cdqe" },
    { 64, 0xcf, "6699", "cwd" },
    { 64, 0xd1, "99", "cdq" },
    { 64, 0xd2, "4899", "cqo" },
    { 64, 0xd4, "9e", "sahf" },
    { 64, 0xd5, "9f", "lahf" },
    /* MOV to and from CR and DR ignores mod: no displacement follows. */
    { 16, 0x0, "0f2006", "mov esi,cr0" },
    { 32, 0x0, "0f2000", "mov eax,cr0" },
    { 32, 0x3, "0f2044", "mov esp,cr0" },
    { 32, 0x6, "0f22a6", "mov cr4,esi" },
    { 32, 0x9, "0f213d", "mov ebp,dr7" },
    { 64, 0xc, "0f2384", "mov dr0,rsp" },
    { 64, 0xd7, "d000", "rol BYTE PTR [rax],1" },
    { 64, 0xd9, "48d3c9", "ror rcx,cl" },
    { 64, 0xdc, "66c1d205", "rcl dx,0x5" },
    { 64, 0xe0, "41d1d8", "rcr r8d,1" },
    { 64, 0xe3, "c1e01f", "shl eax,0x1f" },
    { 64, 0xe6, "49d36d00", "shr QWORD PTR [r13+0x0],cl" },
    { 64, 0xea, "49c1fe3f", "sar r14,0x3f" },
    { 64, 0xee, "480fa5d8", "shld rax,rbx,cl" },
    { 64, 0xf2, "660fac1104", "shrd WORD PTR [rcx],dx,0x4" },
    { 64, 0xf7, "c3", "ret" },
    { 64, 0xf8, "c20800", "ret 0x8" },
    { 64, 0xfb, "e2fe", "loop 0xfb" },
    { 64, 0xfd, "e110", "loope 0x10f" },
    { 64, 0xff, "e300", "jrcxz 0x101" },
    { 64, 0x101, "67e305", "jecxz 0x109" },
    { 64, 0x104, "e800010000", "call 0x209" },
    { 64, 0x109, "e9fbffffff", "jmp 0x109" },
    { 64, 0x10e, "eb80", "jmp 0x90" },
    { 64, 0x110, "0f8400001000", "je 0x100116" },
    { 64, 0x116, "ffd0", "call rax" },
    { 64, 0x118, "ff2504000000", "jmp QWORD PTR [rip+0x4] # 0x122" },
    { 64, 0x11e, "41ff13", "call QWORD PTR [r11]" },
    { 64, 0x121, "41ffe2", "jmp r10" },
    { 64, 0x124, "ff30", "push QWORD PTR [rax]" },
    { 64, 0x126, "fe00", "inc BYTE PTR [rax]" },
    { 64, 0x128, "49ffcc", "dec r12" },
    { 64, 0x12b, "48f7d0", "not rax" },
    { 64, 0x12e, "66f71b", "neg WORD PTR [rbx]" },
    { 64, 0x131, "48f7e1", "mul rcx" },
    { 64, 0x134, "49f7e9", "imul r9" },
    { 64, 0x137, "f631", "div BYTE PTR [rcx]" },
    { 64, 0x139, "f7fe", "idiv esi" },
    { 64, 0x13b, "f5", "cmc" },
    { 64, 0x13c, "f8", "clc" },
    { 64, 0x13d, "f9", "stc" },
    { 64, 0x13e, "fc", "cld" },
    { 64, 0x13f, "fd", "std" },
    { 64, 0x140, "0fbae005", "bt eax,0x5" },
    { 64, 0x144, "480fab07", "bts QWORD PTR [rdi],rax" },
    { 64, 0x148, "480fba303f", "btr QWORD PTR [rax],0x3f" },
    { 64, 0x14d, "660fbbd1", "btc cx,dx" },
    { 64, 0x151, "480fbcc3", "bsf rax,rbx" },
    { 64, 0x155, "0fbd01", "bsr eax,DWORD PTR [rcx]" },
    { 64, 0x158, "410fb6c0", "movzx eax,r8b" },
    { 64, 0x15c, "480fb702", "movzx rax,WORD PTR [rdx]" },
    { 64, 0x160, "4c0fbe16", "movsx r10,BYTE PTR [rsi]" },
    { 64, 0x164, "0fbfc1", "movsx eax,cx" },
    { 64, 0x167, "480fc310", "movnti QWORD PTR [rax],rdx" },
    { 64, 0x16b, "490fcd", "bswap r13" },
    { 64, 0x16e, "648b042528000000", "mov eax,DWORD PTR fs:0x28" },
    { 64, 0x176, "65488b03", "mov rax,QWORD PTR gs:[rbx]" },
    { 64, 0x17a, "0f0b", "ud2" },
    { 64, 0x0, "c5f877", "vzeroupper" },
    { 64, 0x3, "c5fc77", "vzeroall" },
    { 64, 0x6, "c4017c284c5a40", "vmovaps ymm9,YMMWORD PTR [r10+r11*2+0x40]" },
    { 64, 0xd, "c5e858cb", "vaddps xmm1,xmm2,xmm3" },
    { 64, 0x11, "c5335807", "vaddsd xmm8,xmm9,QWORD PTR [rdi]" },
    { 64, 0x15, "c585fc0c8e", "vpaddb ymm1,ymm15,YMMWORD PTR [rsi+rcx*4]" },
    { 64, 0x1a, "c4422100d4", "vpshufb xmm10,xmm11,xmm12" },
    { 64, 0x1f, "c4e36d4a0890", "vblendvps ymm1,ymm2,YMMWORD PTR [rax],ymm9" },
    { 64, 0x25, "c4e3694ccb40", "vpblendvb xmm1,xmm2,xmm3,xmm4" },
    { 64, 0x2b, "c4637d192101", "vextractf128 XMMWORD PTR [rcx],ymm12,0x1" },
    { 64, 0x31, "c4e36d180801", "vinsertf128 ymm1,ymm2,XMMWORD PTR [rax],0x1" },
    { 64, 0x37, "c4c3fd00181b", "vpermq ymm3,YMMWORD PTR [r8],0x1b" },
    { 64, 0x3d, "c4e269904ca010", "vpgatherdd xmm1,DWORD PTR [rax+xmm4*4+0x10],xmm2" },
    { 64, 0x44, "c402ad9104e1", "vpgatherqq ymm8,QWORD PTR [r9+ymm12*8],ymm10" },
    { 64, 0x4a, "c4e2f5b80500010000", "vfmadd231pd ymm0,ymm1,YMMWORD PTR [rip+0x100] # 0x153" },
    { 64, 0x53, "c4e27d1308", "vcvtph2ps ymm1,XMMWORD PTR [rax]" },
    { 64, 0x58, "c4e1eb2ac8", "vcvtsi2sd xmm1,xmm2,rax" },
    { 64, 0x5d, "c5797ec9", "vmovd ecx,xmm9" },
    { 64, 0x66, "c5f9c5c305", "vpextrw eax,xmm3,0x5" },
    { 64, 0x6b, "c442b0f202", "andn r8,r9,QWORD PTR [r10]" },
    { 64, 0x70, "c4e270f703", "bextr eax,DWORD PTR [rbx],ecx" },
    { 64, 0x75, "c4c220f3cc", "blsr r11d,r12d" },
    { 64, 0x7a, "c4e2e3f5c1", "pdep rax,rbx,rcx" },
    { 64, 0x7f, "c4e2e3f602", "mulx rax,rbx,QWORD PTR [rdx]" },
    { 64, 0x84, "c4e37bf00107", "rorx eax,DWORD PTR [rcx],0x7" },
    { 64, 0x8a, "c4e2b1f703", "shlx rax,QWORD PTR [rbx],r9" },
    { 64, 0x8f, "c4626af7d1", "sarx r10d,ecx,edx" },
    { 64, 0x94, "67c5fa1008", "vmovss xmm1,DWORD PTR [eax]" },
    { 64, 0x99, "64c5fa110c18", "vmovss DWORD PTR fs:[rax+rbx*1],xmm1" },
    { 64, 0x9f, "c5e571d405", "vpsrlw ymm3,ymm4,0x5" },
    { 64, 0xa4, "c4e379610f4d", "vpcmpestri xmm1,XMMWORD PTR [rdi],0x4d" },
    { 64, 0xaa, "c4e27d0e08", "vtestps ymm1,YMMWORD PTR [rax]" },
    { 64, 0xaf, "c4e2752e10", "vmaskmovps YMMWORD PTR [rax],ymm1,ymm2" },
    { 64, 0xb4, "c5f82e0b", "vucomiss xmm1,DWORD PTR [rbx]" },
    { 32, 0x0, "c5e858cb", "vaddps xmm1,xmm2,xmm3" },
    { 32, 0x4, "c5cdfe3c8e", "vpaddd ymm7,ymm6,YMMWORD PTR [esi+ecx*4]" },
    { 32, 0x9, "c5f9ef00", "vpxor xmm0,xmm0,XMMWORD PTR [eax]" },
    { 32, 0xd, "c4e260f201", "andn eax,ebx,DWORD PTR [ecx]" },
    { 32, 0x12, "c4e26d900ca0", "vpgatherdd ymm1,DWORD PTR [eax+ymm4*4],ymm2" },
    { 32, 0x18, "67c5f81108", "vmovups XMMWORD PTR [bx+si],xmm1" },
    { 32, 0x1d, "c4e2699b0f", "vfmsub132ss xmm1,xmm2,DWORD PTR [edi]" },
    { 32, 0x22, "c501", "lds eax,FWORD PTR [ecx]" },
    { 32, 0x24, "c44508", "les eax,FWORD PTR [ebp+0x8]" },
};

/* Bytes of a hexadecimal string. */
static size_t parse_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

static enum decode_result decode_hex(struct insn *insn, const char *hex, unsigned bits)
{
    uint8_t code[64];

    return insn_decode(insn, code, parse_hex(hex, code), bits);
}

static void print_to(char *text, size_t size, const struct insn *insn, uint64_t pc)
{
    FILE *out = fmemopen(text, size, "w");

    insn_print(out, insn, pc);
    fclose(out);
}

START_TEST(test_samples)
{
    const struct sample *s = &samples[_i];
    struct insn insn;
    char text[128] = "";

    ck_assert_msg(decode_hex(&insn, s->hex, s->bits) == DECODE_OK, "%u bits %s: %s", s->bits, s->hex,
                  s->text);
    ck_assert_uint_eq(insn.len, strlen(s->hex) / 2);
    print_to(text, sizeof(text), &insn, s->pc);
    ck_assert_str_eq(text, s->text);
}
END_TEST

/* Every proper prefix of an instruction asks for more bytes. */
START_TEST(test_short_code)
{
    const struct sample *s = &samples[_i];
    uint8_t code[64];
    struct insn insn;
    size_t n = parse_hex(s->hex, code);

    for (size_t avail = 0; avail < n; avail++)
        ck_assert_int_eq(insn_decode(&insn, code, avail, s->bits), DECODE_MORE);
}
END_TEST

static const struct { unsigned bits; const char *hex; enum decode_result want; } verdicts[] = {
    /* 15 bytes are an instruction, 16 are #GP. */
    { 64, "666666666666666666666666666690", DECODE_OK },
    { 64, "66666666666666666666666666666690", DECODE_TOO_LONG },
    { 32, "2e2e2e2e2e2e2e2e2e2e81c011223344", DECODE_TOO_LONG },
    /* LOCK: only known instructions, only memory destinations. */
    { 32, "f00100", DECODE_OK },
    { 32, "f001c0", DECODE_UD },
    { 32, "f00300", DECODE_UD },
    { 32, "f03800", DECODE_UD },
    { 32, "f08900", DECODE_UD },
    { 32, "f08700", DECODE_OK },
    { 32, "f00fa300", DECODE_UD },
    { 32, "f00fab00", DECODE_OK },
    { 32, "f00fba2005", DECODE_UD },
    { 32, "f00fba2805", DECODE_OK },
    { 32, "f0f710", DECODE_OK },
    { 32, "f0f720", DECODE_UD },
    { 32, "f00fc70e", DECODE_OK },
    { 32, "f00fc706", DECODE_UD },
    /* Not in 64-bit code, only in 64-bit code. */
    { 64, "27", DECODE_UD },
    { 64, "d40a", DECODE_UD },
    { 64, "60", DECODE_UD },
    { 64, "6200", DECODE_UD },
    { 64, "8200ff", DECODE_UD },
    { 32, "8200ff", DECODE_OK },
    { 64, "4863c1", DECODE_OK },
    /* Forms that must be memory or have no such ModRM.reg. */
    { 32, "8dc0", DECODE_UD },
    { 32, "8fc8", DECODE_UD },
    { 32, "c6c811", DECODE_UD },
    { 32, "fed0", DECODE_UD },
    { 32, "fff8", DECODE_UD },
    { 32, "0fc3c0", DECODE_UD },
    { 32, "0fbac001", DECODE_UD },
    /* VEX: no 66, F2, F3, LOCK or REX before it; maps 1 to 3. */
    { 64, "c5e858cb", DECODE_OK },
    { 64, "66c5e858cb", DECODE_UD },
    { 64, "f2c5e858cb", DECODE_UD },
    { 64, "f3c5e858cb", DECODE_UD },
    { 64, "f0c5e858cb", DECODE_UD },
    { 64, "48c5e858cb", DECODE_UD },
    { 64, "3e67c5e858cb", DECODE_OK },
    { 64, "c4e06858cb", DECODE_UD },
    { 64, "c4e16858cb", DECODE_OK },
    { 64, "c4e46858cb", DECODE_UD },
    /* vvvv that names nothing is 1111B; W and L that a row fixes. */
    { 64, "c5f877", DECODE_OK },
    { 64, "c5e877", DECODE_UD },
    { 64, "c4e27d1808", DECODE_OK },
    { 64, "c4e2fd1808", DECODE_UD },
    { 64, "c4e27d1a08", DECODE_OK },
    { 64, "c4e2791a08", DECODE_UD },
    { 64, "c4e260f201", DECODE_OK },
    { 64, "c4e264f201", DECODE_UD },
    /* Elsewhere LES and LDS unless the byte behind would name a register. */
    { 32, "c4c8", DECODE_MORE },
    { 32, "c508", DECODE_OK },
    { 16, "c5e858cb", DECODE_OK },
    /* A gather needs a SIB byte and no 16-bit addresses. */
    { 64, "c4e2699000", DECODE_UD },
    { 64, "c4e26990c1", DECODE_UD },
    { 32, "67c4e2699000", DECODE_UD },
    { 64, "c4e2699004a0", DECODE_OK },
};

START_TEST(test_verdicts)
{
    struct insn insn;

    ck_assert_msg(decode_hex(&insn, verdicts[_i].hex, verdicts[_i].bits) == verdicts[_i].want, "%s",
                  verdicts[_i].hex);
}
END_TEST

START_TEST(test_prefixes)
{
    struct insn insn;

    ck_assert_int_eq(decode_hex(&insn, "642e8b00", 32), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_CS); /* the last one counts */
    ck_assert_int_eq(decode_hex(&insn, "642e8b00", 64), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_FS); /* CS is no override in 64-bit code */
    ck_assert_int_eq(decode_hex(&insn, "f3f2a6", 32), DECODE_OK);
    ck_assert_uint_eq(insn.prefix, PFX_REPNE);
    ck_assert_int_eq(decode_hex(&insn, "486689c0", 64), DECODE_OK);
    ck_assert_uint_eq(insn.opsize, 2); /* a REX prefix before another prefix is ignored */
    ck_assert_int_eq(decode_hex(&insn, "664889c0", 64), DECODE_OK);
    ck_assert_uint_eq(insn.opsize, 8);
}
END_TEST

START_TEST(test_default_segments)
{
    struct insn insn;

    ck_assert_int_eq(decode_hex(&insn, "8b4500", 32), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_SS);
    ck_assert_int_eq(decode_hex(&insn, "8b0424", 32), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_SS);
    ck_assert_int_eq(decode_hex(&insn, "8b042d00000000", 32), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_DS); /* EBP as index */
    ck_assert_int_eq(decode_hex(&insn, "8b02", 16), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_SS); /* BP + SI */
    ck_assert_int_eq(decode_hex(&insn, "8b060000", 16), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_DS);
    ck_assert_int_eq(decode_hex(&insn, "418b4500", 64), DECODE_OK);
    ck_assert_uint_eq(insn.seg, S_DS); /* R13 */
}
END_TEST

START_TEST(test_byte_registers)
{
    struct insn insn;

    ck_assert_int_eq(decode_hex(&insn, "88e0", 64), DECODE_OK);
    ck_assert(insn.op[1].high_byte && insn.op[1].reg == R_AX);
    ck_assert_int_eq(decode_hex(&insn, "4088e0", 64), DECODE_OK);
    ck_assert(!insn.op[1].high_byte && insn.op[1].reg == R_SP);
}
END_TEST

START_TEST(test_immediates)
{
    struct insn insn;

    ck_assert_int_eq(decode_hex(&insn, "c8341205", 32), DECODE_OK);
    ck_assert_int_eq(insn.imm, 0x1234);
    ck_assert_uint_eq(insn.imm2, 5);
    ck_assert_int_eq(decode_hex(&insn, "6aff", 64), DECODE_OK);
    ck_assert_int_eq(insn.imm, -1);
    ck_assert_uint_eq(insn.opsize, 8);
    ck_assert_int_eq(decode_hex(&insn, "48c7c000000080", 64), DECODE_OK);
    ck_assert_int_eq(insn.imm, INT32_MIN);
}
END_TEST

/* R, X, B and vvvv are inverted; outside 64-bit code there are eight registers. */
START_TEST(test_vex)
{
    struct insn insn;

    ck_assert_int_eq(decode_hex(&insn, "c4415458c7", 64), DECODE_OK); /* vaddps ymm8, ymm5, ymm15 */
    ck_assert(insn.vex_l && insn.vvvv == 5);
    ck_assert_uint_eq(insn.op[0].reg, 8);
    ck_assert_uint_eq(insn.op[1].reg, 5);
    ck_assert_uint_eq(insn.op[2].reg, 15);
    ck_assert_uint_eq(insn.op[2].size, 32);
    ck_assert_int_eq(decode_hex(&insn, "c4e12858c7", 32), DECODE_OK); /* vvvv[3] is ignored */
    ck_assert_uint_eq(insn.op[1].reg, 2);
    ck_assert_int_eq(decode_hex(&insn, "c4e3694ccbf0", 64), DECODE_OK); /* vpblendvb: imm8[7:4] */
    ck_assert_uint_eq(insn.op[3].reg, 15);
    ck_assert_int_eq(decode_hex(&insn, "c4e3694ccbf0", 32), DECODE_OK);
    ck_assert_uint_eq(insn.op[3].reg, 7);
    ck_assert_int_eq(decode_hex(&insn, "c4e2699004a0", 64), DECODE_OK); /* vpgatherdd: index 4 is one too */
    ck_assert_uint_eq(insn.index, 4);
    ck_assert_uint_eq(insn.mem_size, 4);
}
END_TEST

/* Operands stand together: the decoder stops at the first that is none. */
static void check_operands(const struct opcode *row)
{
    for (unsigned n = 1; n < 4; n++)
        ck_assert_msg(row->op[n - 1] || !row->op[n], "%s", row->mnemonic);
}

/* No row contradicts itself. */
START_TEST(test_table)
{
    for (unsigned i = 0; i < cpu_num_opcodes; i++) {
        const struct opcode *row = &cpu_opcodes[i];
        ck_assert(row->emit && row->mnemonic);
        ck_assert_msg((row->flags & (OPF_I64 | OPF_O64)) != (OPF_I64 | OPF_O64), "%s", row->mnemonic);
        ck_assert_msg((row->flags & (OPF_D64 | OPF_F64)) != (OPF_D64 | OPF_F64), "%s", row->mnemonic);
        check_operands(row);
    }
}
END_TEST

static bool names_modrm(uint8_t kind)
{
    return (kind >= O_Eb && kind <= O_Rd) || (kind >= O_Sw && kind <= O_Dy) || (kind >= O_Pq && kind <= O_Uq) ||
           (kind >= O_Vdq && kind <= O_Mqq) || (kind >= O_MGd && kind <= O_MGq) || kind >= O_STi;
}

static bool has_modrm(const struct opcode *row)
{
    return row->reg != SEL_ANY || row->mod != SEL_ANY || row->rm != SEL_ANY || names_modrm(row->op[0]) ||
           names_modrm(row->op[1]) || names_modrm(row->op[2]);
}

/* Has this room rows of the opcode, and does the index say so? */
static void check_room(unsigned room, unsigned map, unsigned opcode)
{
    unsigned first = ROOM_NUM, last = ROOM_NUM;
    const struct opcode *end, *row = opcode_rows(room, map, (uint8_t)opcode, &end);
    bool found = opcode_rooms(room >= ROOM_VEX, map, (uint8_t)opcode, &first, &last), has = row;

    ck_assert_msg(!has || (found && first <= room && room <= last), "map %u %02x room %u", map, opcode, room);
    ck_assert_msg(has || !found || (first != room && last != room), "map %u %02x room %u", map, opcode, room);
    for (const struct opcode *other = row; has && other <= end; other++)
        ck_assert_msg(has_modrm(other) == has_modrm(row), "map %u %02x room %u", map, opcode, room);
}

/* The index by opcode leads to every row, and the first one tells whether there is a ModRM byte. */
START_TEST(test_rooms)
{
    for (unsigned map = 0; map < 4; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned room = 0; room < ROOM_NUM; room++)
                check_room(room, map, opcode);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Random bytes at the end of an allocation: nothing behind it is read (ASan watches), lengths stay in
 * bounds. */
START_TEST(test_hostile_bytes)
{
    static const unsigned widths[] = { 16, 32, 64 };
    uint32_t state = 1;

    for (unsigned i = 0; i < 60000; i++) {
        size_t avail = next_random(&state) % 20;
        uint8_t *code = malloc(avail + !avail);
        struct insn insn;
        char text[160];
        for (size_t j = 0; j < avail; j++)
            code[j] = (uint8_t)next_random(&state);
        enum decode_result r = insn_decode(&insn, code, avail, widths[i % 3]);
        ck_assert_uint_le(insn.len, MIN_OF(avail, INSN_MAX_LEN));
        ck_assert(r == DECODE_MORE ? avail < INSN_MAX_LEN : r == DECODE_OK || insn.len > 0);
        if (r == DECODE_OK)
            print_to(text, sizeof(text), &insn, 0);
        free(code);
    }
}
END_TEST

Suite *decode_suite(void);

Suite *decode_suite(void)
{
    Suite *s = suite_create("decode");
    TCase *t = tcase_create("decode");

    tcase_add_loop_test(t, test_samples, 0, (int)ARRAY_LEN(samples));
    tcase_add_loop_test(t, test_short_code, 0, (int)ARRAY_LEN(samples));
    tcase_add_loop_test(t, test_verdicts, 0, (int)ARRAY_LEN(verdicts));
    tcase_add_test(t, test_prefixes);
    tcase_add_test(t, test_default_segments);
    tcase_add_test(t, test_byte_registers);
    tcase_add_test(t, test_immediates);
    tcase_add_test(t, test_vex);
    tcase_add_test(t, test_table);
    tcase_add_test(t, test_rooms);
    tcase_add_test(t, test_hostile_bytes);
    suite_add_tcase(s, t);
    return s;
}
