/* Helpers of the general instructions: exceptions, division, rotation through carry, decimal, PUSHA,
 * ENTER. */
#include "cpu/helper_int.h"

#include "cpu/helpers.h"
#include "cpu/strict.h"

/* ---- exceptions ---- */

uint64_t helper_raise(struct cpu *cpu, uint64_t arg)
{
    if (arg & 0x100)
        cpu_raise_error(cpu, arg & 0xff, (uint32_t)(arg >> 16));
    cpu_raise_exception(cpu, arg & 0xff);
}

uint64_t helper_seg_fault(struct cpu *cpu, uint64_t ea, uint64_t seg)
{
    strict_segment(cpu, (unsigned)seg, ea);
    cpu_raise_error(cpu, seg == S_SS ? EX_SS : EX_GP, 0);
}

static _Noreturn void raise_code_limit(struct cpu *cpu, uint64_t ip)
{
    strict_code_limit(cpu, cpu->seg[S_CS].selector, cpu->seg[S_CS].limit, ip);
    cpu_raise_error(cpu, EX_GP, 0);
}

uint64_t helper_cs_limit(struct cpu *cpu, uint64_t len)
{
    uint32_t ip = (uint32_t)cpu->rip + tcg_current_offset(cpu->tcg, cpu);

    if (ip + len - 1 > cpu->seg[S_CS].limit)
        raise_code_limit(cpu, ip + len - 1);
    cpu_restart_one(cpu);
}

/* Only a wrap at 64 KiB is no fault: it brings the target, `delta` from this instruction, back below the limit. */
uint64_t helper_cs_target(struct cpu *cpu, uint64_t delta)
{
    uint32_t target = ((uint32_t)cpu->rip + tcg_current_offset(cpu->tcg, cpu) + (uint32_t)delta) & 0xffff;

    if (target > cpu->seg[S_CS].limit)
        raise_code_limit(cpu, target);
    cpu_restart_one(cpu);
}

uint64_t helper_restart_one(struct cpu *cpu, uint64_t unused)
{
    (void)unused;
    cpu_restart_one(cpu);
}

/* Code that continues in a page without RAM cannot run: #GP(0). */
uint64_t helper_fetch_fault(struct cpu *cpu, uint64_t addr)
{
    const uint8_t *host;

    if (!cpu_code64(cpu))
        addr &= UINT32_MAX;
    if (mmu_fetch(cpu, addr, &host) != UINT64_MAX)
        cpu_restart_one(cpu);
    log_guest(cpu->log, "cpu: instruction crosses from RAM into device memory at %#llx\n",
              (unsigned long long)addr);
    cpu_raise_error(cpu, EX_GP, 0);
}

uint64_t seg_address(struct cpu *cpu, unsigned seg, uint64_t ea, unsigned size, bool write)
{
    const struct segment *s = &cpu->seg[seg];
    uint64_t lo = write ? s->write_lo : s->read_lo, hi = write ? s->write_hi : s->read_hi;

    if (cpu_code64(cpu))
        return seg >= S_FS ? ea + s->base : ea;
    if (ea < lo || ea + size - 1 > hi)
        helper_seg_fault(cpu, ea, seg);
    return (uint32_t)(ea + s->base);
}

/* ---- division ---- */

__extension__ typedef unsigned __int128 uint128;

/* By magnitudes: the most negative dividend has no positive counterpart. */
uint64_t helper_idiv64(struct cpu *cpu, uint64_t divisor)
{
    bool neg_x = cpu->gpr[R_DX] >> 63, neg_y = divisor >> 63;
    uint128 x = (uint128)cpu->gpr[R_DX] << 64 | cpu->gpr[R_AX], quotient;
    uint64_t y = neg_y ? -divisor : divisor, rest;

    if (neg_x)
        x = -x;
    if (!y)
        cpu_raise_exception(cpu, EX_DE);
    quotient = x / y;
    rest = (uint64_t)(x % y);
    if (quotient > (neg_x != neg_y ? BIT(63) : BIT(63) - 1))
        cpu_raise_exception(cpu, EX_DE);
    cpu->gpr[R_AX] = neg_x != neg_y ? -(uint64_t)quotient : (uint64_t)quotient;
    cpu->gpr[R_DX] = neg_x ? -rest : rest;
    return 0;
}

