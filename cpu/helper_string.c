/* String instructions in bulk: runs of elements that lie in one page each, through host pointers; single
 * elements where there is none (I/O, elements across pages).
 *
 * A step does one run or one element: everything in it that may fault comes before the registers change, so
 * a fault finds the state after the last whole element. */
#include "cpu/helper_int.h"

#include "cpu/helpers.h"

struct string_op {
    struct cpu *cpu;
    unsigned size, shift;   /* bytes of an element, and the power of 2 that they are */
    uint64_t mask;          /* of the address size */
    unsigned addrsize;
    unsigned seg;           /* of rSI */
    bool back;              /* DF */
    bool repne;
    bool stop;              /* the comparison ended the repetition */
    bool compared;          /* x, y are the latest comparison's */
    uint64_t x, y;
};

/* One step of at most `max` elements; returns how many were done. */
typedef uint64_t string_step(struct string_op *s, uint64_t max);

/* ---- registers ---- */

static uint64_t reg_get(const struct string_op *s, unsigned reg)
{
    return s->cpu->gpr[reg] & s->mask;
}

static void reg_put(const struct string_op *s, unsigned reg, uint64_t v)
{
    if (s->addrsize == 2)
        s->cpu->gpr[reg] = bits_deposit(s->cpu->gpr[reg], 0, 16, v);
    else
        s->cpu->gpr[reg] = v & s->mask;
}

static void reg_advance(const struct string_op *s, unsigned reg, uint64_t n)
{
    uint64_t bytes = n << s->shift;

    reg_put(s, reg, reg_get(s, reg) + (s->back ? -bytes : bytes));
}

static void put_acc(const struct string_op *s, uint64_t v)
{
    uint64_t *rax = &s->cpu->gpr[R_AX];

    *rax = s->size >= 4 ? v & MASK(8 * s->size) : bits_deposit(*rax, 0, 8 * s->size, v);
}

static uint64_t get_acc(const struct string_op *s)
{
    return s->cpu->gpr[R_AX] & MASK(8 * s->size);
}

/* ---- addresses and runs ---- */

static unsigned segment_of(const struct string_op *s, unsigned reg)
{
    return reg == R_DI ? S_ES : s->seg;
}

static uint64_t element_address(struct string_op *s, unsigned reg, bool write)
{
    return seg_address(s->cpu, segment_of(s, reg), reg_get(s, reg), s->size, write);
}

static unsigned element_flags(const struct string_op *s, unsigned reg)
{
    return segment_of(s, reg) == S_SS ? IR_MEM_STACK : 0;
}

static uint64_t element_load(struct string_op *s, unsigned reg)
{
    return mmu_load(s->cpu, element_address(s, reg, false), s->size, element_flags(s, reg));
}

static void element_store(struct string_op *s, unsigned reg, uint64_t v)
{
    mmu_store(s->cpu, element_address(s, reg, true), v, s->size, element_flags(s, reg));
}

/* How many elements from offset `at` stay within [lo, hi], in the direction of the operation. */
static uint64_t elements_within(const struct string_op *s, uint64_t at, uint64_t lo, uint64_t hi)
{
    if (at < lo || at > hi || hi - at < s->size - 1)
        return 0;
    if (s->back)
        return ((at - lo) >> s->shift) + 1;
    return ((hi - at - (s->size - 1)) >> s->shift) + 1;
}

/* Elements of the segment before its limit or the wrap of the index. */
static uint64_t segment_room(const struct string_op *s, unsigned reg, bool write)
{
    const struct segment *seg = &s->cpu->seg[segment_of(s, reg)];
    uint64_t lo = 0, hi = s->mask;

    if (!cpu_code64(s->cpu)) {
        lo = write ? seg->write_lo : seg->read_lo;
        hi = MIN_OF(hi, write ? seg->write_hi : seg->read_hi);
    }
    return elements_within(s, reg_get(s, reg), lo, hi);
}

/* A run at `reg` of at most *n elements: host pointer to its first element, *n reduced to what the page and
 * the segment hold. NULL: do one element. Raises what the first element raises. */
