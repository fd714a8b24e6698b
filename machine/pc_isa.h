/* Devices that -device and -debugcon add. */
#ifndef MIMUS_MACHINE_PC_ISA_H
#define MIMUS_MACHINE_PC_ISA_H

struct error;
struct machine;
struct pc;

/* Returns 0 or -errno with `err`. */
int pc_build_isa_devices(struct machine *m, struct error *err);
void pc_free_isa_devices(struct pc *pc);

#endif
