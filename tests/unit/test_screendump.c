/* Screenshots: the bytes of a PPM, a PNG read back, failures. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "base/error.h"
#include "ui/display.h"
#include "ui/screendump.h"

#ifdef HAVE_PNG
#include <png.h>
#endif

static uint32_t pixels[6] = { 0xFF0000, 0x00FF00, 0x0000FF, 0x123456, 0x000000, 0xFFFFFF };
static const struct display_surface surface = { pixels, 3, 2 };
static const uint8_t rgb[18] = {
    0xFF, 0, 0, 0, 0xFF, 0, 0, 0, 0xFF, 0x12, 0x34, 0x56, 0, 0, 0, 0xFF, 0xFF, 0xFF,
};

static char *temp_name(const char *suffix)
{
    static char path[64];

    snprintf(path, sizeof(path), "/tmp/mimus-screendump-%d%s", (int)getpid(), suffix);
    return path;
}

START_TEST(ppm)
{
    struct error err = { "" };
    char *path = temp_name(".ppm");
    uint8_t buf[64];

    ck_assert_int_eq(screendump_write(&surface, path, NULL, &err), 0);
    FILE *f = fopen(path, "rb");
    ck_assert_uint_eq(fread(buf, 1, sizeof(buf), f), 11 + 18);
    fclose(f);
    unlink(path);
    ck_assert_mem_eq(buf, "P6\n3 2\n255\n", 11);
    ck_assert_mem_eq(buf + 11, rgb, 18);
}
END_TEST

START_TEST(png)
{
    struct error err = { "" };
    char *path = temp_name(".PNG");
    int ret = screendump_write(&surface, path, NULL, &err);

#ifdef HAVE_PNG
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t buf[18];
    ck_assert_int_eq(ret, 0);
    ck_assert(png_image_begin_read_from_file(&image, path));
    ck_assert_uint_eq(image.width, 3);
    ck_assert_uint_eq(image.height, 2);
    image.format = PNG_FORMAT_RGB;
    ck_assert(png_image_finish_read(&image, NULL, buf, 0, NULL));
    ck_assert_mem_eq(buf, rgb, 18);
#else
    ck_assert_int_eq(ret, -ENOTSUP);
#endif
    unlink(path);
}
END_TEST

START_TEST(failures)
{
    struct error err = { "" };

    ck_assert_int_eq(screendump_write(&surface, "/nonexistent/x.ppm", NULL, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.msg, "/nonexistent/x.ppm"));
    err.msg[0] = '\0';
    ck_assert_int_eq(screendump_write(&surface, temp_name(""), "gif", &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "gif"));
    err.msg[0] = '\0';
    ck_assert_int_eq(screendump_write(&surface, "/dev/full", "ppm", &err), -ENOSPC);
    ck_assert_int_eq(access("/dev/full", F_OK), 0);
}
END_TEST

Suite *screendump_suite(void)
{
    Suite *s = suite_create("screendump");
    TCase *tc = tcase_create("screendump");

    tcase_add_test(tc, ppm);
    tcase_add_test(tc, png);
    tcase_add_test(tc, failures);
    suite_add_tcase(s, tc);
    return s;
}
