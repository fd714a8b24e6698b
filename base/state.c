/* Save, load and completeness check of state tables. */
#include "base/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* Bytes of the struct that a field covers. */
static size_t field_span(const struct state_field *f)
{
    return (size_t)f->count * (f->size ? f->size : 1);
}

static uint64_t host_load(const void *p, unsigned size)
{
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    switch (size) {
    case 1: memcpy(&v8, p, 1); return v8;
    case 2: memcpy(&v16, p, 2); return v16;
    case 4: memcpy(&v32, p, 4); return v32;
    default:
        assert(size == 8);
        memcpy(&v64, p, 8);
        return v64;
    }
}

static void host_store(void *p, unsigned size, uint64_t v)
{
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    switch (size) {
    case 1: memcpy(p, &v8, 1); break;
    case 2: memcpy(p, &v16, 2); break;
    case 4: memcpy(p, &v32, 4); break;
    default:
        assert(size == 8);
        memcpy(p, &v, 8);
        break;
    }
}

size_t state_saved_size(const struct state_table *table)
{
    size_t total = 0;
    for (uint32_t i = 0; i < table->num_fields; i++)
        total += (size_t)table->fields[i].size * table->fields[i].count;
    return total;
}

void state_save(const struct state_table *table, const void *regs, uint8_t *buf)
{
    for (uint32_t i = 0; i < table->num_fields; i++) {
        const struct state_field *f = &table->fields[i];
        const uint8_t *p = (const uint8_t *)regs + f->offset;
        for (uint32_t n = 0; f->size && n < f->count; n++, p += f->size, buf += f->size)
            store_le(buf, f->size, host_load(p, f->size));
    }
}

void state_load(const struct state_table *table, void *regs, const uint8_t *buf)
{
    for (uint32_t i = 0; i < table->num_fields; i++) {
        const struct state_field *f = &table->fields[i];
        uint8_t *p = (uint8_t *)regs + f->offset;
        if (!f->size)
            memset(p, 0, f->count);
        for (uint32_t n = 0; f->size && n < f->count; n++, p += f->size, buf += f->size)
            host_store(p, f->size, load_le(buf, f->size));
    }
}

long state_table_gap(const struct state_table *table)
{
    uint8_t *cover = calloc(1, (size_t)table->size + 1);
    long gap = -1;
    assert(cover);
    for (uint32_t i = 0; i < table->num_fields; i++) {
        const struct state_field *f = &table->fields[i];
        for (size_t at = f->offset; at < f->offset + field_span(f) && at < table->size; at++)
            cover[at] += cover[at] < 2;
        if (f->offset + field_span(f) > table->size)
            cover[table->size] = 1;
    }
    for (uint32_t at = 0; at < table->size && gap < 0; at++)
        if (cover[at] != 1)
            gap = at;
    if (gap < 0 && cover[table->size])
        gap = table->size;
    free(cover);
    return gap;
}