static uint8_t *run_at(struct string_op *s, unsigned reg, bool write, uint64_t *n)
{
    uint64_t addr = element_address(s, reg, write), room_seg = segment_room(s, reg, write);
    unsigned room;
    uint8_t *host = mmu_host(s->cpu, addr, write ? ACC_WRITE : ACC_READ, &room);
    uint64_t offset = addr & 0xfff;
    uint64_t room_page = elements_within(s, offset, 0, offset + room - 1);

    *n = MIN_OF(*n, MIN_OF(room_seg, room_page));
    return *n ? host : NULL;
}

/* Element i of a run. */
static uint8_t *run_element(const struct string_op *s, uint8_t *run, uint64_t i)
{
    return s->back ? run - i * s->size : run + i * s->size;
}

/* A run at rDI that is going to be written, as run_at(), also in a page whose stores are told: mmu_end_told() tells of
 * the whole run. */
static uint8_t *target_run(struct string_op *s, uint64_t *n, struct mmu_told *told)
{
    uint8_t *host = run_at(s, R_DI, true, n);
    uint64_t bytes = *n * s->size, below = s->back ? bytes - s->size : 0;

    told->size = 0;
    if (host || !*n)
        return host;
    host = mmu_begin_told(s->cpu, element_address(s, R_DI, true) - below, (unsigned)bytes, told);
    return host ? host + below : NULL;
}

/* ---- MOVS ---- */

/* Do the runs overlap so that an element is read after an earlier one wrote it? */
static bool run_feeds_itself(const struct string_op *s, const uint8_t *dst, const uint8_t *src,
                             uint64_t bytes)
{
    uintptr_t d = (uintptr_t)dst, v = (uintptr_t)src;

    return s->back ? d < v && v - d < bytes : d > v && d - v < bytes;
}

static void copy_elements(const struct string_op *s, uint8_t *dst, uint8_t *src, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        store_shared_le(run_element(s, dst, i), s->size, load_shared_le(run_element(s, src, i), s->size));
}

/* Upwards, by the host's own string instruction: each element is one access, as other processors see it. */
#if defined(__x86_64__)
static void copy_up(const struct string_op *s, uint8_t *dst, uint8_t *src, uint64_t n)
{
    if (s->size == 2)
        __asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
    else if (s->size == 4)
        __asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
    else
        __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}
#else
#define copy_up copy_elements
#endif

/* The library may move a part of an element twice, or in pieces: never while others look. */
static void run_copy(const struct string_op *s, uint8_t *dst, uint8_t *src, uint64_t n)
{
    bool whole = s->cpu->opt.parallel && s->size > 1;
    uint64_t bytes = n * s->size;

    if (run_feeds_itself(s, dst, src, bytes) || (whole && s->back)) {
        copy_elements(s, dst, src, n);
        return;
    }
    if (whole) {
        copy_up(s, dst, src, n);
        return;
    }
    copy_shared(s->back ? run_element(s, dst, n - 1) : dst, s->back ? run_element(s, src, n - 1) : src, bytes);
}

static uint64_t step_movs(struct string_op *s, uint64_t max)
{
    uint64_t n = max;
    struct mmu_told told;
    uint8_t *src = run_at(s, R_SI, false, &n);
    uint8_t *dst = target_run(s, &n, &told);

    if (src && dst) {
        run_copy(s, dst, src, n);
        mmu_end_told(s->cpu, &told);
    } else {
        element_store(s, R_DI, element_load(s, R_SI));
        n = 1;
    }
    reg_advance(s, R_SI, n);
    reg_advance(s, R_DI, n);
    return n;
}

/* ---- STOS, LODS ---- */

/* Element by element, each one access. */
static void fill_elements(const struct string_op *s, uint8_t *dst, uint64_t v, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        store_shared_le(run_element(s, dst, i), s->size, v);
}

#if defined(__x86_64__)
static void fill_up(const struct string_op *s, uint8_t *dst, uint64_t v, uint64_t n)
{
    if (s->size == 2)
        __asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(v) : "memory");
    else if (s->size == 4)
        __asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(v) : "memory");
    else
        __asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(v) : "memory");
}

