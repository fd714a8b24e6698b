/* Screenshots: PNG by libpng, PPM (P6) by hand. */
#include "ui/screendump.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "base/error.h"
#include "ui/display.h"

#ifdef HAVE_PNG
#include <png.h>
#endif

/* Row `y` as bytes red, green, blue. */
static void row_bytes(const struct display_surface *s, unsigned y, uint8_t *out)
{
    const uint32_t *row = s->pixels + (size_t)y * s->width;

    for (unsigned x = 0; x < s->width; x++) {
        *out++ = (uint8_t)(row[x] >> 16);
        *out++ = (uint8_t)(row[x] >> 8);
        *out++ = (uint8_t)row[x];
    }
}

static int write_ppm(const struct display_surface *s, FILE *f, uint8_t *row)
{
    if (fprintf(f, "P6\n%u %u\n255\n", s->width, s->height) < 0)
        return -errno;
    for (unsigned y = 0; y < s->height; y++) {
        row_bytes(s, y, row);
        if (fwrite(row, 3, s->width, f) != s->width)
            return -errno;
    }
    return 0;
}

#ifdef HAVE_PNG
static int write_png(const struct display_surface *s, FILE *f, uint8_t *row)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return -ENOMEM;
    }
    if (setjmp(png_jmpbuf(png))) { /* libpng reports every error here */
        png_destroy_write_struct(&png, &info);
        return errno ? -errno : -EIO;
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, s->width, s->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (volatile unsigned y = 0; y < s->height; y++) {
        row_bytes(s, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return 0;
}
#else
static int write_png(const struct display_surface *s, FILE *f, uint8_t *row)
{
    (void)s;
    (void)f;
    (void)row;
    return -ENOTSUP;
}
#endif

/* 1 for PNG, 0 for PPM, -1 for a format that nobody knows. */
static int format_is_png(const char *path, const char *format)
{
    const char *dot = strrchr(path, '.');

    if (!format)
        return dot && !strcasecmp(dot, ".png");
    return !strcmp(format, "png") ? 1 : !strcmp(format, "ppm") ? 0 : -1;
}

int screendump_write(const struct display_surface *s, const char *path, const char *format, struct error *err)
{
    int png = format_is_png(path, format);
    struct stat st;

    if (png < 0)
        return error_set(err, -EINVAL, "screendump: unknown format '%s'; there is png and ppm", format);
    uint8_t *row = malloc((size_t)s->width * 3 + 1);
    FILE *f = row ? fopen(path, "wb") : NULL;
    if (!f) {
        int code = row ? -errno : -ENOMEM;
        free(row);
        return error_set(err, code, "screendump: cannot open '%s': %s", path, strerror(-code));
    }
    bool regular = !fstat(fileno(f), &st) && S_ISREG(st.st_mode);
    errno = 0;
    int ret = png ? write_png(s, f, row) : write_ppm(s, f, row);
    if (fclose(f) && !ret)
        ret = -errno;
    free(row);
    if (!ret)
        return 0;
    if (regular)
        unlink(path);
    return error_set(err, ret, "screendump: cannot write '%s': %s", path,
                     ret == -ENOTSUP ? "this build has no PNG support" : strerror(-ret));
}
