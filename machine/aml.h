/* Writes ACPI Machine Language (ACPI specification 5.0, chapter 20). Terms that hold others are opened by the
 * functions that say so and closed by aml_end(), which fills in their length. */
#ifndef MIMUS_MACHINE_AML_H
#define MIMUS_MACHINE_AML_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

enum { AML_MAX_DEPTH = 12 };

struct aml {
    GByteArray *level[AML_MAX_DEPTH]; /* contents of the terms that are open, outermost first */
    uint8_t kind[AML_MAX_DEPTH];
    unsigned depth;
};

enum aml_region_space { AML_SYSTEM_MEMORY, AML_SYSTEM_IO, AML_PCI_CONFIG };
enum aml_local { AML_ARG0 = 0x68 };

void aml_init(struct aml *a);
/* The finished bytes; the caller frees the array. Every open term must be closed. */
GByteArray *aml_finish(struct aml *a);

/* ---- terms that are opened ---- */
void aml_scope(struct aml *a, const char *path);
void aml_device(struct aml *a, const char *name);
void aml_method(struct aml *a, const char *name, unsigned args, bool serialized);
void aml_if(struct aml *a);                                  /* the predicate follows */
void aml_package(struct aml *a, unsigned count);
void aml_resources(struct aml *a);                           /* a buffer of descriptors with its end tag */
void aml_field(struct aml *a, const char *region);           /* byte access, no lock, preserve */
void aml_end(struct aml *a);

/* ---- terms in one piece ---- */
void aml_name(struct aml *a, const char *name);              /* Name(name, ...): the object follows */
void aml_int(struct aml *a, uint32_t value);
void aml_string(struct aml *a, const char *s);
void aml_eisaid(struct aml *a, const char *id);              /* "PNP0A03" */
void aml_path(struct aml *a, const char *path);              /* segments are padded to four characters */
void aml_local(struct aml *a, unsigned local);               /* AML_ARG0 + n */
void aml_return(struct aml *a);                              /* the value follows */
void aml_store(struct aml *a);                               /* source and target follow */
void aml_and(struct aml *a);                                 /* two operands and a target follow */
void aml_or(struct aml *a);
void aml_less(struct aml *a);                                /* two operands follow */
void aml_null(struct aml *a);
void aml_region(struct aml *a, const char *name, enum aml_region_space space, uint32_t offset, uint32_t len);
void aml_field_unit(struct aml *a, const char *name, unsigned bits);
void aml_create_dword(struct aml *a);                        /* CreateDWordField: buffer, index, name */
void aml_processor(struct aml *a, const char *name, uint8_t id);

/* ---- resource descriptors (section 6.4), within aml_resources() ---- */
void aml_res_io(struct aml *a, uint16_t base, uint8_t len);
void aml_res_irq(struct aml *a, unsigned irq);               /* edge-triggered ISA interrupt */
void aml_res_dma(struct aml *a, unsigned channel);           /* 8-bit, compatible timing */
void aml_res_memory(struct aml *a, uint32_t base, uint32_t len);
/* Level-triggered, active high, shared interrupts. */
void aml_res_interrupts(struct aml *a, const uint32_t *irqs, unsigned count);
/* What a host bridge passes on: both ends inclusive. */
void aml_res_bus_window(struct aml *a, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_res_memory_window(struct aml *a, uint32_t first, uint32_t last, bool cacheable);

#endif
