/* Printing of decoded instructions in Intel syntax, with objdump's spelling. */
#include <inttypes.h>
#include <string.h>

#include "cpu/state.h"
#include "cpu/decode.h"

static const char *const names64[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const names8[8] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" };
static const char *const names_high[4] = { "ah", "ch", "dh", "bh" };
static const char *const names_seg[8] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static void print_gpr(FILE *out, unsigned reg, unsigned size, bool high)
{
    const char *name = names64[reg & 15];

    if (high)
        fputs(names_high[reg & 3], out);
    else if (reg >= 8)
        fprintf(out, "%s%s", name, size == 8 ? "" : size == 4 ? "d" : size == 2 ? "w" : "b");
    else if (size == 1)
        fputs(names8[reg], out);
    else
        fprintf(out, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", name + 1);
}

static const char *size_name(unsigned size)
{
    switch (size) {
    case 1: return "BYTE PTR ";
    case 2: return "WORD PTR ";
    case 4: return "DWORD PTR ";
    case 6: return "FWORD PTR ";
    case 8: return "QWORD PTR ";
    case 10: return "TBYTE PTR ";
    case 16: return "XMMWORD PTR ";
    case 32: return "YMMWORD PTR ";
    default: return "";
    }
}

static void print_disp(FILE *out, const struct insn *insn)
{
    bool given = insn->disp || insn->modrm >> 6 == 1 || insn->modrm >> 6 == 2 || insn->base == REG_NONE;

    if (given)
        fprintf(out, "%c0x%" PRIx64, insn->disp < 0 ? '-' : '+',
                insn->disp < 0 ? -(uint64_t)insn->disp : (uint64_t)insn->disp);
}

/* The index of a gather is a vector of as many bytes as the instruction works on, but of half as many for
 * elements of 8 bytes with indices of 4. */
static void print_index(FILE *out, const struct insn *insn)
{
    bool vector = insn->row->op[1] == O_MGd || insn->row->op[1] == O_MGq;
    bool narrow = insn->row->op[1] == O_MGq && !(insn->opcode & 1);

    if (vector)
        fprintf(out, "%cmm%u", insn->vex_l && !narrow ? 'y' : 'x', insn->index);
    else
        print_gpr(out, insn->index, insn->addrsize, false);
}

static void print_address(FILE *out, const struct insn *insn)
{
    unsigned size = insn->addrsize;

    if (insn->base == REG_NONE && insn->index == REG_NONE) {
        fprintf(out, "0x%" PRIx64, (uint64_t)insn->disp & MASK(8 * size));
        return;
    }
    fputc('[', out);
    if (insn->base == REG_RIP)
        fputs(size == 8 ? "rip" : "eip", out);
    else if (insn->base != REG_NONE)
        print_gpr(out, insn->base, size, false);
    if (insn->index != REG_NONE) {
        if (insn->base != REG_NONE)
            fputc('+', out);
        print_index(out, insn);
        if (size != 2)
            fprintf(out, "*%u", insn->scale);
    }
    print_disp(out, insn);
    fputc(']', out);
}

static void print_mem(FILE *out, const struct insn *insn, unsigned size)
{
    bool absolute = insn->base == REG_NONE && insn->index == REG_NONE;

    fputs(size_name(size), out);
    if ((insn->prefix & PFX_SEG) || absolute)
        fprintf(out, "%s:", names_seg[insn->seg & 7]);
    print_address(out, insn);
}

/* Operands of string instructions have fixed registers; ES cannot be overridden. */
static void print_string(FILE *out, const struct insn *insn, const struct operand *op)
{
    fprintf(out, "%s%s:[", size_name(op->size), op->reg == R_DI ? "es" : names_seg[insn->seg & 7]);
    print_gpr(out, op->reg, insn->addrsize, false);
    fputc(']', out);
}

static bool is_jump(uint8_t kind)
{
    return kind == O_Jb || kind == O_Jz;
}

static bool is_string(uint8_t kind)
{
    return kind >= O_Xb && kind <= O_Yz;
}

static bool is_moffs(uint8_t kind)
{
    return kind == O_Ob || kind == O_Ov;
}

/* The address a relative branch goes to, cut to the width that the branch leaves in the instruction
 * pointer. */
static uint64_t branch_target(const struct insn *insn, uint64_t pc)
{
    unsigned size = insn->opsize;
    return (pc + insn->len + (uint64_t)insn->imm) & MASK(8 * size);
}

static void print_imm(FILE *out, const struct insn *insn, unsigned n, uint64_t pc)
{
    uint8_t kind = insn->row->op[n];
    bool second = n > 0 && insn->op[n - 1].class == OC_IMM;

    if (kind == O_Ap)
        fprintf(out, "0x%x:0x%" PRIx64, insn->imm2, (uint64_t)insn->imm & MASK(8 * insn->opsize));
    else if (second)
        fprintf(out, "0x%x", insn->imm2);
    else if (is_jump(kind))
        fprintf(out, "0x%" PRIx64, branch_target(insn, pc));
    else if (kind == O_1)
        fputc('1', out);
    else
        fprintf(out, "0x%" PRIx64, (uint64_t)insn->imm & MASK(8 * insn->op[n].size));
}

static void print_operand(FILE *out, const struct insn *insn, unsigned n, uint64_t pc)
{
    const struct operand *op = &insn->op[n];

    switch (op->class) {
    case OC_REG: print_gpr(out, op->reg, op->size, op->high_byte); break;
    case OC_MEM:
        if (is_string(insn->row->op[n]))
            print_string(out, insn, op);
        else
            print_mem(out, insn, is_moffs(insn->row->op[n]) ? 0 : op->size);
        break;
    case OC_IMM: print_imm(out, insn, n, pc); break;
    case OC_SEG: fputs(names_seg[op->reg & 7], out); break;
    case OC_CR: fprintf(out, "cr%u", op->reg); break;
    case OC_DR: fprintf(out, "dr%u", op->reg); break;
    case OC_MMX: fprintf(out, "mm%u", op->reg); break;
    case OC_XMM: fprintf(out, "%cmm%u", op->size == 32 ? 'y' : 'x', op->reg); break;
    case OC_ST: fprintf(out, op->reg ? "st(%u)" : "st", op->reg); break;
    default: break;
    }
}

/* The mnemonic; a row may give three of them for operand (JCXZ: address) sizes 2/4/8. */
static void print_mnemonic(FILE *out, const struct insn *insn)
{
    const char *name = insn->row->mnemonic, *slash;
    unsigned size = insn->row->opcode == 0xe3 ? insn->addrsize : insn->opsize;

    for (unsigned skip = size == 8 ? 2 : size == 4 ? 1 : 0; skip && (slash = strchr(name, '/')); skip--)
        name = slash + 1;
    fprintf(out, "%.*s", (int)strcspn(name, "/"), name);
}

static void print_prefixes(FILE *out, const struct insn *insn)
{
    bool compares = (insn->row->opcode & ~9u) == 0xa6;

    if (insn->prefix & PFX_LOCK)
        fputs("lock ", out);
    if (!(insn->row->flags & OPF_REP))
        return;
    if (insn->prefix & PFX_REP)
        fputs(compares ? "repz " : "rep ", out);
    else if (insn->prefix & PFX_REPNE)
        fputs("repnz ", out);
}

void insn_print(FILE *out, const struct insn *insn, uint64_t pc)
{
    print_prefixes(out, insn);
    print_mnemonic(out, insn);
    for (unsigned i = 0; i < 4 && insn->op[i].class != OC_NONE; i++) {
        fputc(i ? ',' : ' ', out);
        print_operand(out, insn, i, pc);
    }
    if (insn->base == REG_RIP)
        fprintf(out, " # 0x%" PRIx64, pc + insn->len + (uint64_t)insn->disp);
}
