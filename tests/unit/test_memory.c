/* memory/: the flat view, sizes of accesses, page flags, DMA, changes from within callbacks. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "memory/memory.h"

struct call {
    bool write;
    uint64_t offset, value;
    unsigned size;
};

struct fixture {
    struct log log;
    struct memory *mem;
    struct mem_region *root;
    struct mem_space *space;
    struct call calls[16]; /* of the I/O callbacks */
    int num_calls;
    int changes;           /* calls of the listener */
    uint64_t code_off, code_len, clean_off, clean_len;
    int code_calls, clean_calls;
    struct mem_region *victim; /* moved by a callback */
};

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fixture *f = opaque;
    f->calls[f->num_calls++] = (struct call){ false, offset, 0, size };
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)(uint8_t)(offset + i + 0x10) << (8 * i);
    return v;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fixture *f = opaque;
    f->calls[f->num_calls++] = (struct call){ true, offset, value, size };
}

static void changed(void *opaque)
{
    ((struct fixture *)opaque)->changes++;
}

static void code_written(void *opaque, uint64_t off, uint64_t len)
{
    struct fixture *f = opaque;
    f->code_off = off;
    f->code_len = len;
    f->code_calls++;
    memory_page_flags(f->mem)[off >> MEM_PAGE_SHIFT] &= (uint8_t)~MEM_PAGE_CODE;
}

static void cleaned(void *opaque, uint64_t off, uint64_t len)
{
    struct fixture *f = opaque;
    f->clean_off = off;
    f->clean_len = len;
    f->clean_calls++;
}

static void setup(struct fixture *f)
{
    struct error err = { 0 };
    memset(f, 0, sizeof(*f));
    log_init(&f->log);
    f->mem = memory_new(1 << 20, &f->log, &err);
    ck_assert_msg(f->mem != NULL, "%s", err.msg);
    memory_set_code_listener(f->mem, code_written, f);
    memory_set_clean_listener(f->mem, cleaned, f);
    f->root = mem_container_new("root", UINT64_C(1) << 40);
    f->space = mem_space_new("memory", f->root, &f->log);
    mem_space_set_listener(f->space, changed, f);
}

static void teardown(struct fixture *f)
{
    mem_space_free(f->space);
    mem_region_free(f->root);
    memory_free(f->mem);
}

static struct mem_region *add_ram(struct fixture *f, uint64_t addr, uint64_t size, int priority)
{
    struct mem_region *r = mem_ram_new(f->mem, "ram", size, NULL);
    mem_region_add(f->root, addr, r, priority);
    return r;
}

static struct mem_region *add_io(struct fixture *f, uint64_t addr, uint64_t size, struct mem_access valid,
                                 struct mem_access impl)
{
    struct mem_ops ops = { io_read, io_write, valid, impl };
    struct mem_region *r = mem_io_new("io", size, &ops, f);
    mem_region_add(f->root, addr, r, 1);
    return r;
}

static void check_call(const struct fixture *f, int n, bool write, uint64_t offset, unsigned size)
{
    ck_assert_int_gt(f->num_calls, n);
    ck_assert_int_eq(f->calls[n].write, write);
    ck_assert_uint_eq(f->calls[n].offset, offset);
    ck_assert_uint_eq(f->calls[n].size, size);
}

START_TEST(backing)
{
    struct fixture f;
    struct error err = { 0 };
    setup(&f);
    struct mem_region *a = mem_ram_new(f.mem, "a", 5, &err), *b = mem_rom_new(f.mem, "b", 0x2000, &err);
    ck_assert_uint_eq(mem_region_ram_off(b), mem_region_ram_off(a) + 0x1000);
    ck_assert_uint_eq(memory_size(f.mem), 0x3000);
    ck_assert_uint_eq(mem_region_size(a), 5);
    ck_assert_ptr_eq(mem_region_host(b), memory_host(f.mem, mem_region_ram_off(b)));
    ck_assert_uint_eq(mem_region_host(b)[0x1fff], 0);
    ck_assert_ptr_null(mem_ram_new(f.mem, "c", 1 << 20, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "c:"));
    ck_assert_ptr_null(mem_ram_new(f.mem, "d", UINT64_MAX, NULL));
    mem_region_free(a);
    mem_region_free(b);
    teardown(&f);
}
END_TEST

