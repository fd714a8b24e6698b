/* IA-32e mode: far transfers between 64-bit and compatibility code of all levels, and interrupts. What is
 * expected follows the "Operation" sections and the lists of exceptions of SDM volume 2, written here as the
 * order of their checks. */
#include "matrix64.h"

const char program_name[] = "far64";

/* ---- direct far jumps and calls ---- */

static struct ending direct_ending(u32 op, struct origin o, u32 rpl, u8 access, u8 flags)
{
    u16 sel = (u16)(SEL_TARGET | rpl);
    u32 dpl = dpl_of(access);
    struct ending e;

    if (!is_code(access) || (flags & (L | D)) == (L | D))
        return fails(V_GP, sel);
    if (is_conforming(access) ? dpl > o.cpl : rpl > o.cpl || dpl != o.cpl)
        return fails(V_GP, sel);
    if (!(access & P))
        return fails(V_NP, sel);
    e = lands(SEL_TARGET | o.cpl, SEL_DATA(o.cpl), op == CALL ? TOP - 8 : TOP);
    if (op == CALL) {
        e.size = 4;
        e.count = 2;
        e.pushed[0] = CODE + 2;
        e.pushed[1] = SEL_CODE(o.code64, o.cpl);
    }
    return e;
}

static const u8 far_modrm[] = { [JMP] = 0x2b, [CALL] = 0x1b }; /* [RBX] or [EBX] */

static void direct_case(u32 op, struct origin o, u32 rpl, u8 access, u8 flags)
{
    gdt_set(SEL_TARGET, flat(access, flags));
    run(LABEL(op, o.code64, o.cpl, rpl, access, flags), o, MACHINE(0xff, far_modrm[op]),
        (u32[8]){ LANDING, SEL_TARGET | rpl }, direct_ending(op, o, rpl, access, flags));
}

static void direct(void)
{
    static const u8 code[] = { S | CODE_SEG, S | CODE_SEG | CONFORMING };

    group("direct: op code64 cpl rpl access flags");
    EACH_ORIGIN(o) {
        for (u32 op = 0; op < 2; op++) {
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 i = 0; i < ITEMS(code) * 8; i++)
                    for (u8 flags = 0; flags <= (L | D); flags += 2)
                        direct_case(op, o, rpl, code[i & 1] | (u8)(i >> 1 << 5), flags);
            for (u32 access = 0; access < 0x100; access++) /* a present call gate leads elsewhere */
                if (!is_code((u8)access) && (access & (S | 0xf)) != 0xc)
                    direct_case(op, o, o.cpl, (u8)access, D);
        }
    }
    set_pair(SEL_LAST, call_gate(SEL_CODE(1, 3), LANDING, 0xec, 0), 0, 0);
    group("direct: null or beyond the table: op code64 cpl selector");
    EACH_ORIGIN(o)
        for (u32 op = 0; op < 2; op++) {
            static const u16 bad[] = { 0, 1, 2, 3, SEL_BEYOND, SEL_BEYOND | 3, 0xfff8, 4, SEL_LAST };
            for (u32 i = 0; i < ITEMS(bad); i++)
                run(LABEL(op, o.code64, o.cpl, bad[i]), o, MACHINE(0xff, far_modrm[op]),
                    (u32[8]){ LANDING, bad[i] }, fails(V_GP, bad[i]));
        }
}

/* Operand sizes, limits and canonical form. Prefix 66 is 16 bits, 48 is 64 bits in 64-bit code. */
static void offsets_of(struct origin o, u32 op, u32 size, u64 offset, bool to64, u32 limit)
{
    u8 prefix = size == 2 ? 0x66 : size == 8 ? 0x48 : 0x3e; /* 3E is ignored */
    u64 target = size == 8 ? offset : size == 4 ? (u32)offset : (u16)offset;
    struct ending e = lands(SEL_TARGET | o.cpl, SEL_DATA(o.cpl), op == CALL ? TOP - 2 * size : TOP);
    u32 d[8] = { 0 };

    memcpy(d, &offset, 8);
    memcpy((u8 *)d + size, &(u16){ SEL_TARGET | o.cpl }, 2);
    e.ip = target + 2;
    if (op == CALL) {
        e.size = size;
        e.count = 2;
        e.pushed[0] = size == 2 ? (u16)(CODE + 3) : CODE + 3;
        e.pushed[1] = SEL_CODE(o.code64, o.cpl);
    }
    if (to64 ? !canonical(target) : target > limit)
        e = fails(V_GP, 0);
    gdt_set(SEL_TARGET, desc(0, limit >> 12 ? limit >> 12 : limit,
                             (u8)(P | o.cpl << 5 | S | CODE_SEG | READABLE),
                             (limit >> 12 ? G : 0) | (to64 ? L : D)));
    run(LABEL(op, o.code64, o.cpl, size, to64, (u32)(offset >> 32), (u32)offset, limit), o,
        MACHINE(prefix, 0xff, far_modrm[op]), d, e);
}

