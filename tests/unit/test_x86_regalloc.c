/* x86-64 register allocation: last uses, hints, conditions left to consumers; eviction, slots, aliases. */
#include <check.h>
#include <stdlib.h>

#include "tcg/host/x86_64/regalloc.h"

static struct regalloc *ra;
static struct enc enc;
static uint8_t *bytes;
static struct ir_insn code[64];
static unsigned num;

static void setup(void)
{
    ra = malloc(sizeof(*ra));
    bytes = malloc(1 << 16);
    enc.at = bytes;
    num = 1;
}

static void teardown(void)
{
    free(ra);
    free(bytes);
}

static ir_ref add(unsigned op, unsigned type, ir_ref a, ir_ref b, uint64_t imm)
{
    code[num] = (struct ir_insn){ .op = (uint8_t)op, .type = (uint8_t)type, .a = a, .b = b, .imm = imm };
    return (ir_ref)num++;
}

static ir_ref load(unsigned n) { return add(IR_LDE, IR_I64, 0, 0, 8 * n); }
static ir_ref store(ir_ref v) { return add(IR_STE, IR_I64, v, 0, 0); }
static void analyse(void) { ra_analyse(ra, &enc, code, num); }

START_TEST(test_last_use)
{
    ir_ref a = load(1), b = load(2), s = add(IR_ADD, IR_I64, a, b, 0), unused = add(IR_ADD, IR_I64, s, s, 0);
    ir_ref st = store(s);

    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert_uint_eq(ra->val[a].last_use, s);
    ck_assert_uint_eq(ra->val[b].last_use, s);
    ck_assert_uint_eq(ra->val[s].last_use, st);
    ck_assert(ra_is_silent(ra, unused));
    ck_assert(!ra_is_silent(ra, s));
}
END_TEST

/* What only the flags of a shift want is made by who writes them; conditions on C want it as a value. */
START_TEST(test_late_shift)
{
    ir_ref a = load(1), n = add(IR_CONST, IR_I32, 0, 0, 3), x = add(IR_SHR, IR_I64, a, n, 0);
    ir_ref res = add(IR_SHR, IR_I64, x, n, 0), f = add(IR_FL_SHR, IR_I64, res, x, 0);
    ir_ref cond = add(IR_COND, 0, f, 0, 0), st = store(res), ld = add(IR_LD, IR_I64, res, 0, 0);

    code[res].a = a;
    code[ld].fl = f;
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert(ra_is_silent(ra, x));
    ck_assert_uint_eq(ra->val[a].last_use, ld);
    code[st] = (struct ir_insn){ .op = IR_STE, .type = IR_I32, .a = cond };
    for (unsigned cc = 0; cc < 16; cc++) {
        code[cond].cc = (uint8_t)cc;
        analyse();
        ck_assert_uint_eq(ra_is_silent(ra, x), cc > CC_AE);
    }
}
END_TEST

/* An addition of a scaled index looks at the index; the shift is made only for others. */
START_TEST(test_scaled)
{
    ir_ref a = load(1), x = load(2), n = add(IR_CONST, IR_I32, 0, 0, 3), s = add(IR_SHL, IR_I64, x, n, 0);
    ir_ref first = add(IR_ADD, IR_I64, a, s, 0), second = add(IR_ADD, IR_I64, first, s, 0), other;

    code[n].imm = 3;
    other = store(second);
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert(ra_is_silent(ra, s));
    ck_assert_uint_eq(ra->val[x].last_use, second);
    code[other].a = s;
    analyse();
    ck_assert_uint_eq(ra->val[s].last_use, other);
    code[other].a = second;
    code[n].imm = 4;
    analyse();
    ck_assert_uint_eq(ra->val[s].last_use, second);
    ck_assert_uint_eq(ra->val[x].last_use, s);
}
END_TEST

/* Flags pending at a faulting instruction keep their operands. */
START_TEST(test_pending_flags)
{
    ir_ref a = load(1), b = load(2), s = add(IR_ADD, IR_I64, a, b, 0), f = add(IR_FL_ADD, IR_I64, s, b, 0);
    ir_ref ld = add(IR_LD, IR_I64, a, 0, 0);

    code[ld].fl = f;
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert_uint_eq(ra->val[s].last_use, ld);
    ck_assert_uint_eq(ra->val[b].last_use, ld);
    ck_assert(ra_is_silent(ra, f));
}
END_TEST