START_TEST(holes)
{
    struct fixture f;
    setup(&f);
    struct mem_region *ram = add_ram(&f, 0x10000, 0x1000, 0);
    struct mem_range r = mem_space_find(f.space, 0x8000);
    ck_assert_ptr_null(r.region);
    ck_assert_uint_eq(r.start, 0);
    ck_assert_uint_eq(r.last, 0xffff);
    r = mem_space_find(f.space, UINT64_MAX);
    ck_assert_uint_eq(r.start, 0x11000);
    ck_assert_uint_eq(r.last, UINT64_MAX);
    r = mem_space_find(f.space, 0x10abc);
    ck_assert_ptr_eq(r.region, ram);
    ck_assert(r.writable);
    ck_assert_ptr_eq(r.host, mem_region_host(ram));
    ck_assert_uint_eq(mem_read(f.space, 0x8000, 4), 0xffffffff);
    ck_assert_uint_eq(mem_read(f.space, UINT64_MAX, 1), 0xff);
    mem_write(f.space, 0x8000, 1, 8);
    mem_region_free(ram);
    r = mem_space_find(f.space, 0x10abc);
    ck_assert_uint_eq(r.last, UINT64_MAX);
    teardown(&f);
}
END_TEST

START_TEST(priority)
{
    struct fixture f;
    setup(&f);
    struct mem_region *low = add_ram(&f, 0, 0x8000, 0), *high = add_ram(&f, 0x2000, 0x1000, 1);
    struct mem_region *later = add_ram(&f, 0x5000, 0x1000, 0);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x1fff).region, low);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x2000).region, high);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x2fff).region, high);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x5000).region, later);
    struct mem_range r = mem_space_find(f.space, 0x3000);
    ck_assert_ptr_eq(r.region, low);
    ck_assert_uint_eq(r.offset, 0x3000);
    ck_assert_uint_eq(r.last, 0x4fff);
    ck_assert_uint_eq(r.ram_off, mem_region_ram_off(low) + 0x3000);
    mem_region_set_enabled(high, false);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x2000).region, low);
    ck_assert_uint_eq(mem_space_find(f.space, 0x2000).last, 0x4fff);
    mem_region_free(later);
    ck_assert_uint_eq(mem_space_find(f.space, 0).last, 0x7fff);
    mem_region_free(high);
    mem_region_free(low);
    teardown(&f);
}
END_TEST

START_TEST(container_is_transparent_and_clips)
{
    struct fixture f;
    setup(&f);
    struct mem_region *ram = add_ram(&f, 0, 0x10000, 0), *box = mem_container_new("box", 0x2000);
    struct mem_region *inner = mem_ram_new(f.mem, "inner", 0x4000, NULL);
    mem_region_add(box, 0x1000, inner, 0);
    mem_region_add(f.root, 0x4000, box, 5);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x4000).region, ram);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x5000).region, inner);
    ck_assert_uint_eq(mem_space_find(f.space, 0x5000).last, 0x5fff);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x6000).region, ram);
    mem_region_move(box, 0x8000);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x5000).region, ram);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x9000).region, inner);
    mem_region_free(inner);
    mem_region_free(box);
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