static void offsets(void)
{
    static const u64 offset[] = { LANDING, HIGH | LANDING, NONCANON | LANDING,
                                  NONCANON - 1 + 0x1000000000000ULL, 0xffff000000000000ULL | LANDING,
                                  0x8000000000000000ULL | LANDING };

    group("direct: op code64 cpl size to64 offset limit");
    EACH_ORIGIN(o)
        for (u32 op = 0; op < 2; op++)
            for (u32 size = 2; size <= (o.code64 ? 8 : 4); size *= 2) {
                for (u32 i = 0; i < (size == 8 ? ITEMS(offset) : 1); i++)
                    offsets_of(o, op, size, offset[i], true, 0xffffffff);
                offsets_of(o, op, size, LANDING, true, 0x10); /* no limit in 64-bit mode */
                offsets_of(o, op, size, LANDING, false, 0xffffffff);
                offsets_of(o, op, size, LANDING, false, 0x6fff);
                offsets_of(o, op, size, LANDING, false, 0x5fff);
                offsets_of(o, op, size, LANDING, false, 0xfff);
            }
}

/* Room for the return address comes before the offset. */
static void call_order(void)
{
    static const u64 sp[] = { TOP, NONCANON + 4, 0xffff800000000006ULL };

    group("direct: room, then offset: to64 gate cpl sp offset");
    for (u32 i = 0; i < 2 * 2 * 4 * ITEMS(sp) * 2; i++) {
        bool to64 = i & 1, gate = i >> 1 & 1;
        u32 cpl = i >> 2 & 3;
        u64 offset = i >> 4 & 1 ? NONCANON : LANDING;
        struct test t = start(LABEL(to64, gate, cpl, i >> 5, i >> 4 & 1), (struct origin){ true, cpl },
                              MACHINE(0x48, 0xff, 0x1b));
        struct ending e = i >> 5 ? fails(V_SS, 0) : fails(V_GP, 0);
        if (!(i >> 4))
            continue; /* nothing is wrong: see above */
        t.sp = sp[i >> 5];
        set_pair(SEL_GATE, call_gate(SEL_CODE(1, cpl), (u32)offset, 0xec, 0), (u32)(offset >> 32), 0);
        memcpy(t.d, &offset, 8);
        t.d[2] = gate ? SEL_GATE | cpl : SEL_CODE(to64, cpl);
        end(&t, e);
    }
}

/* The far pointer in the instruction is of compatibility mode alone; in 64-bit code see invalid(). */
static void pointers(void)
{
    group("pointer in the instruction: call to64 cpl");
    for (u32 call = 0; call < 2; call++)
        for (u32 to64 = 0; to64 < 2; to64++)
            for (u32 cpl = 0; cpl < 4; cpl++) {
                u16 sel = SEL_CODE(to64, cpl);
                struct ending e = lands(sel, SEL_DATA(cpl), call ? TOP - 8 : TOP);
                run(LABEL(call, to64, cpl), (struct origin){ 0, cpl },
                    MACHINE(call ? 0x9a : 0xea, LANDING & 0xff, LANDING >> 8, 0, 0, (u8)sel, (u8)(sel >> 8)),
                    0, e);
            }
}

/* ---- call gates ---- */

struct gate_case {
    u32 op, rpl;
    u8 gate, access, flags, upper_type;
    u16 target;
    u64 offset;
};

static struct ending gate_ending(struct origin o, const struct gate_case *c)
{
    u32 dpl = dpl_of(c->access), level = is_conforming(c->access) ? o.cpl : dpl;
    struct ending e;