START_TEST(test_deferred)
{
    ir_ref a = load(1), b = load(2), f = add(IR_FL_CMP, IR_I64, a, b, 0), once = add(IR_COND, 0, f, 0, 0);
    ir_ref twice = add(IR_COND, 0, f, 0, 0), st = add(IR_STE, IR_I32, twice, 0, 0);
    ir_ref sel = add(IR_SELECT, IR_I64, twice, a, 0);

    code[sel].c = a;
    store(sel);
    ir_ref br = add(IR_BR, IR_I64, once, 0, 0);
    analyse();
    ck_assert(ra->val[once].mark & RA_DEFERRED);
    ck_assert(ra_is_silent(ra, once));
    ck_assert_uint_eq(ra->val[b].last_use, br);
    ck_assert(!(ra->val[twice].mark & RA_DEFERRED));
    ck_assert_uint_ge(ra->val[twice].last_use, st);
}
END_TEST

/* A carry is left to its user if it is adjacent, else made where the host's flags have it. */
START_TEST(test_carry)
{
    ir_ref a = load(1), b = load(2), near = add(IR_CMP, IR_I64, a, b, 0), far, sum;

    add(IR_PUT, IR_I64, a, 0, 9);
    sum = add(IR_ADC, IR_I64, a, b, 0);
    code[sum].c = near;
    store(sum);
    far = add(IR_CMP, IR_I64, b, a, 0);
    code[far].cc = IR_CMP_LTU;
    store(add(IR_MUL, IR_I64, a, b, 0));
    sum = add(IR_SBB, IR_I64, a, b, 0);
    code[sum].c = far;
    store(sum);
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert(ra->val[near].mark & RA_DEFERRED);
    ck_assert(!(ra->val[far].mark & RA_DEFERRED));
}
END_TEST

/* FL_SETC: only C and what contains C see the new bit. */
START_TEST(test_resolve)
{
    ir_ref a = load(1), c = load(2), f = add(IR_FL_LOGIC, IR_I64, a, 0, 0), s = add(IR_FL_SETC, 0, f, c, 0);
    ir_ref g = s, inc = add(IR_FL_INC, IR_I64, a, c, 0), mul = add(IR_FL_MUL, IR_I64, a, c, 0);

    ck_assert_uint_eq(flags_resolve(code, &g, CC_AE), c);
    ck_assert_uint_eq(flags_resolve(code, &g, CC_A), 0);
    ck_assert_uint_eq(g, s);
    ck_assert_uint_eq(flags_resolve(code, &g, CC_LE), 0);
    ck_assert_uint_eq(g, f);
    ck_assert_uint_eq(flags_resolve(code, &inc, CC_B), c);
    ck_assert_uint_eq(flags_resolve(code, &inc, CC_O), 0);
    ck_assert_uint_eq(flags_resolve(code, &mul, CC_NO), c);
    mul = add(IR_FL_CO, IR_I32, a, c, 0);
    code[mul].c = inc;
    ck_assert_uint_eq(flags_resolve(code, &mul, CC_B), c);
    ck_assert_uint_eq(flags_resolve(code, &mul, CC_O), inc);
    ck_assert_uint_eq(flags_resolve(code, &mul, CC_BE), 0);
}
END_TEST

/* A result may be made in the guest register that it goes to, unless the old content can still be seen. */
START_TEST(test_hints)
{
    ir_ref a = load(1), direct = add(IR_ADD, IR_I64, a, a, 0);
    add(IR_PUT, IR_I64, direct, 0, 3);
    ir_ref early = add(IR_ADD, IR_I64, a, direct, 0), ld = add(IR_LD, IR_I64, a, 0, 0);
    add(IR_PUT, IR_I64, early, 0, 1);
    ir_ref behind = add(IR_ADD, IR_I64, ld, a, 0), get = add(IR_GET, IR_I64, 0, 0, 2);
    add(IR_PUT, IR_I64, behind, 0, 2);
    store(get);
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert_uint_eq(ra->val[direct].hint, x86_pinned[3]);
    ck_assert_uint_eq(ra->val[early].hint, NO_REG);
    ck_assert_uint_eq(ra->val[behind].hint, NO_REG);
}
END_TEST

