/* Emission of SYSCALL, SYSRET, SYSENTER and SYSEXIT. The first two between 64-bit code are inline: their segments are
 * constants but for the selectors, and of the mode word only what EFLAGS and CR4.SMAP decide is not known at
 * translation. */
#include "cpu/emit.h"
#include "cpu/sys.h"

#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    void emit_##emitter(struct emit *e);
#include "cpu/opcodes_sys.def"
#undef OP

#define OFF(field) offsetof(struct cpu, field)
#define SEG_OFF(seg_reg, field) ((unsigned)(OFF(seg[0].field) + (seg_reg) * sizeof(struct segment)))

static ir_ref const32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static ir_ref const64(struct emit *e, uint64_t v)
{
    return ir_const(e->b, IR_I64, v);
}

static ir_ref field32(struct emit *e, unsigned offset)
{
    return ir_lde(e->b, IR_I32, offset);
}

static void by_helper(struct emit *e, enum cpu_helper h, ir_ref arg)
{
    ir_call(e->b, h, arg, 0, 0, 0);
    emit_lookup(e);
}

/* ---- what both have in common ---- */

/* Flags that change more than the level of the mode. */
#define FLAGS_OF_MODE (FL_TF | FL_IOPL | FL_AC)

/* Alignment checks come and go with all of the TLB. A block of one instruction is what the others come back to. */
static bool is_inline(const struct emit *e)
{
    return (e->mode & MODE_CODE64) && !(e->mode & MODE_AC) && !e->single;
}

/* Leave it to the helper, before anything is changed, if EFER.SCE is clear or `not_common` is not 0. */
static void only_common(struct emit *e, ir_ref not_common)
{
    ir_ref off = ir_bini(e->b, IR_XOR, IR_I32, ir_extract(e->b, IR_I32, field32(e, OFF(efer)), 0, 1), 1);

    ir_trapif(e->b, ir_bin(e->b, IR_OR, IR_I32, off, not_common), HELP_restart_one, 0);
}

/* A flat segment register by rule; `selector`: I16. */
static void put_flat(struct emit *e, unsigned seg, ir_ref selector, unsigned cpl)
{
    const struct segment s = flat_segment(0, cpl, seg == S_CS ? FLAT_CODE64 : FLAT_STACK);

    ir_ste(e->b, IR_I64, SEG_OFF(seg, base), const64(e, s.base));
    ir_ste(e->b, IR_I64, SEG_OFF(seg, read_lo), const64(e, s.read_lo));
    ir_ste(e->b, IR_I64, SEG_OFF(seg, read_hi), const64(e, s.read_hi));
    ir_ste(e->b, IR_I64, SEG_OFF(seg, write_lo), const64(e, s.write_lo));
    ir_ste(e->b, IR_I64, SEG_OFF(seg, write_hi), const64(e, s.write_hi));
    ir_ste(e->b, IR_I32, SEG_OFF(seg, limit), const32(e, s.limit));
    ir_ste(e->b, IR_I16, SEG_OFF(seg, selector), selector);
    ir_ste(e->b, IR_I16, SEG_OFF(seg, attr), ir_const(e->b, IR_I16, s.attr));
}

/* CS is `cs` (I32, RPL included) and SS `ss`. */
static void put_segments(struct emit *e, ir_ref cs, ir_ref ss, unsigned cpl)
{
    put_flat(e, S_CS, ir_zext(e->b, IR_I16, cs), cpl);
    put_flat(e, S_SS, ir_zext(e->b, IR_I16, ss), cpl);
}

/* The mode of 64-bit code of level `cpl`, `more` bits of it known only now, with FLAGS_OF_MODE clear. One store,
 * because the look-up behind reads the mode and the epoch of its level at once. */
static void put_mode(struct emit *e, unsigned cpl, ir_ref more)
{
    uint32_t mode = (e->mode & (MODE_OF_CONTROL | MODE_SMM)) | MODE_PE | MODE_OF_CODE64 | cpl << MODE_CPL_SHIFT;
    ir_ref low = ir_zext(e->b, IR_I64, ir_bini(e->b, IR_OR, IR_I32, more, mode));
    ir_ref epoch = ir_zext(e->b, IR_I64, field32(e, cpl == 3 ? OFF(jump_epochs[1]) : OFF(jump_epochs[0])));

    epoch = ir_bini(e->b, IR_SHL, IR_I64, epoch, 32);
    ir_ste(e->b, IR_I64, OFF(jump_key), ir_bin(e->b, IR_OR, IR_I64, epoch, low));
}

