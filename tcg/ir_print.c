/* The IR as text, one instruction a line: `v7 = add.32 v3, v6`. */
#include <ctype.h>
#include <inttypes.h>

#include "tcg/tcg.h"

static const char *const cmp_name[] = { "eq", "ne", "ltu", "leu", "gtu", "geu", "lts", "les", "gts", "ges" };
static const char *const cond_name[] = { "o", "no", "b", "nb", "z", "nz", "be", "a",
                                         "s", "ns", "p", "np", "l", "nl", "le", "g" };

static const char *const atomic_name[IR_NUM_ATOMICS] = { "add", "and", "or", "xor", "xchg", "neg" };

static void print_result(FILE *out, const struct ir_block *blk, unsigned i, const struct tcg_guest *guest)
{
    const struct ir_insn *in = &blk->insn[i];

    if (ir_ops[in->op].result == '-' || (in->op == IR_CALL && guest->helpers[in->imm].result == 'v'))
        fprintf(out, "%12s", "");
    else
        fprintf(out, "%5s%-4u = ", "v", i);
}

static void print_name(FILE *out, const struct ir_insn *in)
{
    char name[16];
    unsigned n;

    for (n = 0; ir_ops[in->op].name[n] && n < sizeof(name) - 1; n++)
        name[n] = (char)tolower((unsigned char)ir_ops[in->op].name[n]);
    name[n] = 0;
    fprintf(out, "%s.%u", name, IR_BITS(in->type));
    if (in->op == IR_CMP)
        fprintf(out, ".%s", cmp_name[in->cc]);
    if (in->op == IR_COND)
        fprintf(out, ".%s", cond_name[in->cc]);
    if (in->op == IR_ATOMIC)
        fprintf(out, ".%s", atomic_name[in->imm]);
}

static void print_memory_flags(FILE *out, unsigned aux)
{
    static const char *const names[] = { "rmw", "stack", "align", "super", "pair", "flat" };

    for (unsigned i = 0; i < 6; i++)
        if (aux & 1u << i)
            fprintf(out, " %s", names[i]);
}

/* pc as a distance from the block's first byte. */
static void print_target(FILE *out, uint64_t imm, unsigned aux)
{
    int32_t delta = (int32_t)imm;

    fprintf(out, " pc%c0x%x%s", delta < 0 ? '-' : '+', delta < 0 ? 0u - (uint32_t)delta : (uint32_t)delta,
            aux ? " far" : "");
}

static void print_displacement(FILE *out, uint64_t imm)
{
    if (imm >> 32)
        fprintf(out, " %+d", (int32_t)(imm >> 32));
}

static void print_vector_form(FILE *out, unsigned cc)
{
    static const char *const sizes[] = { "", " 4", " 8", " 32" };

    fprintf(out, "%s%s%s", sizes[cc & IR_V_SIZE], cc & IR_V_CLEAR ? " clear" : "", cc & IR_V_LOW_B ? " low" : "");
}

