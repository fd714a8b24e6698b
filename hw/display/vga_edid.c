/* The monitor's EDID 1.4 block (VESA E-EDID Standard, Release A, Revision 2). */
#include "hw/display/vga_internal.h"

enum { EDID_SIZE = 128 };

static const uint8_t edid[EDID_SIZE - 1] = {
    0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00,
    0x35, 0x2D, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, /* manufacturer "MIM", product 1, serial 1 */
    1, 34, 1, 4,                                    /* week 1 of 2024, EDID 1.4 */
    0xA0, 27, 20, 120, 0x06,                        /* digital; 27 cm x 20 cm; gamma 2.2; sRGB */
    0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54, /* sRGB primaries */
    0x21, 0x08, 0x00,                               /* 640x480, 800x600, 1024x768 at 60 Hz */
    0x81, 0x80, 0x81, 0xC0, 0x81, 0x00, 0x95, 0x00, /* 1280x1024, 1280x720, 1280x800, 1440x900 */
    0xA9, 0x40, 0xB3, 0x00, 0xD1, 0xC0, 0x01, 0x01, /* 1600x1200, 1680x1050, 1920x1080 */
    0x64, 0x19,                                     /* 65 MHz: 1024 of 1344 dots, 768 of 806 lines */
    0x00, 0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x0E, 0xC8, 0x10, 0x00, 0x00, 0x18,
    0, 0, 0, 0xFC, 0, 'M', 'i', 'm', 'u', 's', '\n', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
    0, 0, 0, 0xFD, 0, 50, 125, 30, 160, 30, 0x01, '\n', ' ', ' ', ' ', ' ', ' ', ' ',
    0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0,                                              /* no extension block */
};

uint8_t vga_edid_byte(unsigned offset)
{
    uint8_t sum = 0;

    if (offset < sizeof(edid))
        return edid[offset];
    if (offset >= EDID_SIZE)
        return 0;
    for (unsigned i = 0; i < sizeof(edid); i++)
        sum += edid[i];
    return (uint8_t)-sum;
}
