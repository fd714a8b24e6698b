/* `x` and `xp`: memory as numbers, characters or instructions. */
#include "monitor/examine.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "memory/memory.h"

#define COUNT_MAX 4096

struct request {
    struct cpu *cpu;
    struct mem_space *memory;
    bool physical;
    unsigned count, size;
    char format;
    uint64_t addr;
    void (*print)(void *opaque, const char *line);
    void *opaque;
};

static bool read_byte(const struct request *r, uint64_t addr, uint8_t *out)
{
    uint64_t phys = addr;

    if (!r->physical && !cpu_translate(r->cpu, addr, &phys))
        return false;
    *out = (uint8_t)mem_read(r->memory, phys, 1);
    return true;
}

/* As many of `n` bytes at `addr` as are mapped. */
static unsigned read_bytes(const struct request *r, uint64_t addr, uint8_t *buf, unsigned n)
{
    unsigned i = 0;

    while (i < n && read_byte(r, addr + i, &buf[i]))
        i++;
    return i;
}

static bool parse_format(struct request *r, const char **p)
{
    static const struct { char c; unsigned size; } sizes[] = { { 'b', 1 }, { 'h', 2 }, { 'w', 4 }, { 'g', 8 } };
    char *end;

    if (isdigit((unsigned char)**p)) {
        r->count = (unsigned)strtoul(*p, &end, 10);
        *p = end;
    }
    for (; isalpha((unsigned char)**p); (*p)++) {
        bool known = strchr("xduoci", **p) != NULL;
        if (known)
            r->format = **p;
        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
            if (sizes[i].c == **p) {
                r->size = sizes[i].size;
                known = true;
            }
        if (!known)
            return false;
    }
    return r->count <= COUNT_MAX;
}

static bool parse_request(struct request *r, const char *p)
{
    char *end;

    if (*p == '/') {
        p++;
        if (!parse_format(r, &p))
            return false;
    }
    p += strspn(p, " \t");
    if (!strcmp(p, "$pc") || !strcmp(p, "$rip") || !strcmp(p, "$eip")) {
        r->addr = cpu_pc(r->cpu);
        return true;
    }
    if (!isdigit((unsigned char)*p))
        return false;
    r->addr = strtoull(p, &end, 0);
    return *end == '\0';
}

static void print_value(char *out, size_t room, char format, unsigned size, uint64_t v)
{
    switch (format) {
    case 'd':
        snprintf(out, room, " %" PRId64, bits_sext(v, size * 8));
        break;
    case 'u':
        snprintf(out, room, " %" PRIu64, v);
        break;
    case 'o':
        snprintf(out, room, " 0%" PRIo64, v);
        break;
    case 'c':
        snprintf(out, room, " '%c'", isprint((int)(v & 0xff)) ? (int)(v & 0xff) : '.');
        break;
    default:
        snprintf(out, room, " 0x%0*" PRIx64, (int)size * 2, v);
    }
}

static void print_numbers(struct request *r)
{
    unsigned per_line = 16 / r->size;

    for (unsigned i = 0; i < r->count; ) {
        char line[512];
        int n = snprintf(line, sizeof(line), "%016" PRIx64 ":", r->addr);
        for (unsigned k = 0; k < per_line && i < r->count; k++, i++) {
            uint8_t buf[8];
            if (read_bytes(r, r->addr, buf, r->size) < r->size) {
                snprintf(line, sizeof(line), "Cannot access memory at address 0x%" PRIx64, r->addr);
                r->print(r->opaque, line);
                return;
            }
            print_value(line + n, sizeof(line) - (size_t)n, r->format, r->size, load_le(buf, r->size));
            n += (int)strlen(line + n);
            r->addr += r->size;
        }
        r->print(r->opaque, line);
    }
}

/* One instruction as text; returns its length, at least 1. */
static unsigned format_instruction(const struct request *r, const uint8_t *code, unsigned avail, char *out, size_t room)
{
    struct insn insn;
    FILE *f;

    if (insn_decode(&insn, code, avail, cpu_code_bits(r->cpu)) != DECODE_OK) {
        snprintf(out, room, ".byte 0x%02x", code[0]);
        return 1;
    }
    f = fmemopen(out, room, "w");
    if (f) {
        insn_print(f, &insn, r->addr);
        fclose(f);
        out[room - 1] = '\0';
        out[strcspn(out, "\n")] = '\0';
    }
    return insn.len;
}

static void print_instructions(struct request *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        uint8_t buf[16];
        char line[160];
        unsigned avail = read_bytes(r, r->addr, buf, 15), len;
        int n = snprintf(line, sizeof(line), "0x%016" PRIx64 ":  ", r->addr);

        if (!avail) {
            snprintf(line, sizeof(line), "Cannot access memory at address 0x%" PRIx64, r->addr);
            r->print(r->opaque, line);
            return;
        }
        len = format_instruction(r, buf, avail, line + n, sizeof(line) - (size_t)n);
        r->print(r->opaque, line);
        r->addr += len;
    }
}

void examine_memory(struct cpu *cpu, struct mem_space *memory, const char *spec, bool physical,
                    void (*print)(void *opaque, const char *line), void *opaque)
{
    struct request r = { .cpu = cpu, .memory = memory, .physical = physical, .count = 1, .size = 4,
                         .format = 'x', .print = print, .opaque = opaque };

    if (!parse_request(&r, spec)) {
        print(opaque, "usage: x/FMT ADDR, for example x/8xw 0x7c00 or x/10i $pc");
        return;
    }
    if (r.format == 'i')
        print_instructions(&r);
    else
        print_numbers(&r);
}