    if (dpl_of(c->gate) < o.cpl || c->rpl > dpl_of(c->gate) || c->upper_type)
        return fails(V_GP, SEL_GATE);
    if (!(c->gate & P))
        return fails(V_NP, SEL_GATE);
    if (c->target != (SEL_TARGET | 3))
        return fails(V_GP, c->target);
    if (!is_code(c->access) || dpl > o.cpl || (c->op == JMP && level != o.cpl))
        return fails(V_GP, SEL_TARGET);
    if ((c->flags & (L | D)) != L)
        return fails(V_GP, SEL_TARGET);
    if (!(c->access & P))
        return fails(V_NP, SEL_TARGET);
    if (!canonical(c->offset))
        return fails(V_GP, 0);
    e = lands(SEL_TARGET | level, SEL_DATA(o.cpl), TOP);
    e.ip = c->offset + 2;
    if (c->op == JMP)
        return e;
    e.size = 8;
    e.count = level == o.cpl ? 2 : 4;
    e.pushed[0] = CODE + 2;
    e.pushed[1] = SEL_CODE(o.code64, o.cpl);
    e.pushed[2] = TOP;
    e.pushed[3] = SEL_DATA(o.cpl);
    if (level != o.cpl)
        e.ss = level; /* null */
    e.sp = (level == o.cpl ? TOP : rsp_of(level)) - 8 * e.count;
    return e;
}

static void gate_case(struct origin o, struct gate_case c)
{
    gdt_set(SEL_TARGET, flat(c.access, c.flags));
    set_pair(SEL_GATE, call_gate(c.target, (u32)c.offset, c.gate, 0), (u32)(c.offset >> 32), c.upper_type);
    run(LABEL(c.op, o.code64, o.cpl, c.rpl, c.gate, c.access, c.flags, c.upper_type, c.target,
              (u32)(c.offset >> 32)),
        o, MACHINE(0xff, far_modrm[c.op]), (u32[8]){ 0x12345678, SEL_GATE | c.rpl }, gate_ending(o, &c));
}

static void gates_of(struct origin o, u32 op)
{
    static const u8 types[] = { S | CODE_SEG, S | CODE_SEG | CONFORMING, S | WRITABLE, 2 };
    static const u16 targets[] = { 0, 3, SEL_BEYOND, SEL_BEYOND | 3 };
    static const u64 offset[] = { HIGH | LANDING, NONCANON, 0xffff000000000000ULL, 0x8000000000000000ULL };
    struct gate_case good = { op, o.cpl, 0xec, (u8)(P | o.cpl << 5 | S | CODE_SEG), L, 0, SEL_TARGET | 3,
                              LANDING };
    struct gate_case c = good;

    for (u32 gate = 0; gate < 8; gate++) {
        c.gate = (u8)(0xc | gate << 5);
        for (c.rpl = 0; c.rpl < 4; c.rpl++)
            gate_case(o, c);
        c.rpl = o.cpl;
        for (u32 i = 0; i < ITEMS(types) * 8; i++) {
            c.access = types[i & 3] | (u8)(i >> 2 << 5);
            gate_case(o, c);
        }
        c.access = good.access;
    }
    c = good;
    for (u32 level = 0; level < 4; level++)
        for (u32 flags = 0; flags <= (L | D); flags += 2)
            for (u32 type = 0; type < 4; type++) {
                c.access = (u8)((type & 1 ? P : 0) | level << 5 | types[type >> 1]);
                c.flags = (u8)flags;
                gate_case(o, c);
            }
    c = good;
    for (u32 type = 1; type < 32; type++) {
        c.upper_type = (u8)type;
        gate_case(o, c);
    }
    c = good;
    for (u32 i = 0; i < ITEMS(targets); i++) {
        c.target = targets[i];
        gate_case(o, c);
    }
    c = good;
    for (u32 level = 0; level <= o.cpl; level++)
        for (u32 i = 0; i < ITEMS(offset); i++) {
            c.access = (u8)(P | level << 5 | S | CODE_SEG);
            c.offset = offset[i];
            gate_case(o, c);
        }
}

static void gates(void)
{
    group("call gates: op code64 cpl rpl gate access flags upper target offset");
    EACH_ORIGIN(o)
        for (u32 op = 0; op < 2; op++)
            gates_of(o, op);
}

