/* Screenshots: a picture into a file. */
#ifndef MIMUS_UI_SCREENDUMP_H
#define MIMUS_UI_SCREENDUMP_H

struct display_surface;
struct error;

/* Write the picture to `path`. `format` is "png", "ppm" or NULL: as the file name ends, PPM when that says
 * nothing. Returns 0 or -errno with one line in `err`; -ENOTSUP for PNG in a build without libpng. A file
 * that cannot be completed is removed. */
int screendump_write(const struct display_surface *s, const char *path, const char *format,
                     struct error *err);

#endif
