/* Writer of ACPI Machine Language (ACPI specification 5.0, chapter 20; resource descriptors: 6.4). */
#include "machine/aml.h"

#include <assert.h>
#include <string.h>

#include "base/bits.h"

enum aml_op {
    ZERO_OP = 0x00, ONE_OP = 0x01, NAME_OP = 0x08, BYTE_PREFIX = 0x0A, WORD_PREFIX = 0x0B, DWORD_PREFIX =
    0x0C, STRING_PREFIX = 0x0D, SCOPE_OP = 0x10, BUFFER_OP = 0x11, PACKAGE_OP = 0x12, METHOD_OP = 0x14,
    DUAL_NAME_PREFIX = 0x2E, MULTI_NAME_PREFIX = 0x2F, EXT_PREFIX = 0x5B, STORE_OP = 0x70, AND_OP = 0x7B,
    OR_OP = 0x7D, CREATE_DWORD_FIELD_OP = 0x8A, LLESS_OP = 0x95, IF_OP = 0xA0, RETURN_OP =
    0xA4, EXT_REGION_OP = 0x80, EXT_FIELD_OP = 0x81, EXT_DEVICE_OP = 0x82, EXT_PROCESSOR_OP = 0x83,
};
enum { KIND_PLAIN, KIND_RESOURCES };
enum { END_TAG = 0x79, NAME_SEG = 4 };

static GByteArray *top(struct aml *a)
{
    return a->level[a->depth];
}

static void emit(struct aml *a, const void *p, size_t len)
{
    g_byte_array_append(top(a), p, (guint)len);
}

static void emit8(struct aml *a, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    emit(a, &byte, 1);
}

static void emit_le(struct aml *a, unsigned size, uint32_t value)
{
    uint8_t bytes[4];

    store_le(bytes, size, value);
    emit(a, bytes, size);
}

void aml_init(struct aml *a)
{
    *a = (struct aml){ .depth = 0 };
    a->level[0] = g_byte_array_new();
}

GByteArray *aml_finish(struct aml *a)
{
    assert(!a->depth);
    return a->level[0];
}

/* ---- terms with a length ---- */

static void open_term(struct aml *a, uint8_t kind)
{
    assert(a->depth + 1 < AML_MAX_DEPTH);
    a->depth++;
    a->level[a->depth] = g_byte_array_new();
    a->kind[a->depth] = kind;
}

/* PkgLength (20.2.4) counts itself: one byte up to 63, else a nibble and one to three bytes. */
static void emit_pkg_length(struct aml *a, uint32_t contents)
{
    unsigned extra = contents + 1 < 0x40 ? 0 : contents + 2 < 0x1000 ? 1 : contents + 3 < 0x100000 ? 2 : 3;
    uint32_t len = contents + 1 + extra;

    if (!extra) {
        emit8(a, len);
        return;
    }
    emit8(a, extra << 6 | (len & 0x0F));
    emit_le(a, extra, len >> 4);
}

void aml_end(struct aml *a)
{
    assert(a->depth);
    GByteArray *contents = top(a), *size = NULL;
    uint8_t kind = a->kind[a->depth];
    static const uint8_t end_tag[2] = { END_TAG, 0 }; /* a checksum of 0 means: none */

    if (kind == KIND_RESOURCES) {
        emit(a, end_tag, sizeof(end_tag));
        size = a->level[a->depth] = g_byte_array_new();
        aml_int(a, contents->len);
    }
    a->depth--;
    emit_pkg_length(a, contents->len + (size ? size->len : 0));
    if (size) {
        emit(a, size->data, size->len);
        g_byte_array_free(size, TRUE);
    }
    emit(a, contents->data, contents->len);
    g_byte_array_free(contents, TRUE);
}

/* A name segment has four characters; "_" fills it up. */
static void emit_segment(struct aml *a, const char *s, size_t len)
{
    char segment[NAME_SEG] = { '_', '_', '_', '_' };

    assert(len && len <= NAME_SEG);
    memcpy(segment, s, len);
    emit(a, segment, NAME_SEG);
}

void aml_path(struct aml *a, const char *path)
{
    unsigned segments = 1;

    if (*path == '\\')
        emit8(a, (uint8_t)*path++);
    if (!*path) {
        emit8(a, ZERO_OP);
        return;
    }
    for (const char *p = path; *p; p++)
        segments += *p == '.';
    if (segments == 2)
        emit8(a, DUAL_NAME_PREFIX);
    if (segments > 2) {
        emit8(a, MULTI_NAME_PREFIX);
        emit8(a, segments);
    }
    for (;;) {
        size_t len = strcspn(path, ".");
        emit_segment(a, path, len);
        if (!path[len])
            return;
        path += len + 1;
    }
}

void aml_scope(struct aml *a, const char *path)
{
    emit8(a, SCOPE_OP);
    open_term(a, KIND_PLAIN);
    aml_path(a, path);
}

static void emit_ext(struct aml *a, unsigned op)
{
    emit8(a, EXT_PREFIX);
    emit8(a, op);
}

void aml_device(struct aml *a, const char *name)
{
    emit_ext(a, EXT_DEVICE_OP);
    open_term(a, KIND_PLAIN);
    aml_path(a, name);
}

void aml_method(struct aml *a, const char *name, unsigned args, bool serialized)
{
    emit8(a, METHOD_OP);
    open_term(a, KIND_PLAIN);
    aml_path(a, name);
    emit8(a, args | (serialized ? 8 : 0));
}

void aml_if(struct aml *a)
{
    emit8(a, IF_OP);
    open_term(a, KIND_PLAIN);
}

void aml_package(struct aml *a, unsigned count)
{
    assert(count < 256);
    emit8(a, PACKAGE_OP);
    open_term(a, KIND_PLAIN);
    emit8(a, count);
}