/* ---- rotation through carry: of carry:value, one bit wider than the operand ---- */

/* {carry, value} := them rotated left or right by desc's count. */
static void rotate(uint64_t desc, uint64_t *value, uint64_t *carry)
{
    bool left = desc & 1;
    unsigned bits = 8 * (desc >> 8 & 0xff), count = desc >> 16 & 63;
    uint128 ring = (uint128)(*carry & 1) << bits | (*value & MASK(bits));

    count %= bits + 1;
    if (!left && count)
        count = bits + 1 - count;
    if (count)
        ring = ring << count | ring >> (bits + 1 - count);
    *value = (uint64_t)ring & MASK(bits);
    *carry = (uint64_t)(ring >> bits) & 1;
}

uint64_t helper_rotate_carry(struct cpu *cpu, uint64_t value, uint64_t desc, uint64_t carry)
{
    (void)cpu;
    rotate(desc, &value, &carry);
    return value;
}

uint64_t helper_rotate_carry_out(struct cpu *cpu, uint64_t value, uint64_t desc, uint64_t carry)
{
    (void)cpu;
    rotate(desc, &value, &carry);
    return carry;
}

/* ---- decimal arithmetic (SDM vol. 2: AAA, AAM, AAS, DAA, DAS) ---- */

static uint64_t pack_ax(uint32_t ax, uint32_t flags)
{
    return (ax & 0xffff) | (uint64_t)flags << 16;
}

/* DAA and DAS; O is left as a comparison with 0 leaves it. */
static uint64_t decimal_adjust(uint64_t ax, uint64_t flags, int sign)
{
    uint32_t al = ax & 0xff, out = 0;
    uint32_t old = al;

    if ((al & 0xf) > 9 || (flags & IR_AF)) {
        int32_t adjusted = (int32_t)al + 6 * sign;
        al = (uint32_t)adjusted & 0xff;
        out |= IR_AF | (adjusted < 0 || adjusted > 0xff ? IR_CF : 0);
    }
    if (old > 0x99 || (flags & IR_CF)) {
        al = (uint32_t)((int32_t)al + 0x60 * sign) & 0xff;
        out |= IR_CF;
    } else if (sign > 0) {
        out &= ~(uint32_t)IR_CF;
    }
    out |= (flags & IR_CF) | ir_flags_eval(IR_FL_LOGIC, IR_I8, al, 0, 0);
    return pack_ax((ax & 0xff00) | al, out);
}

uint64_t helper_daa(struct cpu *cpu, uint64_t ax, uint64_t flags)
{
    (void)cpu;
    return decimal_adjust(ax, flags, 1);
}

uint64_t helper_das(struct cpu *cpu, uint64_t ax, uint64_t flags)
{
    (void)cpu;
    return decimal_adjust(ax, flags, -1);
}

/* AAA and AAS; the undefined flags as of the adjusted AL. */
static uint64_t ascii_adjust(uint64_t ax, uint64_t flags, int sign)
{
    uint32_t v = (uint32_t)ax, out = 0;

    if ((v & 0xf) > 9 || (flags & IR_AF)) {
        v = (uint32_t)((int32_t)v + 0x106 * sign);
        out = IR_AF | IR_CF;
    }
    v &= 0xff0f;
    return pack_ax(v, out | ir_flags_eval(IR_FL_LOGIC, IR_I8, v & 0xff, 0, 0));
}

uint64_t helper_aaa(struct cpu *cpu, uint64_t ax, uint64_t flags)
{
    (void)cpu;
    return ascii_adjust(ax, flags, 1);
}

uint64_t helper_aas(struct cpu *cpu, uint64_t ax, uint64_t flags)
{
    (void)cpu;
    return ascii_adjust(ax, flags, -1);
}

