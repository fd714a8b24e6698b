/* block/: raw images and the snapshot overlay, errors, order of completion. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/loop.h"
#include "block/block.h"

#define SECTOR 512
#define CLUSTER 65536

struct fixture {
    struct lock lock;
    struct clock *clock;
    struct loop *loop;
    char path[32];
    struct error err;
    int order[8], rets[8], num_done;
    int expected; /* quit the loop after so many */
};

struct test_req {
    struct block_req req;
    struct fixture *f;
    int n;
};

/* A fixture with an image of `size` bytes whose byte i is i / 512 + i. */
static void setup(struct fixture *f, size_t size)
{
    *f = (struct fixture){ .path = "/tmp/mimus-block-XXXXXX" };
    lock_init(&f->lock);
    f->clock = clock_new();
    f->loop = loop_new(f->clock, &f->lock);
    int fd = mkstemp(f->path);
    uint8_t *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i / SECTOR + i);
    ck_assert_int_eq(write(fd, data, size), size);
    free(data);
    close(fd);
}

static void teardown(struct fixture *f)
{
    loop_free(f->loop);
    clock_free(f->clock);
    unlink(f->path);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i / SECTOR + i);
}

static struct block *open_image(struct fixture *f, bool read_only, bool snapshot)
{
    struct block_options opt = { f->path, NULL, read_only, snapshot };
    struct block *b = block_open(&opt, f->loop, &f->err);
    ck_assert_msg(b != NULL, "%s", f->err.msg);
    return b;
}

static void check_open_fails(struct fixture *f, const char *path, const char *format, const char *reason)
{
    struct block_options opt = { path, format, false, false };
    f->err.msg[0] = 0;
    ck_assert_ptr_null(block_open(&opt, f->loop, &f->err));
    ck_assert_msg(strstr(f->err.msg, path) == f->err.msg, "%s", f->err.msg);
    ck_assert_msg(strstr(f->err.msg, reason) != NULL, "%s", f->err.msg);
    ck_assert_ptr_null(strchr(f->err.msg, '\n'));
}

static void done(void *opaque, int ret)
{
    struct test_req *r = opaque;
    struct fixture *f = r->f;
    ck_assert(!lock_try(&f->lock));
    f->order[f->num_done] = r->n;
    f->rets[f->num_done++] = ret;
    if (f->num_done == f->expected)
        loop_quit(f->loop, 0);
}

static void submit(struct fixture *f, struct block *b, struct test_req *r, enum block_op op, uint64_t offset,
                   void *buf, size_t len)
{
    int before = f->num_done;
    r->f = f;
    r->req = (struct block_req){
        .op = op, .offset = offset, .buf = buf, .len = len, .done = done, .opaque = r,
    };
    block_submit(b, &r->req);
    ck_assert_int_eq(f->num_done, before);
}

static int transfer(struct fixture *f, struct block *b, enum block_op op, uint64_t offset, void *buf,
                    size_t len)
{
    struct test_req r = { .n = 0 };
    f->num_done = 0;
    lock_take(&f->lock);
    submit(f, b, &r, op, offset, buf, len);
    block_drain(b);
    lock_release(&f->lock);
    ck_assert_int_eq(f->num_done, 1);
    return f->rets[0];
}

