/* Matrices of cases in 32-bit protected mode: descriptors of every level, names of cases, access bytes. */
#ifndef GUEST_MATRIX_H
#define GUEST_MATRIX_H

#include "guest.h"

/* Flat code and data of each level, with the level as RPL; a program's own selectors stand behind them. */
#define SEL_CODE(level) ((u16)(SEL_TEST + 8 * (level) + (level)))
#define SEL_DATA(level) ((u16)(SEL_TEST + 0x20 + 8 * (level) + (level)))
#define SEL_OWN (SEL_TEST + 0x40)

enum { P = 0x80, S = 0x10, CODE_SEG = 8, CONFORMING = 4, READABLE = 2, WRITABLE = 2, EXPAND_DOWN = 4 };

static char case_name[80];

/* The numbers in hexadecimal; their order stands at each caller. */
static inline void name_case(const u32 *numbers, int n)
{
    char *p = case_name;
    for (int i = 0; i < n; i++) {
        *p++ = ' ';
        for (int shift = 28, seen = 0; shift >= 0; shift -= 4) {
            u32 digit = numbers[i] >> shift & 15;
            seen |= digit || !shift;
            if (seen)
                *p++ = "0123456789abcdef"[digit];
        }
    }
    *p = 0;
}
#define NAME(...) name_case((const u32[]){ __VA_ARGS__ }, sizeof((u32[]){ __VA_ARGS__ }) / 4)

static inline u32 dpl_of(u8 access)
{
    return access >> 5 & 3;
}

static inline bool is_code(u8 access)
{
    return (access & (S | CODE_SEG)) == (S | CODE_SEG);
}

static inline bool is_conforming(u8 access)
{
    return is_code(access) && (access & CONFORMING);
}

static inline bool is_data(u8 access)
{
    return (access & (S | CODE_SEG)) == S;
}

static inline void set_levels(void)
{
    for (u32 level = 0; level < 4; level++) {
        gdt_set(SEL_CODE(level) & ~7, desc(0, 0xfffff, (u8)(P | level << 5 | S | CODE_SEG | READABLE | 1), 0xc));
        gdt_set(SEL_DATA(level) & ~7, desc(0, 0xfffff, (u8)(P | level << 5 | S | WRITABLE | 1), 0xc));
    }
}

/* A case that starts at level `cpl`; it may end anywhere. */
static inline struct test at_level(u32 cpl, const struct code *code)
{
    return (struct test){ .name = case_name, .mode = cpl ? P32U : P32, .code = code, .cs = SEL_CODE(cpl),
                          .ss = SEL_DATA(cpl), .ds = SEL_UDS | 3, .es = SEL_UDS | 3, .anyip = true };
}

#endif