START_TEST(alias)
{
    struct fixture f;
    setup(&f);
    struct mem_region *ram = mem_ram_new(f.mem, "ram", 0x10000, NULL);
    struct mem_region *box = mem_container_new("box", 0x10000);
    struct mem_region *low = mem_alias_new("low", ram, 0, 0x8000);
    struct mem_region *high = mem_alias_new("high", ram, 0x8000, 0x4000);
    mem_region_add(f.root, 0, low, 0);
    mem_region_add(f.root, UINT64_C(0x100000000), high, 0);
    mem_write(f.space, 0x100000010, 0x1234, 2);
    ck_assert_uint_eq(mem_region_host(ram)[0x8010], 0x34);
    ck_assert_uint_eq(mem_space_find(f.space, 0x7fff).last, 0x7fff);
    ck_assert_uint_eq(mem_space_find(f.space, 0x100000000).offset, 0x8000);
    mem_region_set_readonly(low, true);
    ck_assert(!mem_space_find(f.space, 0).writable);
    mem_write(f.space, 0, 0xff, 1);
    ck_assert_uint_eq(mem_read(f.space, 0, 1), 0);
    mem_region_set_readonly(low, false);
    mem_write(f.space, 0, 0xff, 1);
    ck_assert_uint_eq(mem_read(f.space, 0, 1), 0xff);
    /* An alias of a container follows what happens inside. */
    struct mem_region *window = mem_alias_new("window", box, 0x4000, 0x1000);
    struct mem_region *inner = mem_ram_new(f.mem, "inner", 0x1000, NULL);
    mem_region_add(f.root, 0x20000, window, 0);
    mem_region_add(box, 0x4800, inner, 0);
    ck_assert_ptr_null(mem_space_find(f.space, 0x207ff).region);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x20800).region, inner);
    ck_assert_uint_eq(mem_space_find(f.space, 0x20800).last, 0x20fff);
    mem_region_free(box);
    ck_assert_ptr_null(mem_space_find(f.space, 0x20800).region);
    mem_region_free(inner);
    mem_region_free(window);
    mem_region_free(low);
    mem_region_free(high);
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

START_TEST(alias_of_ancestor_ends)
{
    struct fixture f;
    setup(&f);
    struct mem_region *loop = mem_alias_new("loop", f.root, 0, 0x100000);
    mem_region_add(f.root, 0x1000, loop, 0);
    struct mem_region *ram = add_ram(&f, 0, 0x1000, 0);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x1800).region, ram);
    mem_region_free(loop);
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

START_TEST(begin_commit)
{
    struct fixture f;
    setup(&f);
    mem_space_begin(f.space);
    mem_space_begin(f.space);
    struct mem_region *a = add_ram(&f, 0, 0x1000, 0), *b = add_ram(&f, 0x1000, 0x1000, 0);
    mem_space_commit(f.space);
    ck_assert_int_eq(f.changes, 0);
    ck_assert_ptr_null(mem_space_find(f.space, 0).region);
    mem_space_commit(f.space);
    ck_assert_int_eq(f.changes, 1);
    ck_assert_ptr_eq(mem_space_find(f.space, 0).region, a);
    mem_space_begin(f.space);
    mem_space_commit(f.space);
    mem_region_move(a, 0);
    ck_assert_int_eq(f.changes, 1);
    mem_region_free(a);
    mem_region_free(b);
    ck_assert_int_eq(f.changes, 3);
    teardown(&f);
}
END_TEST

START_TEST(rom)
{
    struct fixture f;
    setup(&f);
    struct mem_region *rom = mem_rom_new(f.mem, "rom", 0x1000, NULL);
    mem_region_host(rom)[4] = 0x5a;
    mem_region_add(f.root, 0xf000, rom, 0);
    mem_write(f.space, 0xf004, 0, 4);
    ck_assert(mem_write_buf(f.space, 0xf004, "x", 1));
    ck_assert_uint_eq(mem_read(f.space, 0xf004, 4), 0x5a);
    mem_region_free(rom);
    teardown(&f);
}
END_TEST