/* A multiple of 128 bytes at an address aligned to 32. A store of 32 bytes splits no aligned element. */
static void fill_vectors(uint8_t *dst, uint64_t pattern, uint64_t bytes)
{
    __asm__ volatile("vmovq %[v], %%xmm0\n\t"
                     "vpbroadcastq %%xmm0, %%ymm0\n"
                     "1:\n\t"
                     "vmovdqa %%ymm0, (%[p])\n\t"
                     "vmovdqa %%ymm0, 32(%[p])\n\t"
                     "vmovdqa %%ymm0, 64(%[p])\n\t"
                     "vmovdqa %%ymm0, 96(%[p])\n\t"
                     "sub $-128, %[p]\n\t"
                     "sub $128, %[n]\n\t"
                     "jnz 1b\n\t"
                     "vzeroupper"
                     : [p] "+r"(dst), [n] "+r"(bytes)
                     : [v] "r"(pattern)
                     : "xmm0", "cc", "memory");
}
#else
#define fill_up fill_elements

static void fill_vectors(uint8_t *dst, uint64_t pattern, uint64_t bytes)
{
    for (; bytes; bytes -= 8, dst += 8)
        store_shared_le(dst, 8, pattern);
}
#endif

#define FEW 8 /* elements for which the host's string instruction takes longer to begin than a loop to end */
#define MANY_BYTES 512 /* for which the host's string instruction takes longer than vectors */

/* 8 bytes of elements. */
static inline uint64_t element_pattern(uint64_t v, unsigned size)
{
    static const uint64_t ones[] = { [1] = UINT64_C(0x0101010101010101), [2] = UINT64_C(0x0001000100010001),
                                     [4] = UINT64_C(0x0000000100000001), [8] = 1 };

    return (v & MASK(8 * size)) * ones[size];
}

static void fill_end(const struct string_op *s, uint8_t *dst, uint64_t v, uint64_t n)
{
    if (s->size == 1)
        fill_shared(dst, (uint8_t)v, n);
    else
        fill_elements(s, dst, v, n);
}

/* Elements that are aligned, upwards: the ends by elements, each byte once. */
static void fill_many(const struct string_op *s, uint8_t *dst, uint64_t v, uint64_t n)
{
    uint64_t before = (-(uintptr_t)dst & 31) >> s->shift, bytes, left;

    bytes = align_down((n - before) << s->shift, 128);
    left = n - before - (bytes >> s->shift);
    fill_end(s, dst, v, before);
    dst += before << s->shift;
    fill_vectors(dst, element_pattern(v, s->size), bytes);
    fill_end(s, dst + bytes, v, left);
}

static void run_fill(const struct string_op *s, uint8_t *dst, uint64_t v, uint64_t n)
{
    if (!s->back && n << s->shift >= MANY_BYTES && !((uintptr_t)dst & (s->size - 1)) &&
        (s->cpu->host_isa & TCG_ISA_AVX2))
        fill_many(s, dst, v, n);
    else if (s->size == 1)
        fill_shared(s->back ? dst - (n - 1) : dst, (uint8_t)v, n);
    else if (s->back || n < FEW)
        fill_elements(s, dst, v, n);
    else
        fill_up(s, dst, v, n);
}

static uint64_t step_stos(struct string_op *s, uint64_t max)
{
    uint64_t n = max, v = get_acc(s);
    struct mmu_told told;
    uint8_t *dst = target_run(s, &n, &told);

    if (dst) {
        run_fill(s, dst, v, n);
        mmu_end_told(s->cpu, &told);
    } else {
        element_store(s, R_DI, v);
        n = 1;
    }
    reg_advance(s, R_DI, n);
    return n;
}

/* Of a run only the last element stays in the accumulator. */
static uint64_t step_lods(struct string_op *s, uint64_t max)
{
    uint64_t n = max, v;
    uint8_t *src = run_at(s, R_SI, false, &n);

    if (src) {
        v = load_shared_le(run_element(s, src, n - 1), s->size);
    } else {
        v = element_load(s, R_SI);
        n = 1;
    }
    put_acc(s, v);
    reg_advance(s, R_SI, n);
    return n;
}