/* Which inner stack is bad comes before whether the offset is. */
static void gate_stacks(void)
{
    struct gate64 keep = idt64[VEC_CASE];
    static const u64 sp[] = { NONCANON + 16, 0xffff800000000000ULL, 0xffff800000000018ULL,
                              0x8000000000000000ULL };
    static const u64 offset[] = { LANDING, NONCANON };

    group("inner stacks: by_int code64 level sp offset");
    for (u32 i = 0; i < 2 * 2 * 2 * ITEMS(sp) * ITEMS(offset); i++) {
        bool by_int = i & 1, code64 = i & 2;
        u32 level = 1 + (i >> 2 & 1);
        u64 to = offset[i >> 3 & 1];
        set_rsp(level, sp[i >> 4]);
        set_pair(SEL_GATE, call_gate(SEL_CODE(1, level), (u32)to, 0xec, 0), (u32)(to >> 32), 0);
        idt64[VEC_CASE] = (struct gate64){ .lo = (u16)to, .sel = SEL_CODE(1, level), .type = 0xee,
                                           .top = (u32)(to >> 32) };
        run(LABEL(by_int, code64, level, i >> 4, i >> 3 & 1), (struct origin){ code64, 3 },
            by_int ? MACHINE(0xcd, VEC_CASE) : MACHINE(0xff, far_modrm[CALL]), (u32[8]){ 0, SEL_GATE | 3 },
            fails(V_SS, 0));
    }
    setup64();
    idt64[VEC_CASE] = keep;
}

/* The handlers run without IST here, as a short TSS has none. */
static void short_tss(void)
{
    static const u16 limits[] = { 11, 18, 19, 26, 27, 35 };
    struct gate64 gate = idt64[VEC_CASE];
    u64 keep = gdt[SEL_TSS64 / 8];

    group("short tss: by_int level limit");
    idt64[0x40].ist = idt64[10].ist = 0;
    for (u32 i = 0; i < 2 * 2 * ITEMS(limits); i++) {
        bool by_int = i & 1;
        u32 level = 1 + (i >> 1 & 1), limit = limits[i >> 2];
        struct ending e = lands(SEL_CODE(1, level), level, INNER_SP(level) - (by_int ? 40 : 32));
        if (8 * level + 4 + 7 > limit)
            e = fails(V_TS, SEL_TSS64);
        gdt_set(SEL_TSS64, (keep & ~0xffffULL) | limit);
        set_pair(SEL_GATE, call_gate(SEL_CODE(1, level), LANDING, 0xec, 0), 0, 0);
        idt64[VEC_CASE] = (struct gate64){ .lo = LANDING, .sel = SEL_CODE(1, level), .type = 0xee };
        run(LABEL(by_int, level, limit), (struct origin){ true, 3 },
            by_int ? MACHINE(0xcd, VEC_CASE) : MACHINE(0xff, far_modrm[CALL]),
            (u32[8]){ 0, SEL_GATE | 3 }, e);
    }
    gdt_set(SEL_TSS64, keep);
    idt64[0x40].ist = idt64[10].ist = 1;
    idt64[VEC_CASE] = gate;
}

/* ---- returns ---- */

struct return_case {
    u32 op, size, rpl, drop;
    u8 access, flags;
    u64 ip;
    u16 ss;
    u8 ss_access;
};

static bool pops_stack(struct origin o, const struct return_case *c)
{
    return c->rpl > o.cpl || (c->op == IRET && o.code64);
}

/* The new SS: null is good for 64-bit code above level 3 only. */
static struct ending return_stack(const struct return_case *c)
{
    if (!(c->ss & ~3) && (!(c->flags & L) || c->rpl == 3 || (c->ss & 3) != c->rpl))
        return fails(V_GP, 0);
    if (!(c->ss & ~3))
        return (struct ending){ .vec = DONE };
    if (c->ss == SEL_BEYOND || (c->ss & 3) != c->rpl || dpl_of(c->ss_access) != c->rpl ||
        (c->ss_access & (S | CODE_SEG | WRITABLE)) != (S | WRITABLE))
        return fails(V_GP, c->ss);
    if (!(c->ss_access & P))
        return fails(V_SS, c->ss);
    return (struct ending){ .vec = DONE };
}

static struct ending return_ending(struct origin o, const struct return_case *c)
{
    u16 sel = (u16)(SEL_TARGET | c->rpl);
    u32 dpl = dpl_of(c->access), items = c->op == IRET ? 3 : 2;
    u64 ip = cut(c->ip, c->size);
    struct ending e;