START_TEST(ram_sizes_and_crossing)
{
    struct fixture f;
    setup(&f);
    struct mem_region *a = add_ram(&f, 0, 0x1000, 0), *b = add_ram(&f, 0x1000, 0x1000, 0);
    mem_write(f.space, 0xffd, 0x1122334455667788, 8);
    ck_assert_uint_eq(mem_read(f.space, 0xffd, 8), 0x1122334455667788);
    ck_assert_uint_eq(mem_region_host(a)[0xfff], 0x66);
    ck_assert_uint_eq(mem_region_host(b)[0], 0x55);
    ck_assert_uint_eq(mem_read(f.space, 0x1001, 4), 0x11223344 & 0xffffffff);
    ck_assert_uint_eq(mem_read(f.space, 0x1ffe, 4), 0xffff0000);
    mem_region_free(a);
    mem_region_free(b);
    teardown(&f);
}
END_TEST

START_TEST(io_plain)
{
    struct fixture f;
    setup(&f);
    struct mem_region *io = add_io(&f, 0x100, 0x20, (struct mem_access){ 0 }, (struct mem_access){ 0 });
    ck_assert_uint_eq(mem_read(f.space, 0x108, 8), 0x1f1e1d1c1b1a1918);
    mem_write(f.space, 0x104, UINT64_C(0xaa11223344), 4);
    check_call(&f, 0, false, 8, 8);
    check_call(&f, 1, true, 4, 4);
    ck_assert_uint_eq(f.calls[1].value, 0x11223344);
    ck_assert_int_eq(f.num_calls, 2);
    mem_region_free(io);
    teardown(&f);
}
END_TEST

START_TEST(io_split)
{
    struct fixture f;
    setup(&f);
    struct mem_region *io =
        add_io(&f, 0x100, 0x20, (struct mem_access){ 1, 8, false }, (struct mem_access){ 1, 2, false });
    ck_assert_uint_eq(mem_read(f.space, 0x104, 4), 0x17161514);
    check_call(&f, 0, false, 4, 2);
    check_call(&f, 1, false, 6, 2);
    mem_write(f.space, 0x108, 0x8877665544332211, 8);
    for (int i = 0; i < 4; i++) {
        check_call(&f, 2 + i, true, 8 + 2 * (uint64_t)i, 2);
        ck_assert_uint_eq(f.calls[2 + i].value, 0x2211 + 0x2222 * (uint64_t)i);
    }
    mem_region_free(io);
    teardown(&f);
}
END_TEST

START_TEST(io_widen)
{
    struct fixture f;
    setup(&f);
    struct mem_region *io =
        add_io(&f, 0x100, 0x20, (struct mem_access){ 1, 4, false }, (struct mem_access){ 4, 4, false });
    ck_assert_uint_eq(mem_read(f.space, 0x106, 1), 0x16);
    check_call(&f, 0, false, 4, 4);
    mem_write(f.space, 0x106, 0xab, 1);
    check_call(&f, 1, false, 4, 4);
    check_call(&f, 2, true, 4, 4);
    ck_assert_uint_eq(f.calls[2].value, 0x17ab1514);
    ck_assert_int_eq(f.num_calls, 3);
    mem_region_free(io);
    teardown(&f);
}
END_TEST

START_TEST(io_unaligned)
{
    struct fixture f;
    setup(&f);
    const struct mem_access none = { 0 };
    struct mem_region *io = add_io(&f, 0x100, 0x20, (struct mem_access){ 1, 4, false }, none);
    struct mem_region *any = add_io(&f, 0x200, 0x20, (struct mem_access){ 1, 4, true }, none);
    struct mem_region *mixed =
        add_io(&f, 0x300, 0x20, (struct mem_access){ 1, 4, true }, (struct mem_access){ 1, 4, false });
    ck_assert_uint_eq(mem_read(f.space, 0x101, 2), 0x1211);
    check_call(&f, 0, false, 1, 1);
    check_call(&f, 1, false, 2, 1);
    ck_assert_uint_eq(mem_read(f.space, 0x203, 4), 0x16151413);
    check_call(&f, 2, false, 3, 4);
    ck_assert_uint_eq(mem_read(f.space, 0x303, 4), 0x16151413);
    check_call(&f, 3, false, 3, 1);
    check_call(&f, 4, false, 4, 2);
    check_call(&f, 5, false, 6, 1);
    mem_region_free(io);
    mem_region_free(any);
    mem_region_free(mixed);
    teardown(&f);
}
END_TEST