/* ---- CMPS, SCAS ---- */

/* Note a comparison; true when it ends the repetition. */
static bool compare(struct string_op *s, uint64_t x, uint64_t y)
{
    s->x = x;
    s->y = y;
    s->compared = true;
    s->stop = (x == y) == s->repne;
    return s->stop;
}

/* Bytes at the beginning that are equal, or less by up to 7. */
static uint64_t equal_bytes(const uint8_t *a, const uint8_t *b, uint64_t n)
{
    uint64_t i = 0;

    while (n - i >= 8 && load_shared_le(a + i, 8) == load_shared_le(b + i, 8))
        i += 8;
    return i;
}

static uint64_t run_compare(struct string_op *s, uint8_t *src, uint8_t *dst, uint64_t n)
{
    uint64_t i = 0;

    if (!s->back && !s->repne && n) /* the last element is compared below, for the flags */
        i = equal_bytes(src, dst, (n - 1) * s->size) / s->size;
    for (; i < n; i++) {
        uint64_t x = load_shared_le(run_element(s, src, i), s->size);
        if (compare(s, x, load_shared_le(run_element(s, dst, i), s->size)))
            return i + 1;
    }
    return n;
}

static uint64_t step_cmps(struct string_op *s, uint64_t max)
{
    uint64_t n = max;
    uint8_t *src = run_at(s, R_SI, false, &n);
    uint8_t *dst = run_at(s, R_DI, false, &n);

    if (src && dst) {
        n = run_compare(s, src, dst, n);
    } else {
        uint64_t x = element_load(s, R_SI);
        compare(s, x, element_load(s, R_DI));
        n = 1;
    }
    reg_advance(s, R_SI, n);
    reg_advance(s, R_DI, n);
    return n;
}

/* Bytes at the beginning among which `v` is not, or less. */
static uint64_t other_bytes(const uint8_t *p, uint8_t v, uint64_t n)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t w = load_shared_le(p + i, 8) ^ v * ones; /* a byte of 0 borrows from the one above */
        if ((w - ones) & ~w & ones << 7)
            break;
    }
    return i;
}

static uint64_t run_scan(struct string_op *s, uint8_t *dst, uint64_t n)
{
    uint64_t x = get_acc(s), i = 0;

    if (s->size == 1 && !s->back && s->repne && n)
        i = other_bytes(dst, (uint8_t)x, n - 1);
    for (; i < n; i++)
        if (compare(s, x, load_shared_le(run_element(s, dst, i), s->size)))
            return i + 1;
    return n;
}

static uint64_t step_scas(struct string_op *s, uint64_t max)
{
    uint64_t n = max;
    uint8_t *dst = run_at(s, R_DI, false, &n);

    if (dst) {
        n = run_scan(s, dst, n);
    } else {
        compare(s, get_acc(s), element_load(s, R_DI));
        n = 1;
    }
    reg_advance(s, R_DI, n);
    return n;
}

/* ---- INS, OUTS: one element a step, because a port access may change what memory means ---- */

/* The destination is probed first: the port must not be read in vain. */
static uint64_t step_ins(struct string_op *s, uint64_t max)
{
    struct cpu *cpu = s->cpu;
    uint16_t port = (uint16_t)cpu->gpr[R_DX];
    uint64_t addr;

    (void)max;
    cpu_check_io(cpu, port, s->size);
    addr = element_address(s, R_DI, true);
    mmu_probe(cpu, addr, s->size, ACC_WRITE, 0);
    mmu_store(cpu, addr, cpu_port_in(cpu, port, s->size), s->size, 0);
    reg_advance(s, R_DI, 1);
    return 1;
}

static uint64_t step_outs(struct string_op *s, uint64_t max)
{
    struct cpu *cpu = s->cpu;
    uint16_t port = (uint16_t)cpu->gpr[R_DX];

    (void)max;
    cpu_check_io(cpu, port, s->size);
    cpu_port_out(cpu, port, element_load(s, R_SI), s->size);
    reg_advance(s, R_SI, 1);
    return 1;
}