/* A load that is extended on its way to a guest register is made there, if its old content is not seen behind the load. */
START_TEST(test_hint_of_load)
{
    ir_ref a = load(1), near = add(IR_LD, IR_I8, a, 0, 0), wide = add(IR_ZEXT, IR_I64, near, 0, 0);
    add(IR_PUT, IR_I64, wide, 0, 3);
    ir_ref far = add(IR_LD, IR_I16, a, 0, 0), get = add(IR_GET, IR_I64, 0, 0, 4);
    ir_ref zext = add(IR_ZEXT, IR_I32, far, 0, 0);
    add(IR_PUT, IR_I32, zext, 0, 4);
    store(get);
    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert_uint_eq(ra->val[wide].hint, x86_pinned[3]);
    ck_assert_uint_eq(ra->val[near].hint, x86_pinned[3]);
    ck_assert_uint_eq(ra->val[zext].hint, x86_pinned[4]);
    ck_assert_uint_eq(ra->val[far].hint, NO_REG);
}
END_TEST

/* The host masks the count of a shift itself; the masked value is made only for others. */
START_TEST(test_shift_count)
{
    ir_ref a = load(1), x = load(2), m = add(IR_CONST, IR_I32, 0, 0, 63), n = add(IR_AND, IR_I32, x, m, 0);
    ir_ref s = add(IR_SHL, IR_I64, a, n, 0), st = store(s), other = store(a);

    add(IR_EXIT, IR_I64, 0, 0, 0);
    analyse();
    ck_assert(ra_is_silent(ra, n));
    ck_assert_uint_eq(ra->val[x].last_use, s);
    code[other].a = n;
    analyse();
    ck_assert(!ra_is_silent(ra, n));
    ck_assert_uint_eq(ra->val[n].last_use, other);
    code[other].a = a;
    code[m].imm = 31; /* it changes the count */
    analyse();
    ck_assert_uint_eq(ra->val[n].last_use, s);
    code[s].type = IR_I16; /* the host would mask by 31 */
    code[m].imm = 15;
    analyse();
    ck_assert_uint_eq(ra->val[n].last_use, s);
    ck_assert_uint_eq(ra->val[s].last_use, st);
}
END_TEST

START_TEST(test_masks)
{
    uint32_t pinned = 0, temps = 0;

    for (unsigned k = 0; k < NUM_PINNED; k++)
        pinned |= BIT_REG(x86_pinned[k]);
    for (unsigned k = 0; k < NUM_TEMPS; k++)
        temps |= BIT_REG(x86_temps[k]);
    ck_assert_uint_eq(pinned, PINNED_MASK);
    ck_assert_uint_eq(temps, TEMP_MASK);
    ck_assert_uint_eq(pinned | temps | BIT_REG(RSP) | BIT_REG(RBP), 0xffff);
    ck_assert_uint_eq(pinned & temps, 0);
    ck_assert_uint_eq(FRAME_SIZE % 16, 8);
}
END_TEST

/* More values than registers: the one needed last goes to a slot and comes back; slots are used again. */
START_TEST(test_spill)
{
    ir_ref v[8];

    for (unsigned k = 0; k < 8; k++)
        v[k] = load(k);
    for (unsigned k = 0; k < 8; k++)
        store(v[k]);
    analyse();
    for (unsigned k = 0; k < 8; k++) {
        ra_def(ra, v[k], NO_REG, 0, 64);
        ra_unlock(ra);
    }
    ck_assert_uint_eq(ra->num_slots, 2);
    ck_assert_uint_ne(ra->val[v[5]].slot, NO_SLOT);
    ck_assert_uint_ne(ra->val[v[6]].slot, NO_SLOT);
    for (unsigned k = 0; k < 8; k++) {
        unsigned reg = ra_use(ra, v[k]);
        ck_assert(TEMP_MASK & BIT_REG(reg));
        ck_assert_uint_eq(ra->head[reg], v[k]);
        ra_kill(ra, ra->val[v[k]].last_use);
        ra_unlock(ra);
    }
    ck_assert_uint_eq(ra->num_free, 2);
    for (unsigned r = 0; r < 16; r++)
        ck_assert_uint_eq(ra->head[r], 0);
}
END_TEST