START_TEST(io_invalid_size)
{
    struct fixture f;
    setup(&f);
    struct mem_region *io =
        add_io(&f, 0x100, 0x20, (struct mem_access){ 4, 4, false }, (struct mem_access){ 0 });
    ck_assert_uint_eq(mem_read(f.space, 0x100, 1), 0xff);
    ck_assert_uint_eq(mem_read(f.space, 0x100, 8), UINT64_MAX);
    mem_write(f.space, 0x100, 0, 2);
    mem_write(f.space, 0x102, 0, 4);
    ck_assert_int_eq(f.num_calls, 0);
    mem_write(f.space, 0x104, 0, 4);
    ck_assert_int_eq(f.num_calls, 1);
    mem_region_free(io);
    teardown(&f);
}
END_TEST

START_TEST(io_crosses_end)
{
    struct fixture f;
    setup(&f);
    struct mem_region *io = add_io(&f, 0x100, 0x2, (struct mem_access){ 0 }, (struct mem_access){ 0 });
    ck_assert_uint_eq(mem_read(f.space, 0x100, 4), 0xffff1110);
    ck_assert_int_eq(f.num_calls, 2);
    mem_region_free(io);
    teardown(&f);
}
END_TEST

static void move_victim(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fixture *f = opaque;
    io_write(opaque, offset, value, size);
    mem_region_move(f->victim, 0x1000 + 0x100 * value);
}

START_TEST(write_moves_its_own_region)
{
    struct fixture f;
    setup(&f);
    struct mem_ops ops = { io_read, move_victim, { 1, 8, false }, { 1, 1, false } };
    f.victim = mem_io_new("bar", 0x10, &ops, &f);
    mem_region_add(f.root, 0x1000, f.victim, 0);
    mem_write(f.space, 0x1000, 0x0201, 2);
    ck_assert_int_eq(f.num_calls, 2);
    ck_assert_ptr_eq(mem_space_find(f.space, 0x1200).region, f.victim);
    ck_assert_ptr_null(mem_space_find(f.space, 0x1000).region);
    /* In a buffer the bytes after the move go to what is there then. */
    ck_assert(!mem_write_buf(f.space, 0x1200, "\3\4\5\6\7\10\11\12", 8));
    ck_assert_int_eq(f.num_calls, 6);
    mem_region_free(f.victim);
    teardown(&f);
}
END_TEST

START_TEST(buffers)
{
    struct fixture f;
    uint8_t buf[0x2000], back[0x2000];
    setup(&f);
    struct mem_region *a = add_ram(&f, 0x1000, 0x1000, 0), *b = add_ram(&f, 0x2000, 0x1000, 0);
    struct mem_region *io = add_io(&f, 0x3000, 0x10, (struct mem_access){ 0 }, (struct mem_access){ 0 });
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 7);
    ck_assert(mem_write_buf(f.space, 0x1100, buf, 0x1e00));
    ck_assert(mem_read_buf(f.space, 0x1100, back, 0x1e00));
    ck_assert_mem_eq(buf, back, 0x1e00);
    ck_assert(mem_read_buf(f.space, 0x2fff, back, 8));
    ck_assert_uint_eq(back[1], 0x10);
    ck_assert_uint_eq(back[7], 0x16);
    check_call(&f, 0, false, 0, 4);
    check_call(&f, 1, false, 4, 2);
    check_call(&f, 2, false, 6, 1);
    ck_assert(!mem_read_buf(f.space, 0xff8, back, 16));
    ck_assert_uint_eq(back[0], 0xff);
    ck_assert_uint_eq(back[8], 0);
    ck_assert(!mem_write_buf(f.space, UINT64_MAX - 1, buf, 2));
    ck_assert(mem_read_buf(f.space, UINT64_MAX, back, 0));
    mem_region_free(io);
    mem_region_free(a);
    mem_region_free(b);
    teardown(&f);
}
END_TEST

