/* The CPU struct as the translator sees it: offsets, helper table, memory slow paths. */
#include "cpu/emit.h"
#include "cpu/helpers.h"
#include "cpu/x87.h"

_Static_assert(sizeof(struct tcg_flags) == 32, "PUTFL stores op and type as one 16-bit word after a, b, c");
_Static_assert(offsetof(struct cpu, spill) < 32768, "vector operations name CPU fields by 16 bits");
_Static_assert(offsetof(struct cpu, vtmph) < 32768, "vector operations name CPU fields by 16 bits");
_Static_assert(offsetof(struct cpu, vtmph) - offsetof(struct cpu, vtmp) ==
               offsetof(struct cpu, ymmh) - offsetof(struct cpu, xmm), "second halves are at one distance");

/* Helpers are called through one pointer type by their number of arguments. */
static const struct tcg_helper helpers[] = {
#define HELPER(name, n, result, args, effects) { #name, (void *)helper_##name, result, args, effects },
#include "cpu/helpers.def"
};

#define REG(n) offsetof(struct cpu, gpr[n])

const struct tcg_guest cpu_guest = {
    .off_reg = { REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7),
                 REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14), REG(15) },
    .reg_name = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" },
    .off_heat = offsetof(struct cpu, heat),
    .off_pc = offsetof(struct cpu, rip),
    .off_code_base = offsetof(struct cpu, code_base),
    .off_jump_key = offsetof(struct cpu, jump_key),
    .off_flags = offsetof(struct cpu, fl),
    .off_exit_request = offsetof(struct cpu, exit_request),
    .off_budget = offsetof(struct cpu, budget),
    .off_tlb = offsetof(struct cpu, tlb),
    .off_jump_cache = offsetof(struct cpu, jump_cache),
    .off_host_pc = offsetof(struct cpu, host_pc),
    .off_mxcsr = offsetof(struct cpu, mxcsr_run),
    .vec_high = offsetof(struct cpu, ymmh) - offsetof(struct cpu, xmm),
    .off_vtmp = offsetof(struct cpu, vtmp), .vtmp_size = sizeof(((struct cpu *)0)->vtmp),
    .off_spill = offsetof(struct cpu, spill),
    .num_mmu = MMU_NUM,
    .tlb_mask = { [MMU_SUPER] = TLB_SUPER_MASK, [MMU_USER] = TLB_USER_MASK, [MMU_SMAP] = TLB_SUPER_MASK },
    .helpers = helpers,
    .num_helpers = sizeof(helpers) / sizeof(helpers[0]),
    .lookup = jumps_find,
    .load = mmu_load,
    .store = mmu_store,
    .load16 = mmu_load16,
    .store16 = mmu_store16,
    .atomic = mmu_atomic,
    .cas = mmu_cas,
    .x87 = cpu_x87,
    .x87_leave = cpu_x87_leave,
    .off_x87_st = offsetof(struct cpu, fpu.st),
    .off_x87_live = offsetof(struct cpu, fpu.live),
    .off_x87_cw = offsetof(struct cpu, fpu.cw),
};