    if (!is_code(c->access) || (c->flags & (L | D)) == (L | D) || c->rpl < o.cpl)
        return fails(V_GP, sel);
    if (is_conforming(c->access) ? dpl > c->rpl : dpl != c->rpl)
        return fails(V_GP, sel);
    if (!(c->access & P))
        return fails(V_NP, sel);
    e = pops_stack(o, c) ? return_stack(c) : (struct ending){ .vec = DONE };
    if (e.vec != DONE)
        return e;
    if (c->flags & L ? !canonical(ip) : ip > 0xffffffff)
        return fails(V_GP, 0);
    e = lands(sel, SEL_DATA(o.cpl), FRAME + items * c->size + c->drop);
    e.ip = ip + 2;
    if (pops_stack(o, c)) {
        e.ss = c->ss;
        e.sp = OUTER_SP + c->drop;
    }
    return e;
}

static void put_item(u32 *at, u64 v, u32 size)
{
    memcpy((void *)(*at), &v, size);
    *at += size;
}

static void return_case(struct origin o, struct return_case c)
{
    u8 prefix = c.size == 2 ? 0x66 : c.size == 8 ? 0x48 : 0x3e;
    u8 opcode = c.op == IRET ? 0xcf : c.drop ? 0xca : 0xcb;
    struct test t = start(LABEL(c.op, o.code64, o.cpl, c.size, c.rpl, c.access, c.flags, c.ss, c.ss_access,
                                (u32)(c.ip >> 32)),
                          o, MACHINE(prefix, opcode, (u8)c.drop, (u8)(c.drop >> 8)));
    u32 at = FRAME;

    gdt_set(SEL_TARGET, flat(c.access, c.flags));
    put_item(&at, c.ip, c.size);
    put_item(&at, SEL_TARGET | c.rpl, c.size);
    if (c.op == IRET)
        put_item(&at, 2, c.size);
    at += c.drop;
    put_item(&at, OUTER_SP, c.size);
    put_item(&at, c.ss, c.size);
    t.sp = FRAME;
    end(&t, return_ending(o, &c));
}

static struct return_case good_return(u32 op, u32 size, u32 rpl)
{
    return (struct return_case){ .op = op, .size = size, .rpl = rpl, .flags = L, .ip = LANDING,
                                 .access = (u8)(P | S | CODE_SEG | rpl << 5), .ss = SEL_DATA(rpl),
                                 .ss_access = (u8)(P | S | WRITABLE | rpl << 5) };
}

static void return_codes(struct origin o, u32 op, u32 size)
{
    static const u8 types[] = { S | CODE_SEG, S | CODE_SEG | CONFORMING };
    static const u8 bad[] = { S | WRITABLE, S | WRITABLE | 4, 2, 9, 0xb, 0xc, 0xe };

    for (u32 rpl = 0; rpl < 4; rpl++) {
        struct return_case c = good_return(op, size, rpl);
        for (u32 i = 0; i < ITEMS(types) * 8; i++)
            for (c.flags = 0; c.flags <= (L | D); c.flags += 2) {
                c.access = types[i & 1] | (u8)(i >> 1 << 5);
                return_case(o, c);
            }
        for (u32 i = 0; i < ITEMS(bad); i++) {
            c.flags = D;
            c.access = (u8)(P | rpl << 5 | bad[i]);
            return_case(o, c);
        }
    }
}

static void return_offsets(struct origin o, u32 op, u32 size)
{
    static const u64 ip[] = { LANDING, HIGH | LANDING, NONCANON | LANDING, 0xffff000000000000ULL | LANDING,
                              0x8000000000000000ULL | LANDING };

    for (u32 rpl = o.cpl; rpl < 4; rpl++) {
        struct return_case c = good_return(op, size, rpl);
        for (u32 i = 0; i < (size == 8 ? ITEMS(ip) : 1); i++) {
            c.ip = ip[i];
            return_case(o, c);
        }
        c.ip = NONCANON;
        c.ss = SEL_DATA(rpl) ^ 3; /* the stack is looked at before the instruction pointer */
        if (size == 8 && op == RETF)
            return_case(o, c);
        for (c.ip = LANDING, c.ss = SEL_DATA(rpl), c.drop = 16; op == RETF && c.drop < 64; c.drop += 16)
            return_case(o, c);
    }
}