START_TEST(code_pages)
{
    struct fixture f;
    setup(&f);
    struct mem_region *ram = add_ram(&f, 0, 0x4000, 0);
    uint8_t *flags = memory_page_flags(f.mem) + (mem_region_ram_off(ram) >> MEM_PAGE_SHIFT);
    flags[1] = MEM_PAGE_CODE;
    mem_write(f.space, 0x0fff, 0, 1);
    ck_assert_int_eq(f.code_calls, 0);
    mem_write(f.space, 0x1ffc, 0, 4);
    ck_assert_int_eq(f.code_calls, 1);
    ck_assert_uint_eq(f.code_off, 0x1ffc);
    ck_assert_uint_eq(f.code_len, 4);
    flags[1] = MEM_PAGE_CODE;
    mem_write_buf(f.space, 0, "12345678", 8);
    ck_assert_int_eq(f.code_calls, 1);
    static const uint8_t zeros[0x1800];
    mem_write_buf(f.space, 0x1000, zeros, sizeof(zeros));
    ck_assert_int_eq(f.code_calls, 2);
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

START_TEST(dirty_display)
{
    struct fixture f;
    setup(&f);
    struct mem_region *ram = add_ram(&f, 0x8000, 0x4000, 0);
    uint64_t off = mem_region_ram_off(ram);
    ck_assert(mem_test_and_clear_dirty(f.mem, off, 0x4000));
    ck_assert_int_eq(f.clean_calls, 1);
    ck_assert_uint_eq(f.clean_off, off);
    ck_assert_uint_eq(f.clean_len, 0x4000);
    ck_assert(!mem_test_and_clear_dirty(f.mem, off, 0x4000));
    ck_assert_int_eq(f.clean_calls, 1);
    mem_write(f.space, 0x9800, 1, 1);
    ck_assert(!mem_test_and_clear_dirty(f.mem, off, 0x1000));
    ck_assert(mem_test_and_clear_dirty(f.mem, off + 0x1800, 1));
    ck_assert_uint_eq(f.clean_off, off + 0x1000);
    ck_assert_uint_eq(f.clean_len, 0x1000);
    mem_write_buf(f.space, 0x8fff, "ab", 2);
    mem_write(f.space, 0xb000, 1, 1);
    ck_assert(mem_test_and_clear_dirty(f.mem, off, 0x4000));
    ck_assert_int_eq(f.clean_calls, 4);
    ck_assert(!mem_test_and_clear_dirty(f.mem, off, 0));
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

static void collect(void *opaque, const char *line)
{
    strcat(opaque, line);
    strcat(opaque, "\n");
}

START_TEST(print)
{
    struct fixture f;
    char text[4096] = "";
    setup(&f);
    struct mem_region *ram = add_ram(&f, 0x1000, 0x1000, 0), *io =
        add_io(&f, 0x1800, 0x10, (struct mem_access){ 0 }, (struct mem_access){ 0 });
    mem_space_print(f.space, collect, text);
    ck_assert_ptr_nonnull(strstr(text, "    0000000000001800-000000000000180f (prio 1, i/o): io\n"));
    ck_assert_ptr_nonnull(strstr(text, "  0000000000001810-0000000000001fff (ram): ram @0000000000000810\n"));
    mem_region_free(io);
    mem_region_free(ram);
    teardown(&f);
}
END_TEST

struct reader {
    struct mem_space *space;
    bool stop;
};

static void *read_all_the_time(void *opaque)
{
    struct reader *r = opaque;
    while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
        struct mem_range range = mem_space_find(r->space, 0x1000);
        if (range.start > 0x1000 || range.last < 0x1000 || mem_read(r->space, 0x5000, 4) != 0)
            return opaque;
    }
    return NULL;
}

START_TEST(readers_without_lock)
{
    struct fixture f;
    pthread_t thread;
    void *bad;
    setup(&f);
    struct mem_region *fixed = add_ram(&f, 0x5000, 0x1000, 0), *moving = add_ram(&f, 0, 0x1000, 0);
    struct reader r = { .space = f.space };
    pthread_create(&thread, NULL, read_all_the_time, &r);
    for (uint64_t i = 0; i < 5000; i++)
        mem_region_move(moving, (i % 4) * 0x800);
    __atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, &bad);
    ck_assert_ptr_null(bad);
    mem_region_free(fixed);
    mem_region_free(moving);
    teardown(&f);
}
END_TEST

