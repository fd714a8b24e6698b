/* x87 operations on the host's x87: exact by construction. With all exceptions
 * masked the plain instruction runs and the result is popped. With one unmasked,
 * the instruction runs under the guest's own control word and FNSAVE, which never
 * waits, takes the registers as the processor left them. */
#include "cpu/x87.h"

#ifndef __x86_64__
#error "x87 needs an x86-64 host"
#endif

#define CW_MASKS 0x3f

struct fsave_image { uint32_t env[7]; uint8_t st[8][10]; } __attribute__((packed));

static const uint16_t default_cw = 0x37f;

static void take_register(union fpu_reg *r, const uint8_t *st)
{
    memcpy(&r->mant, st, 8);
    memcpy(&r->exp, st + 8, 2);
}

/* ST(0) = a, ST(1) = b, then `insn`; it leaves r0 on top and r1 below. `pops` takes them off. */
#define RUN(io, insn, pops) \
    do { \
        if (((io)->cw & CW_MASKS) == CW_MASKS) { \
            __asm__ volatile("fnclex\n\tfldcw %[cw]\n\tfldt %[b]\n\tfldt %[a]\n\t" insn "\n\tfnstsw %[sw]\n\t" \
                             pops "\n\tfldcw %[def]" \
                             : [sw] "=m"((io)->sw), [r0] "=m"((io)->r0), [r1] "=m"((io)->r1) \
                             : [cw] "m"((io)->cw), [a] "m"((io)->a), [b] "m"((io)->b), [mem] "m"((io)->mem), \
                               [def] "m"(default_cw)); \
        } else { \
            struct fsave_image img; \
            __asm__ volatile("fnclex\n\tfldt %[b]\n\tfldt %[a]\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\t" \
                             "fnsave %[img]" \
                             : [sw] "=m"((io)->sw), [img] "=m"(img) \
                             : [cw] "m"((io)->cw), [a] "m"((io)->a), [b] "m"((io)->b), [mem] "m"((io)->mem)); \
            take_register(&(io)->r0, img.st[0]); \
            take_register(&(io)->r1, img.st[1]); \
        } \
    } while (0)

#define POP1 "fstpt %[r0]"
#define POP2 "fstpt %[r0]\n\tfstpt %[r1]"
#define POP3 "fstpt %[r0]\n\tfstpt %[r1]\n\tfstp %%st(0)"

#define OP(name, insn, pops) static void op_##name(struct x87_io *io) { RUN(io, insn, pops); }

OP(add, "fadd %%st(1), %%st", POP2)
OP(mul, "fmul %%st(1), %%st", POP2)
OP(sub, "fsub %%st(1), %%st", POP2)
OP(subr, "fsubr %%st(1), %%st", POP2)
OP(div, "fdiv %%st(1), %%st", POP2)
OP(divr, "fdivr %%st(1), %%st", POP2)
OP(2xm1, "f2xm1", POP2)
OP(yl2x, "fyl2x", POP1)
OP(ptan, "fptan", POP3)
OP(patan, "fpatan", POP1)
OP(xtract, "fxtract", POP3)
OP(prem1, "fprem1", POP2)
OP(prem, "fprem", POP2)
OP(yl2xp1, "fyl2xp1", POP1)
OP(sqrt, "fsqrt", POP2)
OP(sincos, "fsincos", POP3)
OP(rndint, "frndint", POP2)
OP(scale, "fscale", POP2)
OP(sin, "fsin", POP2)
OP(cos, "fcos", POP2)
OP(com, "fcom %%st(1)", POP2)
OP(ucom, "fucom %%st(1)", POP2)