/* ---- repetition ---- */

static struct string_op string_op(struct cpu *cpu, uint64_t desc)
{
    struct string_op s = {
        .cpu = cpu,
        .size = desc & STR_SIZE,
        .addrsize = desc >> STR_ADDR_SHIFT & 0xf,
        .seg = desc >> STR_SEG_SHIFT & 7,
        .back = cpu->eflags & FL_DF,
        .repne = desc & STR_REPNE,
    };

    s.shift = (unsigned)__builtin_ctz(s.size);
    s.mask = MASK(8 * s.addrsize);
    return s;
}

/* The latest comparison becomes the guest's flags, after everything that may fault. */
static void commit_flags(struct string_op *s)
{
    unsigned type = (unsigned)__builtin_ctz(s->size);

    if (s->compared)
        s->cpu->fl = (struct tcg_flags){ .a = s->x, .b = s->y, .op = IR_FL_CMP, .type = (uint8_t)type };
}

static bool exit_requested(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED);
}

/* Run the instruction; 1: finished, 0: it is to be entered again. */
static uint64_t string_run(struct cpu *cpu, uint64_t desc, string_step *step)
{
    struct string_op s = string_op(cpu, desc);
    bool one = desc & STR_ONE;
    uint64_t count;

    if (!(desc & STR_REP)) {
        step(&s, 1);
        return 1;
    }
    do {
        count = reg_get(&s, R_CX);
        if (!count || s.stop)
            break;
        count -= step(&s, one ? 1 : count);
        reg_put(&s, R_CX, count);
    } while (!one && !exit_requested(cpu));
    commit_flags(&s);
    cpu->rep_partial = count && !s.stop;
    return !cpu->rep_partial;
}

uint64_t helper_movs(struct cpu *cpu, uint64_t desc) { return string_run(cpu, desc, step_movs); }
uint64_t helper_stos(struct cpu *cpu, uint64_t desc) { return string_run(cpu, desc, step_stos); }
uint64_t helper_lods(struct cpu *cpu, uint64_t desc) { return string_run(cpu, desc, step_lods); }
uint64_t helper_cmps(struct cpu *cpu, uint64_t desc) { return string_run(cpu, desc, step_cmps); }
uint64_t helper_scas(struct cpu *cpu, uint64_t desc) { return string_run(cpu, desc, step_scas); }

/* ---- few elements ---- */

/* Bytes up to which a loop here is done before the library or the host's string instruction has begun. */
#define FEW_BYTES 64

/* In pieces that split no aligned element, and no byte twice: others may look or write. */
static inline void copy_few(uint8_t *dst, const uint8_t *src, unsigned bytes)
{
    for (; bytes >= 8; bytes -= 8, dst += 8, src += 8)
        store_shared_le(dst, 8, load_shared_le(src, 8));
    for (unsigned piece = 4; piece; piece /= 2) {
        if (!(bytes & piece))
            continue;
        store_shared_le(dst, piece, load_shared_le(src, piece));
        dst += piece;
        src += piece;
    }
}

static inline void fill_few(uint8_t *dst, uint64_t v, unsigned bytes)
{
    for (; bytes >= 8; bytes -= 8, dst += 8)
        store_shared_le(dst, 8, v);
    for (unsigned piece = 4; piece; piece /= 2) {
        if (!(bytes & piece))
            continue;
        store_shared_le(dst, piece, v);
        dst += piece;
    }
}

/* The caller has the registers' values from before and writes what follows from the number of elements done: only what
 * raises leaves them changed. `ahead` elements are done already. */