START_TEST(read_and_write)
{
    struct fixture f;
    uint8_t buf[2 * SECTOR], back[SECTOR];
    setup(&f, 8 * SECTOR);
    struct block *b = open_image(&f, false, false);
    ck_assert_uint_eq(block_size(b), 8 * SECTOR);
    ck_assert_str_eq(block_name(b), f.path);
    ck_assert(!block_read_only(b));
    ck_assert_int_eq(transfer(&f, b, BLOCK_READ, SECTOR, buf, sizeof(buf)), 0);
    for (size_t i = 0; i < sizeof(buf); i++)
        ck_assert_uint_eq(buf[i], pattern(SECTOR + i));
    memset(buf, 0xee, SECTOR);
    ck_assert_int_eq(transfer(&f, b, BLOCK_WRITE, 3 * SECTOR, buf, SECTOR), 0);
    ck_assert_int_eq(transfer(&f, b, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(block_pread(b, 3 * SECTOR, back, SECTOR), 0);
    ck_assert_mem_eq(buf, back, SECTOR);
    block_close(b);
    b = open_image(&f, true, false);
    ck_assert_int_eq(block_pread(b, 3 * SECTOR, back, SECTOR), 0);
    ck_assert_mem_eq(buf, back, SECTOR);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(range_is_checked)
{
    struct fixture f;
    uint8_t buf[SECTOR];
    setup(&f, 2 * SECTOR);
    struct block *b = open_image(&f, false, false);
    ck_assert_int_eq(transfer(&f, b, BLOCK_READ, 2 * SECTOR, buf, SECTOR), -EIO);
    ck_assert_int_eq(transfer(&f, b, BLOCK_WRITE, SECTOR + 1, buf, SECTOR), -EIO);
    ck_assert_int_eq(transfer(&f, b, BLOCK_WRITE, UINT64_MAX - 10, buf, SECTOR), -EIO);
    ck_assert_int_eq(transfer(&f, b, BLOCK_READ, 2 * SECTOR, buf, 0), 0);
    ck_assert_int_eq(block_pread(b, 2 * SECTOR, buf, 1), -EIO);
    block_close(b);
    struct stat st;
    ck_assert_int_eq(stat(f.path, &st), 0);
    ck_assert_int_eq(st.st_size, 2 * SECTOR);
    teardown(&f);
}
END_TEST

START_TEST(short_tail)
{
    struct fixture f;
    uint8_t buf[SECTOR];
    setup(&f, SECTOR + 100);
    struct block *b = open_image(&f, false, false);
    ck_assert_uint_eq(block_size(b), 2 * SECTOR);
    ck_assert_int_eq(transfer(&f, b, BLOCK_READ, SECTOR, buf, SECTOR), 0);
    ck_assert_uint_eq(buf[99], pattern(SECTOR + 99));
    for (size_t i = 100; i < SECTOR; i++)
        ck_assert_uint_eq(buf[i], 0);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(read_only)
{
    struct fixture f;
    uint8_t buf[SECTOR] = { 0 };
    setup(&f, SECTOR);
    struct block *b = open_image(&f, true, false);
    ck_assert(block_read_only(b));
    ck_assert_int_eq(transfer(&f, b, BLOCK_WRITE, 0, buf, SECTOR), -EROFS);
    ck_assert_int_eq(transfer(&f, b, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(transfer(&f, b, BLOCK_READ, 0, buf, SECTOR), 0);
    ck_assert_uint_eq(buf[77], 77);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(done_in_order_from_the_loop)
{
    struct fixture f;
    uint8_t a[SECTOR], b_[SECTOR], c[SECTOR];
    struct test_req r[5] = { 0 };
    setup(&f, 4 * SECTOR);
    f.expected = 5;
    struct block *b = open_image(&f, false, false);
    memset(a, 1, SECTOR);
    memset(c, 3, SECTOR);
    lock_take(&f.lock);
    for (int i = 0; i < 5; i++)
        r[i].n = i;
    submit(&f, b, &r[0], BLOCK_WRITE, 0, a, SECTOR);
    submit(&f, b, &r[1], BLOCK_READ, 0, b_, SECTOR);
    submit(&f, b, &r[2], BLOCK_READ, 1 << 20, b_, SECTOR);
    submit(&f, b, &r[3], BLOCK_FLUSH, 0, NULL, 0);
    submit(&f, b, &r[4], BLOCK_WRITE, 0, c, SECTOR);
    lock_release(&f.lock);
    loop_run(f.loop);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(f.order[i], i);
        ck_assert_int_eq(f.rets[i], i == 2 ? -EIO : 0);
    }
    ck_assert_mem_eq(a, b_, SECTOR);
    block_close(b);
    teardown(&f);
}
END_TEST

/* Without a loop nobody finishes a request but block_drain(). */
START_TEST(without_loop)
{
    struct fixture f;
    setup(&f, 64 * SECTOR);
    struct block_options opt = { f.path, NULL, true, false };
    struct block *b = block_open(&opt, NULL, &f.err);
    uint8_t buf[SECTOR];
    struct test_req r = { .n = 7 };
    ck_assert_msg(b != NULL, "%s", f.err.msg);
    lock_take(&f.lock);
    submit(&f, b, &r, BLOCK_READ, 3 * SECTOR, buf, SECTOR);
    usleep(2000);
    ck_assert_int_eq(f.num_done, 0);
    block_drain(b);
    ck_assert_int_eq(f.num_done, 1);
    ck_assert_int_eq(f.order[0], 7);
    ck_assert_int_eq(f.rets[0], 0);
    ck_assert_uint_eq(buf[5], pattern(3 * SECTOR + 5));
    block_close(b);
    lock_release(&f.lock);
    teardown(&f);
}
END_TEST

START_TEST(cancel)
{
    struct fixture f;
    uint8_t data[SECTOR], buf[SECTOR];
    struct test_req keep = { .n = 1 }, drop = { .n = 2 };
    setup(&f, 4 * SECTOR);
    memset(data, 0x77, SECTOR);
    struct block *b = open_image(&f, false, false);
    lock_take(&f.lock);
    submit(&f, b, &drop, BLOCK_WRITE, 0, data, SECTOR);
    submit(&f, b, &keep, BLOCK_READ, SECTOR, buf, SECTOR);
    block_cancel(b, &drop);
    memset(data, 0, SECTOR);
    block_drain(b);
    lock_release(&f.lock);
    ck_assert_int_eq(f.num_done, 1);
    ck_assert_int_eq(f.order[0], 1);
    ck_assert_int_eq(block_pread(b, 0, buf, SECTOR), 0);
    ck_assert_uint_eq(buf[0], 0x77);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(close_finishes_without_callbacks)
{
    struct fixture f;
    uint8_t data[SECTOR], buf[SECTOR];
    struct test_req r = { 0 };
    setup(&f, 4 * SECTOR);
    memset(data, 0x55, SECTOR);
    struct block *b = open_image(&f, false, false);
    submit(&f, b, &r, BLOCK_WRITE, SECTOR, data, SECTOR);
    block_close(b);
    ck_assert_int_eq(f.num_done, 0);
    b = open_image(&f, true, false);
    block_pread(b, SECTOR, buf, SECTOR);
    ck_assert_mem_eq(buf, data, SECTOR);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(overlay)
{
    struct fixture f;
    size_t size = 3 * CLUSTER + 3 * SECTOR;
    uint8_t *model = malloc(size), *buf = malloc(size);
    setup(&f, size);
    struct block *b = open_image(&f, false, true);
    for (size_t i = 0; i < size; i++)
        model[i] = pattern(i);
    srand(2);
    for (int round = 0; round < 60; round++) {
        size_t at = (size_t)rand() % size, len = (size_t)rand() % (round % 2 ? 3 * SECTOR : 2 * CLUSTER);
        len = len < size - at ? len : size - at;
        memset(model + at, round, len);
        memset(buf, round, len);
        ck_assert_int_eq(transfer(&f, b, BLOCK_WRITE, at, buf, len), 0);
        ck_assert_int_eq(transfer(&f, b, BLOCK_READ, 0, buf, size), 0);
        ck_assert_mem_eq(buf, model, size);
    }
    ck_assert_int_eq(transfer(&f, b, BLOCK_FLUSH, 0, NULL, 0), 0);
    block_close(b);
    b = open_image(&f, true, false);
    ck_assert_int_eq(block_pread(b, 0, buf, size), 0);
    for (size_t i = 0; i < size; i++)
        ck_assert_uint_eq(buf[i], pattern(i));
    block_close(b);
    free(model);
    free(buf);
    teardown(&f);
}
END_TEST

START_TEST(open_errors)
{
    struct fixture f;
    setup(&f, 0);
    check_open_fails(&f, f.path, NULL, "is empty");
    ck_assert_int_eq(truncate(f.path, 511), 0);
    check_open_fails(&f, f.path, NULL, "shorter than a sector (511 bytes)");
    ck_assert_int_eq(truncate(f.path, 512), 0);
    check_open_fails(&f, f.path, "qcow2", "format 'qcow2' is not supported");
    check_open_fails(&f, "/nonexistent/disk.img", NULL, "No such file");
    check_open_fails(&f, "/tmp", NULL, "directory");
    check_open_fails(&f, "/dev/null", NULL, "neither a regular file nor a block device");
    int fd = open(f.path, O_WRONLY);
    ck_assert_int_eq(write(fd, "QFI\xfb", 4), 4);
    close(fd);
    check_open_fails(&f, f.path, NULL, "qcow2");
    struct block_options raw = { f.path, "raw", false, false };
    struct block *b = block_open(&raw, f.loop, NULL);
    ck_assert_ptr_nonnull(b);
    block_close(b);
    teardown(&f);
}
END_TEST

START_TEST(no_permission)
{
    struct fixture f;
    setup(&f, SECTOR);
    ck_assert_int_eq(chmod(f.path, 0444), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    check_open_fails(&f, f.path, NULL, "use snapshot=on or readonly=on");
    block_close(open_image(&f, false, true));
    block_close(open_image(&f, true, false));
    if (getuid() == 0) {
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(chmod(f.path, 0), 0);
        ck_assert_int_eq(seteuid(65534), 0);
        check_open_fails(&f, f.path, NULL, "Permission denied");
        ck_assert_ptr_null(strstr(f.err.msg, "snapshot"));
        ck_assert_int_eq(seteuid(0), 0);
    }
    teardown(&f);
}
END_TEST

Suite *block_suite(void)
{
    Suite *s = suite_create("block");
    TCase *tc = tcase_create("block");
    tcase_add_test(tc, read_and_write);
    tcase_add_test(tc, range_is_checked);
    tcase_add_test(tc, short_tail);
    tcase_add_test(tc, read_only);
    tcase_add_test(tc, done_in_order_from_the_loop);
    tcase_add_test(tc, without_loop);
    tcase_add_test(tc, cancel);
    tcase_add_test(tc, close_finishes_without_callbacks);
    tcase_add_test(tc, overlay);
    tcase_add_test(tc, open_errors);
    tcase_add_test(tc, no_permission);
    suite_add_tcase(s, tc);
    return s;
}
