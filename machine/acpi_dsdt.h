/* The AML half of the ACPI tables. */
#ifndef MIMUS_MACHINE_ACPI_DSDT_H
#define MIMUS_MACHINE_ACPI_DSDT_H

#include <glib.h>

struct acpi_config;

/* The definition block of the DSDT without its table header; the caller frees the array. */
GByteArray *acpi_dsdt_body(const struct acpi_config *config);

#endif