static void return_stacks(struct origin o, u32 op, u32 size)
{
    static const u8 types[] = { S | WRITABLE, S, S | WRITABLE | 4, S | CODE_SEG | READABLE, 2 };

    for (u32 rpl = o.cpl; rpl < 4; rpl++) {
        struct return_case c = good_return(op, size, rpl);
        for (c.flags = L; c.flags <= D; c.flags += 2) {
            for (c.ss = 0; c.ss < 4; c.ss++) {
                c.ip = size == 8 ? HIGH | LANDING : LANDING;
                if (c.flags == D)
                    c.ip = LANDING;
                return_case(o, c);
            }
            c.ip = LANDING;
            c.ss = SEL_BEYOND;
            return_case(o, c);
            for (u32 ss_rpl = 0; ss_rpl < 4; ss_rpl++)
                for (u32 i = 0; i < (ss_rpl == rpl ? ITEMS(types) * 8 : 8); i++) {
                    c.ss = (u16)(SEL_STACK | ss_rpl);
                    c.ss_access = types[i >> 3] | (u8)(i << 5);
                    gdt_set(SEL_STACK, flat(c.ss_access, D));
                    return_case(o, c);
                }
        }
    }
}

static void returns(void)
{
    group("returns: iret code64 cpl size rpl access flags ss ss_access ip");
    EACH_ORIGIN(o)
        for (u32 op = 0; op < 2; op++) {
            for (u32 size = 2; size <= (o.code64 ? 8 : 4); size *= 2)
                return_offsets(o, op, size);
            return_codes(o, op, o.code64 ? 8 : 4);
            if (!(o.cpl & 1))
                return_codes(o, op, o.code64 ? 4 : 2);
            return_stacks(o, op, o.code64 ? 8 : 4);
        }
}

/* Compatibility code has a limit, 64-bit code has none. */
static void return_limits(void)
{
    static const u32 limits[] = { LANDING - 1, 0xfff, LANDING + 1 };

    group("returns: iret code64 cpl rpl to64 limit");
    EACH_ORIGIN(o)
        for (u32 i = 0; i < 2 * 4 * 2 * ITEMS(limits); i++) {
            u32 op = i & 1, rpl = i >> 1 & 3, to64 = i >> 3 & 1, limit = limits[i >> 4], at = FRAME;
            struct return_case c = good_return(op, 4, rpl);
            struct test t = start(LABEL(op, o.code64, o.cpl, rpl, to64, limit), o,
                                  MACHINE(op == IRET ? 0xcf : 0xcb));
            struct ending e = return_ending(o, &c);
            if (rpl < o.cpl)
                continue;
            if (!to64 && limit < LANDING)
                e = fails(V_GP, 0);
            gdt_set(SEL_TARGET, desc(0, limit, c.access, to64 ? L : D));
            put_item(&at, LANDING, 4);
            put_item(&at, SEL_TARGET | rpl, 4);
            if (op == IRET)
                put_item(&at, 2, 4);
            put_item(&at, OUTER_SP, 4);
            put_item(&at, SEL_DATA(rpl), 4);
            t.sp = FRAME;
            end(&t, e);
        }
}

/* Which flags IRET changes, and that NT makes it fail. */
static void iret_flags_case(struct origin o, u32 iopl, u32 size, u32 old, u64 image)
{
    u32 mask = 0x4cd5 | DF | OF; /* CF to SF, DF, OF, NT */
    struct test t = start(LABEL(o.code64, o.cpl, iopl, size, old, (u32)image), o,
                          MACHINE(size == 2 ? 0x66 : size == 8 ? 0x48 : 0x3e, 0xcf));
    struct ending e = lands(SEL_CODE(1, 3), SEL_DATA(3), OUTER_SP);
    u32 at = FRAME, all = 0x3ffed7;

    if (size > 2)
        mask |= AC | 1 << 21;
    if (o.cpl <= iopl)
        mask |= IF;
    if (o.cpl == 0)
        mask |= IOPL3 | (size > 2 ? VIF | VIP : 0);
    old |= iopl << 12;
    put_item(&at, LANDING, size);
    put_item(&at, SEL_CODE(1, 3), size);
    put_item(&at, image, size);
    put_item(&at, OUTER_SP, size);
    put_item(&at, SEL_DATA(3), size);
    if (!o.code64 && o.cpl == 3)
        e.sp = FRAME + 3 * size; /* no other stack */
    t.sp = FRAME;
    t.fl = old;
    t.x[4] = (struct expect){ FL, ((old & ~mask) | (image & mask) | 2) & all, all };
    if (old & NT) {
        e = fails(V_GP, 0);
        t.x[4] = (struct expect){ FL, (old | 2 | RF) & all, all };
    }
    end(&t, e);
}