void aml_resources(struct aml *a)
{
    emit8(a, BUFFER_OP);
    open_term(a, KIND_RESOURCES);
}

void aml_field(struct aml *a, const char *region)
{
    emit_ext(a, EXT_FIELD_OP);
    open_term(a, KIND_PLAIN);
    aml_path(a, region);
    emit8(a, 1);
}

/* ---- terms in one piece ---- */

void aml_name(struct aml *a, const char *name)
{
    emit8(a, NAME_OP);
    aml_path(a, name);
}

void aml_int(struct aml *a, uint32_t value)
{
    if (value <= 1) {
        emit8(a, value ? ONE_OP : ZERO_OP);
    } else if (value <= 0xFF) {
        emit8(a, BYTE_PREFIX);
        emit8(a, value);
    } else {
        bool word = value <= 0xFFFF;
        emit8(a, word ? WORD_PREFIX : DWORD_PREFIX);
        emit_le(a, word ? 2 : 4, value);
    }
}

void aml_string(struct aml *a, const char *s)
{
    emit8(a, STRING_PREFIX);
    emit(a, s, strlen(s) + 1);
}

/* Three letters of five bits, then four hexadecimal digits, stored big-endian (19.2.3 EISAID). */
void aml_eisaid(struct aml *a, const char *id)
{
    uint8_t bytes[4];
    uint32_t value = 0;

    assert(strlen(id) == 7);
    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | (uint32_t)(id[i] - '@');
    for (unsigned i = 3; i < 7; i++)
        value = value << 4 | (uint32_t)g_ascii_xdigit_value(id[i]);
    store_be(bytes, 4, value);
    emit8(a, DWORD_PREFIX);
    emit(a, bytes, 4);
}

void aml_local(struct aml *a, unsigned local)
{
    emit8(a, local);
}

void aml_return(struct aml *a)
{
    emit8(a, RETURN_OP);
}

void aml_store(struct aml *a)
{
    emit8(a, STORE_OP);
}

void aml_and(struct aml *a)
{
    emit8(a, AND_OP);
}

void aml_or(struct aml *a)
{
    emit8(a, OR_OP);
}

void aml_less(struct aml *a)
{
    emit8(a, LLESS_OP);
}

void aml_null(struct aml *a)
{
    emit8(a, ZERO_OP);
}

void aml_region(struct aml *a, const char *name, enum aml_region_space space, uint32_t offset, uint32_t len)
{
    emit_ext(a, EXT_REGION_OP);
    aml_path(a, name);
    emit8(a, space);
    aml_int(a, offset);
    aml_int(a, len);
}

void aml_field_unit(struct aml *a, const char *name, unsigned bits)
{
    assert(bits < 0x40);
    emit_segment(a, name, strlen(name));
    emit8(a, bits);
}

void aml_create_dword(struct aml *a)
{
    emit8(a, CREATE_DWORD_FIELD_OP);
}

void aml_processor(struct aml *a, const char *name, uint8_t id)
{
    emit_ext(a, EXT_PROCESSOR_OP);
    open_term(a, KIND_PLAIN);
    aml_path(a, name);
    emit8(a, id);
    emit_le(a, 4, 0); /* no P_BLK */
    emit8(a, 0);
    aml_end(a);
}

/* ---- resource descriptors ---- */

void aml_res_io(struct aml *a, uint16_t base, uint8_t len)
{
    emit8(a, 0x47);
    emit8(a, 1); /* 16 address bits are decoded */
    emit_le(a, 2, base);
    emit_le(a, 2, base);
    emit8(a, 1);
    emit8(a, len);
}

void aml_res_irq(struct aml *a, unsigned irq)
{
    emit8(a, 0x22);
    emit_le(a, 2, 1u << irq);
}

void aml_res_dma(struct aml *a, unsigned channel)
{
    emit8(a, 0x2A);
    emit8(a, 1u << channel);
    emit8(a, 0);
}

void aml_res_memory(struct aml *a, uint32_t base, uint32_t len)
{
    emit8(a, 0x86); /* 32-bit fixed memory range */
    emit_le(a, 2, 9);
    emit8(a, 1);
    emit_le(a, 4, base);
    emit_le(a, 4, len);
}

void aml_res_interrupts(struct aml *a, const uint32_t *irqs, unsigned count)
{
    emit8(a, 0x89);
    emit_le(a, 2, 2 + 4 * count);
    emit8(a, 0x09); /* consumer, level, active high, shared */
    emit8(a, count);
    for (unsigned i = 0; i < count; i++)
        emit_le(a, 4, irqs[i]);
}

/* Address space descriptors share a form: type, flags (12: minimum and maximum are fixed), granularity,
 * minimum, maximum, translation, length, each `size` bytes. */
static void address_space(struct aml *a, unsigned size, uint8_t type, uint8_t type_flags, uint32_t first,
                          uint32_t last)
{
    emit8(a, size == 2 ? 0x88 : 0x87);
    emit_le(a, 2, 3 + 5 * size);
    emit8(a, type);
    emit8(a, 0x0C);
    emit8(a, type_flags);
    emit_le(a, size, 0);
    emit_le(a, size, first);
    emit_le(a, size, last);
    emit_le(a, size, 0);
    emit_le(a, size, last - first + 1);
}

void aml_res_bus_window(struct aml *a, uint16_t first, uint16_t last)
{
    address_space(a, 2, 2, 0, first, last);
}

void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last)
{
    address_space(a, 2, 1, 3, first, last); /* entire range */
}

void aml_res_memory_window(struct aml *a, uint32_t first, uint32_t last, bool cacheable)
{
    address_space(a, 4, 0, cacheable ? 3 : 1, first, last); /* read-write */
}
