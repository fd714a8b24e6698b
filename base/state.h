/* State tables: the guest-visible registers of a device or CPU as data. Reset,
 * save and load work from the same struct, and a unit test demands that the
 * table covers every byte of it. */
#ifndef MIMUS_BASE_STATE_H
#define MIMUS_BASE_STATE_H

#include <stddef.h>
#include <stdint.h>

struct state_field {
    const char *name;
    uint32_t offset;
    uint32_t size;  /* of one element: 1, 2, 4, 8 (stored little-endian), or 0: padding of `count` bytes */
    uint32_t count; /* elements */
};

struct state_table {
    const char *name;
    uint32_t version;
    uint32_t size; /* sizeof the struct */
    const struct state_field *fields;
    uint32_t num_fields;
};

/* A scalar member. */
#define STATE_FIELD(type, member) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1 }
/* An array member (of one or more dimensions) of scalars of type `elem`. */
#define STATE_ARRAY(type, member, elem) \
    { #member, offsetof(type, member), sizeof(elem), sizeof(((type *)0)->member) / sizeof(elem) }
/* Explicit padding member. */
#define STATE_PAD(type, member) \
    { #member, offsetof(type, member), 0, sizeof(((type *)0)->member) }
#define STATE_TABLE(name_, version_, type, fields_) \
    { name_, version_, sizeof(type), fields_, sizeof(fields_) / sizeof((fields_)[0]) }

/* Bytes that state_save() writes for this table. */
size_t state_saved_size(const struct state_table *table);
/* Append `regs` to `buf` (state_saved_size bytes). */
void state_save(const struct state_table *table, const void *regs, uint8_t *buf);
void state_load(const struct state_table *table, void *regs, const uint8_t *buf);
/* Offset of the first byte that no field covers or that two fields cover, or -1 when the table is complete. */
long state_table_gap(const struct state_table *table);

#endif