/* The six flags and the others from `flags` (I32). */
static void put_flags(struct emit *e, ir_ref flags)
{
    ir_ref rest = ir_bini(e->b, IR_AND, IR_I32, flags, ~(uint32_t)IR_FLAGS6);

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, ir_bini(e->b, IR_AND, IR_I32, flags, IR_FLAGS6), 0, 0));
    ir_ste(e->b, IR_I32, OFF(eflags), ir_bini(e->b, IR_OR, IR_I32, rest, 2));
}

/* The selectors of STAR, as an I32. */
static ir_ref star_word(struct emit *e, unsigned shift)
{
    ir_ref star = ir_lde(e->b, IR_I64, OFF(star));

    return ir_zext(e->b, IR_I32, ir_extract(e->b, IR_I64, star, shift, 16));
}

/* ---- the instructions ---- */

void emit_syscall(struct emit *e)
{
    ir_ref flags, left, star, smap;

    if (!is_inline(e)) {
        by_helper(e, HELP_syscall, emit_next_pc(e));
        return;
    }
    flags = emit_flags_image(e);
    left = ir_bin(e->b, IR_AND, IR_I32, flags, ir_un(e->b, IR_NOT, IR_I32, field32(e, OFF(sfmask))));
    only_common(e, ir_bini(e->b, IR_AND, IR_I32, left, FLAGS_OF_MODE));
    emit_put_reg(e, R_CX, 8, emit_next_pc(e));
    emit_put_reg(e, 11, 8, ir_zext(e->b, IR_I64, flags));
    put_flags(e, left);
    star = star_word(e, 32);
    put_segments(e, ir_bini(e->b, IR_AND, IR_I32, star, 0xfffc), ir_bini(e->b, IR_ADD, IR_I32, star, 8), 0);
    smap = ir_extract(e->b, IR_I32, field32(e, OFF(cr4)), __builtin_ctz(CR4_SMAP), 1);
    put_mode(e, 0, ir_bini(e->b, IR_SHL, IR_I32, smap, __builtin_ctz(MODE_SMAP)));
    emit_goto_indirect(e, ir_lde(e->b, IR_I64, OFF(lstar)));
}

void emit_sysret(struct emit *e)
{
    ir_ref flags, star, pvi, pc;

    if (!is_inline(e) || (e->mode & MODE_CPL) || e->insn->opsize != 8) {
        by_helper(e, HELP_sysret, const32(e, e->insn->opsize));
        return;
    }
    flags = ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, emit_get_reg(e, 11, 8)), SYSRET_FLAGS);
    pvi = ir_bini(e->b, IR_AND, IR_I32, field32(e, OFF(cr4)), CR4_PVI);
    pvi = ir_bin(e->b, IR_OR, IR_I32, pvi, field32(e, OFF(pins))); /* a masked interrupt may be taken now */
    only_common(e, ir_bin(e->b, IR_OR, IR_I32, pvi, ir_bini(e->b, IR_AND, IR_I32, flags, FLAGS_OF_MODE)));
    pc = emit_get_reg(e, R_CX, 8);
    emit_check_pc(e, pc);
    put_flags(e, flags);
    star = ir_bini(e->b, IR_AND, IR_I32, star_word(e, 48), 0xfffc);
    put_segments(e, ir_bini(e->b, IR_OR, IR_I32, ir_bini(e->b, IR_ADD, IR_I32, star, 16), 3),
                 ir_bini(e->b, IR_OR, IR_I32, ir_bini(e->b, IR_ADD, IR_I32, star, 8), 3), 3);
    put_mode(e, 3, const32(e, 0));
    emit_goto_indirect(e, pc);
}

void emit_sysenter(struct emit *e)
{
    by_helper(e, HELP_sysenter, 0);
}

void emit_sysexit(struct emit *e)
{
    by_helper(e, HELP_sysexit, const32(e, e->insn->opsize));
}