static uint64_t run_for_caller(struct cpu *cpu, uint64_t desc, uint64_t count, uint64_t ahead, string_step *step)
{
    uint64_t cx = cpu->gpr[R_CX], si = cpu->gpr[R_SI], di = cpu->gpr[R_DI], left;

    if (ahead) {
        struct string_op s = string_op(cpu, desc);
        reg_put(&s, R_CX, count - ahead);
        reg_advance(&s, R_DI, ahead);
    }
    string_run(cpu, desc, step);
    left = cpu->gpr[R_CX] & MASK(8 * (desc >> STR_ADDR_SHIFT & 0xf));
    cpu->gpr[R_CX] = cx;
    cpu->gpr[R_SI] = si;
    cpu->gpr[R_DI] = di;
    return count - left;
}

static inline bool is_direct(const struct cpu *cpu, uint64_t desc)
{
    return (desc & (STR_LINEAR | STR_ONE)) == STR_LINEAR && !(cpu->eflags & FL_DF);
}

static inline bool is_few(const struct cpu *cpu, uint64_t desc, uint64_t count)
{
    return is_direct(cpu, desc) && count - 1 < FEW_BYTES / (desc & STR_SIZE);
}

uint64_t helper_movs_run(struct cpu *cpu, uint64_t desc, uint64_t count, uint64_t di, uint64_t si)
{
    if (is_few(cpu, desc, count)) {
        unsigned mmu = cpu_mmu_set(cpu), bytes = (unsigned)(count * (desc & STR_SIZE));
        uint8_t *src = mmu_direct(cpu, mmu, si, bytes, false), *dst = mmu_direct(cpu, mmu, di, bytes, true);

        /* Not where an element is read after an earlier one has been written to its place. */
        if (src && dst && (uintptr_t)dst - (uintptr_t)src >= bytes) {
            cpu->rep_partial = false;
            copy_few(dst, src, bytes);
            return count;
        }
    }
    return run_for_caller(cpu, desc, count, 0, step_movs);
}

/* Upwards through linear addresses, page by page, as far as translated code could store by itself. Returns how many of
 * `count` elements are done. */
static uint64_t fill_pages(struct cpu *cpu, uint64_t desc, uint64_t count, uint64_t di, uint64_t v)
{
    struct string_op s = string_op(cpu, desc);
    unsigned mmu = cpu_mmu_set(cpu);
    uint64_t done = 0;

    while (done < count && !(done && exit_requested(cpu))) {
        uint64_t n = MIN_OF(count - done, (MEM_PAGE_SIZE - (di & (MEM_PAGE_SIZE - 1))) >> s.shift);
        uint8_t *dst = n ? mmu_direct(cpu, mmu, di, (unsigned)(n << s.shift), true) : NULL;

        if (!dst || s.mask - di < n << s.shift)
            break;
        run_fill(&s, dst, v, n);
        done += n;
        di += n << s.shift;
    }
    return done;
}

uint64_t helper_stos_run(struct cpu *cpu, uint64_t desc, uint64_t count, uint64_t di, uint64_t acc)
{
    if (is_few(cpu, desc, count)) {
        unsigned size = desc & STR_SIZE, bytes = (unsigned)count * size;
        uint8_t *dst = mmu_direct(cpu, cpu_mmu_set(cpu), di, bytes, true);

        if (dst) {
            cpu->rep_partial = false;
            fill_few(dst, element_pattern(acc, size), bytes);
            return count;
        }
    } else if (is_direct(cpu, desc)) {
        uint64_t done = fill_pages(cpu, desc, count, di, acc);

        if (done == count || (done && exit_requested(cpu))) {
            cpu->rep_partial = done < count;
            return done;
        }
        return run_for_caller(cpu, desc, count, done, step_stos);
    }
    return run_for_caller(cpu, desc, count, 0, step_stos);
}

/* Processors check the permission of a repetition with count 0 too. */
static uint64_t io_run(struct cpu *cpu, uint64_t desc, string_step *step)
{
    cpu_check_io(cpu, (uint16_t)cpu->gpr[R_DX], desc & STR_SIZE);
    return string_run(cpu, desc, step);
}

uint64_t helper_ins(struct cpu *cpu, uint64_t desc) { return io_run(cpu, desc, step_ins); }
uint64_t helper_outs(struct cpu *cpu, uint64_t desc) { return io_run(cpu, desc, step_outs); }