uint64_t helper_aam(struct cpu *cpu, uint64_t al, uint64_t base)
{
    (void)cpu;
    return al / base << 8 | al % base;
}

/* ---- stack frames ---- */

static unsigned stack_width(const struct cpu *cpu)
{
    return cpu_code64(cpu) ? 8 : cpu->mode & MODE_SS32 ? 4 : 2;
}

/* Register `reg` := the low `size` bytes of `v`, as a guest instruction of that operand size does. */
static void put_reg(struct cpu *cpu, unsigned reg, unsigned size, uint64_t v)
{
    if (size >= 4)
        cpu->gpr[reg] = v & MASK(8 * size);
    else
        cpu->gpr[reg] = bits_deposit(cpu->gpr[reg], 0, 8 * size, v);
}

static uint64_t stack_load(struct cpu *cpu, uint64_t sp, unsigned size)
{
    return mmu_load(cpu, seg_address(cpu, S_SS, sp & MASK(8 * stack_width(cpu)), size, false), size,
                    IR_MEM_STACK);
}

/* Where a push at stack pointer `sp` writes; raises what that write would raise. */
static uint64_t stack_probe(struct cpu *cpu, uint64_t sp, unsigned size)
{
    uint64_t addr = seg_address(cpu, S_SS, sp & MASK(8 * stack_width(cpu)), size, true);

    mmu_probe(cpu, addr, size, ACC_WRITE, IR_MEM_STACK);
    return addr;
}

uint64_t helper_pusha(struct cpu *cpu, uint64_t size)
{
    uint64_t sp = cpu->gpr[R_SP], addr[8];

    for (unsigned i = 0; i < 8; i++)
        addr[i] = stack_probe(cpu, sp - (i + 1) * size, (unsigned)size);
    for (unsigned i = 0; i < 8; i++)
        mmu_store(cpu, addr[i], cpu->gpr[i] & MASK(8 * size), (uint32_t)size, IR_MEM_STACK);
    put_reg(cpu, R_SP, stack_width(cpu), sp - 8 * size);
    return 0;
}

/* The saved SP is skipped. */
uint64_t helper_popa(struct cpu *cpu, uint64_t size)
{
    uint64_t sp = cpu->gpr[R_SP], v[8];

    for (unsigned i = 0; i < 8; i++)
        v[7 - i] = stack_load(cpu, sp + i * size, (unsigned)size);
    for (unsigned i = 0; i < 8; i++)
        if (i != R_SP)
            put_reg(cpu, i, (unsigned)size, v[i]);
    put_reg(cpu, R_SP, stack_width(cpu), sp + 8 * size);
    return 0;
}

/* Write the frame pointers of the outer levels below the saved rBP, then the new one. */
static void enter_display(struct cpu *cpu, unsigned size, unsigned level, uint64_t frame)
{
    uint64_t bp = cpu->gpr[R_BP];

    for (unsigned i = 1; i < level; i++) {
        uint64_t addr = stack_probe(cpu, frame - i * size, size);
        mmu_store(cpu, addr, stack_load(cpu, bp - i * size, size), size, IR_MEM_STACK);
    }
    mmu_store(cpu, stack_probe(cpu, frame - level * size, size), frame & MASK(8 * size), size, IR_MEM_STACK);
}

/* Everything below the old stack pointer may be written before a fault; the registers change last. */
uint64_t helper_enter(struct cpu *cpu, uint64_t size64, uint64_t locals, uint64_t level)
{
    unsigned size = (unsigned)size64;
    uint64_t frame = cpu->gpr[R_SP] - size, sp = frame - level * size - locals;
    uint64_t top = stack_probe(cpu, frame, size);

    stack_probe(cpu, sp, size);
    mmu_store(cpu, top, cpu->gpr[R_BP] & MASK(8 * size), size, IR_MEM_STACK);
    if (level)
        enter_display(cpu, size, (unsigned)level, frame);
    put_reg(cpu, R_BP, size, frame);
    put_reg(cpu, R_SP, stack_width(cpu), sp);
    return 0;
}