/* Many random placements against a byte-by-byte model. */
START_TEST(random_trees)
{
    enum { REGIONS = 12, SPAN = 256 };
    struct fixture f;
    setup(&f);
    struct mem_region *r[REGIONS];
    uint64_t addr[REGIONS], size[REGIONS];
    int prio[REGIONS];
    srand(1);
    for (int round = 0; round < 300; round++) {
        mem_space_begin(f.space);
        for (int i = 0; i < REGIONS; i++) {
            static const struct mem_ops ops = { .read = io_read, .write = io_write };
            addr[i] = (uint64_t)rand() % SPAN;
            size[i] = 1 + (uint64_t)rand() % 64;
            prio[i] = rand() % 3;
            r[i] = mem_io_new("r", size[i], &ops, &f);
            mem_region_add(f.root, addr[i], r[i], prio[i]);
        }
        mem_space_commit(f.space);
        for (uint64_t a = 0; a < SPAN + 70; a++) {
            int best = -1;
            for (int i = 0; i < REGIONS; i++)
                if (a >= addr[i] && a - addr[i] < size[i] && (best < 0 || prio[i] >= prio[best]))
                    best = i;
            struct mem_range range = mem_space_find(f.space, a);
            ck_assert_ptr_eq(range.region, best < 0 ? NULL : r[best]);
            ck_assert(range.start <= a && a <= range.last);
            if (best >= 0)
                ck_assert_uint_eq(range.offset + (a - range.start), a - addr[best]);
        }
        for (int i = 0; i < REGIONS; i++)
            mem_region_free(r[i]);
    }
    teardown(&f);
}
END_TEST

Suite *memory_suite(void)
{
    Suite *s = suite_create("memory");
    TCase *tc = tcase_create("memory");
    tcase_add_test(tc, backing);
    tcase_add_test(tc, holes);
    tcase_add_test(tc, priority);
    tcase_add_test(tc, container_is_transparent_and_clips);
    tcase_add_test(tc, alias);
    tcase_add_test(tc, alias_of_ancestor_ends);
    tcase_add_test(tc, begin_commit);
    tcase_add_test(tc, rom);
    tcase_add_test(tc, ram_sizes_and_crossing);
    tcase_add_test(tc, io_plain);
    tcase_add_test(tc, io_split);
    tcase_add_test(tc, io_widen);
    tcase_add_test(tc, io_unaligned);
    tcase_add_test(tc, io_invalid_size);
    tcase_add_test(tc, io_crosses_end);
    tcase_add_test(tc, write_moves_its_own_region);
    tcase_add_test(tc, buffers);
    tcase_add_test(tc, code_pages);
    tcase_add_test(tc, dirty_display);
    tcase_add_test(tc, print);
    tcase_add_test(tc, readers_without_lock);
    tcase_add_test(tc, random_trees);
    suite_add_tcase(s, tc);
    return s;
}