/* What imm and aux mean depends on the operation. */
static void print_immediate(FILE *out, const struct ir_insn *in, const struct tcg_guest *guest)
{
    uint64_t imm = in->imm;

    switch (in->op) {
    case IR_CONST: case IR_CODE:
        fprintf(out, " 0x%" PRIx64, imm);
        break;
    case IR_GET: case IR_PUT:
        fprintf(out, " %s", guest->reg_name[imm] ? guest->reg_name[imm] : "?");
        break;
    case IR_PC:
        fprintf(out, " %+" PRId64, (int64_t)imm);
        break;
    case IR_VSET:
        fprintf(out, " [0x%x]", (unsigned)(imm >> 16 & 0xffff));
        print_vector_form(out, in->cc);
        break;
    case IR_VZERO:
        fprintf(out, " [0x%x] %u fields", (unsigned)(imm >> 16 & 0xffff), (unsigned)(imm >> 32 & 0xffff));
        break;
    case IR_VFROMI: case IR_VTOI: case IR_VCOM:
        fprintf(out, " [0x%x] [0x%x] [0x%x] %u", (unsigned)(imm >> 16 & 0xffff), (unsigned)(imm >> 32 & 0xffff),
                (unsigned)(imm >> 48), in->aux);
        break;
    case IR_LDE: case IR_STE: case IR_VMASK:
        fprintf(out, " [0x%" PRIx64 "]", imm);
        break;
    case IR_LD: case IR_ST:
        print_displacement(out, imm);
        break;
    case IR_LDV: case IR_STV:
        print_displacement(out, imm);
        fprintf(out, " [0x%x]", (unsigned)imm);
        print_vector_form(out, in->cc);
        break;
    case IR_XLATE:
        fprintf(out, " %+d..%+d%s", (int32_t)imm, (int32_t)(imm >> 32), in->aux ? " write" : "");
        break;
    case IR_EXTRACT: case IR_DEPOSIT:
        fprintf(out, " %u:%u", (unsigned)(imm >> 8), (unsigned)(imm & 0xff));
        break;
    case IR_CALL:
        fprintf(out, " %s", guest->helpers[imm].name);
        break;
    case IR_BOUND:
        fprintf(out, " [0x%x] size %u else %s(%u)", (unsigned)(imm & 0xffff),
                (unsigned)(imm >> 16 & 0xffff) + 1, guest->helpers[imm >> 32 & 0xffff].name,
                (unsigned)(imm >> 48));
        break;
    case IR_TRAPIF:
        fprintf(out, " %s(0x%x)", guest->helpers[imm & UINT32_MAX].name, (unsigned)(imm >> 32));
        break;
    case IR_VOP:
        fprintf(out, " %s [0x%x] [0x%x] [0x%x]", tcg_vops[imm & 0xffff].name, (unsigned)(imm >> 16 & 0xffff),
                (unsigned)(imm >> 32 & 0xffff), (unsigned)(imm >> 48));
        if (tcg_vops[imm & 0xffff].fn_imm)
            fprintf(out, " %u", in->aux);
        print_vector_form(out, in->cc);
        break;
    case IR_X87: case IR_X87V: case IR_X87M:
        fprintf(out, " %02x/%02x", (unsigned)(imm & 0xff), (unsigned)(imm >> 8 & 0xff));
        if (imm & 0xff)
            fprintf(out, " %s(0x%x)", guest->helpers[imm >> 16 & 0xffff].name, (unsigned)(imm >> 32));
        break;
    case IR_EXITIF:
        print_target(out, imm, in->aux);
        break;
    case IR_BR:
        print_target(out, imm, in->aux & IR_FAR(0));
        fprintf(out, " else");
        print_target(out, imm >> 32, in->aux & IR_FAR(1));
        break;
    case IR_GOTO: case IR_EXIT:
        if (in->op == IR_GOTO || !in->aux)
            print_target(out, imm, in->aux);
        break;
    }
}

static void print_insn(FILE *out, const struct ir_block *blk, unsigned i, const struct tcg_guest *guest)
{
    const struct ir_insn *in = &blk->insn[i];
    const ir_ref ref[4] = { in->a, in->b, in->c, in->d };

    if (in->op == IR_INSN) {
        fprintf(out, "  --- %+d, %u bytes\n", (int)(int32_t)in->imm, (unsigned)(in->imm >> 32));
        return;
    }
    print_result(out, blk, i, guest);
    print_name(out, in);
    for (unsigned n = 0; n < 4; n++)
        if (ref[n])
            fprintf(out, "%s v%u", n ? "," : "", ref[n]);
    print_immediate(out, in, guest);
    if (ir_ops[in->op].effects & E_FAULT && in->op != IR_CALL && in->op != IR_EXITIF)
        print_memory_flags(out, in->aux);
    if (in->fl)
        fprintf(out, "  (flags v%u)", in->fl);
    fputc('\n', out);
}

void ir_print(FILE *out, const struct ir_block *blk, const struct tcg_guest *guest)
{
    fprintf(out, "block pc %016" PRIx64 " ram %" PRIx64 " mode %08x mmu %u: %u bytes, %u instructions\n",
            blk->pc, blk->phys, blk->mode, blk->mmu, blk->guest_size, blk->guest_insns);
    for (unsigned i = 1; i < blk->num; i++)
        print_insn(out, blk, i, guest);
}