static void iret_flags(void)
{
    static const u64 image[] = { 2, 0x3a7ed7, 0x200, 0x3000, 0x180000, 0x244000, 0x20002 | VIF,
                                 0xffffffff003a7cd7 };
    static const u32 old[] = { 0, AC | VIF | 1 << 21 | CF | OF, VIP | DF, NT, IF };

    group("iret: code64 cpl iopl size old image");
    EACH_ORIGIN(o)
        for (u32 iopl = 0; iopl < 4; iopl++)
            for (u32 size = 2; size <= (o.code64 ? 8 : 4); size *= 2)
                for (u32 i = 0; i < ITEMS(old); i++)
                    for (u32 j = 0; j < ITEMS(image); j++)
                        iret_flags_case(o, iopl, size, old[i], image[j]);
}

/* A return to an outer level takes away the segments that it may not use. */
static void return_segments(void)
{
    static const u8 types[] = { S | WRITABLE, S | CODE_SEG | READABLE, S | CODE_SEG | READABLE | CONFORMING };

    group("segments of returns: iret level type dpl");
    for (u32 i = 0; i < 2 * 4 * ITEMS(types) * 4; i++) {
        u32 op = i & 1, level = i >> 1 & 3, dpl = i >> 3 & 3;
        u8 type = types[i >> 5];
        struct return_case c = good_return(op, 8, level);
        struct origin o = { true, 0 };
        struct test t = start(LABEL(op, level, type, dpl), o, MACHINE(0x48, op == IRET ? 0xcf : 0xcb));
        u32 at = FRAME;
        gdt_set(SEL_TARGET, flat(c.access, c.flags));
        gdt_set(SEL_STACK, flat((u8)(P | dpl << 5 | type), D));
        put_item(&at, LANDING, 8);
        put_item(&at, SEL_TARGET | level, 8);
        if (op == IRET)
            put_item(&at, 2, 8);
        put_item(&at, OUTER_SP, 8);
        put_item(&at, SEL_DATA(level), 8);
        t.sp = FRAME;
        t.ds = t.es = t.fs = t.gs = SEL_STACK;
        for (u32 seg = 0; seg < 4; seg++)
            t.x[4 + seg] = (struct expect){ (const enum what[]){ ES, DS, FS, GS }[seg],
                                            dpl < level && !(type & CONFORMING) ? 0 : SEL_STACK, 0 };
        end(&t, return_ending(o, &c));
    }
}

/* ---- interrupts ---- */

static struct ending int_ending(struct origin o, u8 gate, u8 access, u8 flags)
{
    u32 type = gate & 0x1f, dpl = dpl_of(access), level = is_conforming(access) ? o.cpl : dpl;
    struct ending e;

    if ((type != 0xe && type != 0xf) || dpl_of(gate) < o.cpl)
        return (struct ending){ .vec = V_GP, .err = VEC_CASE * 8 + 2 };
    if (!(gate & P))
        return (struct ending){ .vec = V_NP, .err = VEC_CASE * 8 + 2 };
    if (!is_code(access) || dpl > o.cpl || (flags & (L | D)) != L)
        return fails(V_GP, SEL_TARGET);
    if (!(access & P))
        return fails(V_NP, SEL_TARGET);
    e = lands(SEL_TARGET | level, SEL_DATA(o.cpl), (level < o.cpl ? rsp_of(level) : TOP) - 40);
    if (level < o.cpl)
        e.ss = level;
    e.size = 8;
    e.count = 5;
    e.pushed[0] = CODE + 2;
    e.pushed[1] = SEL_CODE(o.code64, o.cpl);
    e.pushed[2] = 2;
    e.pushed[3] = TOP;
    e.pushed[4] = SEL_DATA(o.cpl);
    return e;
}