/* Constants need no slot: they are made again. */
START_TEST(test_constants)
{
    ir_ref c = add(IR_CONST, IR_I16, 0, 0, 0x18000), big = add(IR_CONST, IR_I64, 0, 0, UINT64_C(1) << 40);
    int32_t imm;

    store(c);
    store(big);
    analyse();
    ck_assert(ra_imm(ra, c, &imm));
    ck_assert_int_eq(imm, -32768);
    ck_assert(!ra_imm(ra, big, &imm));
    unsigned reg = ra_use(ra, big);
    ra_unlock(ra);
    ra_save(ra, TEMP_MASK, 0);
    ra_lose(ra, TEMP_MASK);
    ck_assert_uint_eq(ra->num_slots, 0);
    ck_assert_uint_eq(ra->val[big].reg, NO_REG);
    ck_assert_uint_eq(ra_use(ra, big), reg);
}
END_TEST

/* A guest register's old value survives its being overwritten. */
START_TEST(test_overwrite)
{
    ir_ref old = add(IR_GET, IR_I64, 0, 0, 3), narrow = add(IR_TRUNC, IR_I8, old, 0, 0), c = load(1);
    ir_ref put = add(IR_PUT, IR_I64, c, 0, 3);
    store(old);
    add(IR_STE, IR_I8, narrow, 0, 0);
    analyse();
    ra_attach(ra, old, x86_pinned[3], 64);
    ra_alias(ra, narrow, old, 64);
    ck_assert_uint_eq(ra->val[narrow].reg, x86_pinned[3]);
    ra_unlock(ra);
    uint8_t *before = enc.at;
    ra_overwrite(ra, x86_pinned[3], put);
    ck_assert_int_eq(enc.at - before, 3);
    ck_assert(TEMP_MASK & BIT_REG(ra->val[old].reg));
    ck_assert_uint_eq(ra->val[old].reg, ra->val[narrow].reg);
    ck_assert_uint_eq(ra->head[x86_pinned[3]], 0);
    before = enc.at;
    ra_overwrite(ra, x86_pinned[3], put);
    ck_assert_ptr_eq(enc.at, before);
}
END_TEST

/* A fixed register is emptied by a move while there is another, and filled with a copy. */
START_TEST(test_fixed)
{
    ir_ref a = load(1), b = load(2);

    store(a);
    store(b);
    analyse();
    ra_attach(ra, a, RCX, 64);
    ra_attach(ra, b, RAX, 64);
    ra_use_in(ra, b, RCX);
    ck_assert(ra->locked & BIT_REG(RCX));
    ck_assert_uint_eq(ra->head[RCX], 0);
    ck_assert_uint_ne(ra->val[a].reg, RCX);
    ck_assert_uint_ne(ra->val[a].reg, NO_REG);
    ck_assert_uint_eq(ra->val[b].reg, RAX);
    ck_assert_uint_ne(ra_temp(ra), RCX);
    ck_assert_uint_eq(ra->num_slots, 0);
}
END_TEST

Suite *x86_regalloc_suite(void)
{
    Suite *s = suite_create("x86_regalloc");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_last_use);
    tcase_add_test(t, test_pending_flags);
    tcase_add_test(t, test_late_shift);
    tcase_add_test(t, test_scaled);
    tcase_add_test(t, test_deferred);
    tcase_add_test(t, test_resolve);
    tcase_add_test(t, test_carry);
    tcase_add_test(t, test_hints);
    tcase_add_test(t, test_hint_of_load);
    tcase_add_test(t, test_shift_count);
    tcase_add_test(t, test_masks);
    tcase_add_test(t, test_spill);
    tcase_add_test(t, test_constants);
    tcase_add_test(t, test_overwrite);
    tcase_add_test(t, test_fixed);
    suite_add_tcase(s, t);
    return s;
}
