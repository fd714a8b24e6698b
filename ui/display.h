/* What a display adapter shows and who may look at it. */
#ifndef MIMUS_UI_DISPLAY_H
#define MIMUS_UI_DISPLAY_H

#include <stddef.h>
#include <stdint.h>

/* A picture: 0x00RRGGBB pixels, row by row. Owned by the display source. */
struct display_surface {
    uint32_t *pixels;
    unsigned width, height; /* pixels */
};

/* Implemented by a display adapter. */
struct display_source {
    /* Bring the surface up to date and return it; never NULL; valid until the next call. */
    const struct display_surface *(*render)(void *opaque);
    /* Text modes: the characters on screen as UTF-8 lines into buf (always
     * NUL-terminated). Returns 0, or -1 in a graphics mode. */
    int (*text)(void *opaque, char *buf, size_t size);
    void *opaque;
};

#endif