static void int_case(struct origin o, u8 gate, u8 access, u8 flags)
{
    gdt_set(SEL_TARGET, flat(access, flags));
    idt64[VEC_CASE] = (struct gate64){ .lo = LANDING, .sel = SEL_TARGET | 3, .type = gate };
    run(LABEL(o.code64, o.cpl, gate, access, flags), o, MACHINE(0xcd, VEC_CASE), 0,
        int_ending(o, gate, access, flags));
}

static void interrupts(void)
{
    static const u8 types[] = { S | CODE_SEG, S | CODE_SEG | CONFORMING, S | WRITABLE, 2 };

    struct gate64 keep = idt64[VEC_CASE];

    group("interrupts: code64 cpl gate access flags");
    EACH_ORIGIN(o) {
        for (u32 gate = 0; gate < 0x100; gate++)
            int_case(o, (u8)gate, (u8)(P | o.cpl << 5 | S | CODE_SEG), L);
        for (u32 gate = 0; gate < 8; gate++)
            for (u32 i = 0; i < ITEMS(types) * 8; i++)
                int_case(o, (u8)(0xe | gate << 5), types[i & 3] | (u8)(i >> 2 << 5), L);
        for (u32 i = 0; i < 2 * 8; i++)
            for (u8 flags = 0; flags <= (L | D); flags += 2)
                int_case(o, 0xee, types[i & 1] | (u8)(i >> 1 << 5), flags);
    }
    idt64[VEC_CASE] = keep;
}

/* Every IST entry, level and alignment of the stack, with and without an error code: the frame lies below the
 * stack pointer rounded down to 16. */
static void stack_case(struct origin o, u32 level, u32 ist, u32 skew, bool fault)
{
    struct ending e = lands(SEL_CODE(1, level), level < o.cpl ? level : SEL_DATA(o.cpl), 0);
    u64 sp = TOP - skew, from = ist ? tss64.ist[2 * (ist - 1)] : level < o.cpl ? rsp_of(level) : sp;
    u32 vec = fault ? 13 : VEC_CASE;
    struct gate64 keep = idt64[vec];
    struct test t = start(LABEL(o.code64, o.cpl, level, ist, skew, fault), o,
                          fault ? MACHINE(0xcd, 0x70) : MACHINE(0xcd, VEC_CASE));

    idt64[vec] = (struct gate64){ .lo = LANDING, .sel = SEL_CODE(1, level), .ist = ist, .type = 0xef };
    t.sp = sp;
    t.fl = CF;
    t.x[9] = (struct expect){ 0 };
    e.size = 8;
    e.count = ist == 1 ? 0 : 5; /* the end of the case goes there too */
    e.sp = (from & ~15ULL) - (fault ? 48 : 40);
    e.pushed[0] = fault ? 0x70 * 8 + 2 : CODE + 2;
    e.pushed[1 - !fault] = fault ? CODE : CODE + 2;
    e.pushed[2 - !fault] = SEL_CODE(o.code64, o.cpl);
    e.pushed[3 - !fault] = fault ? RF | CF | 2 : CF | 2;
    e.pushed[4 - !fault] = sp;
    if (!fault)
        e.pushed[4] = SEL_DATA(o.cpl);
    end(&t, e);
    idt64[vec] = keep;
}

static void int_stacks(void)
{
    struct gate64 keep = idt64[0x70];

    group("interrupt stacks: code64 cpl level ist skew fault");
    idt64[0x70].type = 0; /* #GP with an error code */
    for (u32 skew = 0; skew < 18; skew++) {
        set_rsp(1, INNER_SP(1) - 3 * skew);
        set_rsp(2, INNER_SP(2) - 5 * skew);
        EACH_ORIGIN(o)
            for (u32 level = 0; level <= o.cpl; level++)
                for (u32 ist = 0; ist < 8; ist++)
                    if (skew < 2 || !ist || skew == ist)
                        for (u32 fault = 0; fault < 2; fault++)
                            stack_case(o, level, ist, skew, fault);
    }
    setup64();
    idt64[0x70] = keep;
}

void program(const char *command_line)
{
    (void)command_line;
    if (!HAS_LM) {
        check("no long mode to test", HAS_LM, 0);
        return;
    }
    setup64();
    direct();
    offsets();
    call_order();
    pointers();
    gates();
    gate_stacks();
    short_tss();
    returns();
    return_limits();
    iret_flags();
    return_segments();
    interrupts();
    int_stacks();
}