/* With a real number in memory as the second operand. */
#define OP_REAL(name, insn) \
    OP(name##_f32, insn "s %[mem]", POP2) \
    OP(name##_f64, insn "l %[mem]", POP2)
OP_REAL(add, "fadd")
OP_REAL(mul, "fmul")
OP_REAL(com, "fcom")
OP_REAL(sub, "fsub")
OP_REAL(subr, "fsubr")
OP_REAL(div, "fdiv")
OP_REAL(divr, "fdivr")

#undef OP_REAL
#undef OP

void x87_host_op(enum x87_op op, struct x87_io *io)
{
    static void (*const ops[X87_NUM_OPS])(struct x87_io *) = {
        [X87_ADD] = op_add, [X87_MUL] = op_mul, [X87_SUB] = op_sub, [X87_SUBR] = op_subr,
        [X87_DIV] = op_div, [X87_DIVR] = op_divr, [X87_2XM1] = op_2xm1, [X87_YL2X] = op_yl2x,
        [X87_PTAN] = op_ptan, [X87_PATAN] = op_patan, [X87_XTRACT] = op_xtract, [X87_PREM1] = op_prem1,
        [X87_PREM] = op_prem, [X87_YL2XP1] = op_yl2xp1, [X87_SQRT] = op_sqrt, [X87_SINCOS] = op_sincos,
        [X87_RNDINT] = op_rndint, [X87_SCALE] = op_scale, [X87_SIN] = op_sin, [X87_COS] = op_cos,
    };
    ops[op](io);
}

void x87_host_op_real(enum x87_op op, enum x87_kind kind, struct x87_io *io)
{
    static void (*const ops[2][8])(struct x87_io *) = {
        { op_add_f32, op_mul_f32, op_com_f32, op_com_f32, op_sub_f32, op_subr_f32, op_div_f32, op_divr_f32 },
        { op_add_f64, op_mul_f64, op_com_f64, op_com_f64, op_sub_f64, op_subr_f64, op_div_f64, op_divr_f64 },
    };
    ops[kind == XK_F64][op](io);
}

void x87_host_compare(struct x87_io *io, bool quiet)
{
    if (quiet)
        op_ucom(io);
    else
        op_com(io);
}

/* An instruction that pushes one value from memory. */
#define LOAD(io, insn) \
    do { \
        struct fsave_image img; \
        __asm__ volatile("fnclex\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\tfnsave %[img]" \
                         : [sw] "=m"((io)->sw), [img] "=m"(img) \
                         : [cw] "m"((io)->cw), [mem] "m"((io)->mem), [bcd] "m"((io)->bcd)); \
        take_register(&(io)->r0, img.st[0]); \
    } while (0)

#define LOAD_MASKED(io, insn) \
    __asm__ volatile("fnclex\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\tfstpt %[r0]\n\tfldcw %[def]" \
                     : [sw] "=m"((io)->sw), [r0] "=m"((io)->r0) \
                     : [cw] "m"((io)->cw), [mem] "m"((io)->mem), [def] "m"(default_cw))

void x87_host_load(enum x87_kind kind, struct x87_io *io)
{
    bool masked = (io->cw & CW_MASKS) == CW_MASKS;

    switch (kind) {
    case XK_F32:
        if (masked)
            LOAD_MASKED(io, "flds %[mem]");
        else
            LOAD(io, "flds %[mem]");
        break;
    case XK_F64:
        if (masked)
            LOAD_MASKED(io, "fldl %[mem]");
        else
            LOAD(io, "fldl %[mem]");
        break;
    case XK_I16:
        LOAD_MASKED(io, "filds %[mem]");
        break;
    case XK_I32:
        LOAD_MASKED(io, "fildl %[mem]");
        break;
    case XK_I64:
        LOAD_MASKED(io, "fildq %[mem]");
        break;
    default:
        LOAD(io, "fbld %[bcd]");
    }
}

/* An instruction that stores ST(0) = a to memory, which keeps its old value when an unmasked exception prevents it. */
#define STORE(io, insn) \
    do { \
        struct fsave_image img; \
        __asm__ volatile("fnclex\n\tfldt %[a]\n\tfldcw %[cw]\n\t" insn "\n\tfnstsw %[sw]\n\tfnsave %[img]" \
                         : [sw] "=m"((io)->sw), [img] "=m"(img), [mem] "+m"((io)->mem), [bcd] "+m"((io)->bcd) \
                         : [cw] "m"((io)->cw), [a] "m"((io)->a)); \
    } while (0)

#define STORE_MASKED(io, insn) \
    __asm__ volatile("fnclex\n\tfldcw %[cw]\n\tfldt %[a]\n\t" insn "\n\tfnstsw %[sw]\n\tfldcw %[def]" \
                     : [sw] "=m"((io)->sw), [mem] "+m"((io)->mem) \
                     : [cw] "m"((io)->cw), [a] "m"((io)->a), [def] "m"(default_cw))

#define STORE_BOTH(io, insn) \
    do { \
        if (((io)->cw & CW_MASKS) == CW_MASKS) \
            STORE_MASKED(io, insn); \
        else \
            STORE(io, insn); \
    } while (0)

void x87_host_store(enum x87_kind kind, bool truncate, struct x87_io *io)
{
    if (truncate)
        io->cw |= 0xc00;
    switch (kind) {
    case XK_F32:
        STORE_BOTH(io, "fstps %[mem]");
        break;
    case XK_F64:
        STORE_BOTH(io, "fstpl %[mem]");
        break;
    case XK_I16:
        STORE_BOTH(io, "fistps %[mem]");
        break;
    case XK_I32:
        STORE_BOTH(io, "fistpl %[mem]");
        break;
    case XK_I64:
        STORE_BOTH(io, "fistpq %[mem]");
        break;
    default:
        STORE(io, "fbstp %[bcd]");
    }
}

/* Raises no exception; flags from before must not raise one either. */
#define CONSTANT(io, insn) \
    __asm__ volatile("fldcw %[cw]\n\t" insn "\n\tfstpt %[r0]\n\tfldcw %[def]" \
                     : [r0] "=m"((io)->r0) : [cw] "m"(cw), [def] "m"(default_cw))

void x87_host_const(unsigned n, struct x87_io *io)
{
    uint16_t cw = io->cw | CW_MASKS;

    switch (n) {
    case 0:
        CONSTANT(io, "fld1");
        break;
    case 1:
        CONSTANT(io, "fldl2t");
        break;
    case 2:
        CONSTANT(io, "fldl2e");
        break;
    case 3:
        CONSTANT(io, "fldpi");
        break;
    case 4:
        CONSTANT(io, "fldlg2");
        break;
    case 5:
        CONSTANT(io, "fldln2");
        break;
    default:
        CONSTANT(io, "fldz");
    }
}
