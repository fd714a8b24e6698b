/* Guest memory from blocks that are not hot (yet): the probe and the access are a call of a thunk. */
#include "tcg/host/x86_64/emit.h"

#include <assert.h>
#include <stddef.h>

#define TLB_ENTRY_BITS 5
_Static_assert(sizeof(struct tcg_tlb_entry) == 1 << TLB_ENTRY_BITS, "the probe scales by shifting");

/* The kinds of accesses that have thunks, by number: type, and IR_MEM_* in bits of their own. */
#define KNOWN_MEM (IR_MEM_RMW | IR_MEM_STACK | IR_MEM_FLAT)

static unsigned thunk_number(unsigned type, unsigned mem)
{
    return type << 3 | (mem & (IR_MEM_RMW | IR_MEM_STACK)) | (mem & IR_MEM_FLAT ? 4 : 0);
}

/* ---- the thunks: address in rdi, value in rsi; result in rax; rcx is lost, all else kept ---- */

static void make_probe(struct enc *e, const struct tcg_guest *g, const struct x86_probe *p, const uint8_t *ask)
{
    uint32_t set = g->off_tlb + p->mmu * TCG_TLB_SIZE * (uint32_t)sizeof(struct tcg_tlb_entry);
    bool writes = p->store || (p->mem & IR_MEM_RMW);
    size_t tag = writes ? offsetof(struct tcg_tlb_entry, tag_write) : offsetof(struct tcg_tlb_entry, tag_read);
    uint8_t *miss;

    enc_mov_rr(e, W32, RAX, RDI);
    enc_shift_ri(e, SH_SHR, W32, RAX, TCG_PAGE_BITS - TLB_ENTRY_BITS);
    enc_alu_ri(e, ALU_AND, W32, RAX, (int32_t)(g->tlb_mask[p->mmu] << TLB_ENTRY_BITS));
    enc_lea(e, W64, RCX, mem_at(RDI, (int32_t)IR_BYTES(p->type) - 1));
    enc_alu_ri(e, ALU_AND, W64, RCX, -(1 << TCG_PAGE_BITS));
    enc_alu_rm(e, ALU_CMP, W64, RCX, env_indexed(RAX, set + tag));
    miss = enc_jcc8(e, CC_NE);
    enc_load(e, W64, RAX, env_indexed(RAX, set + offsetof(struct tcg_tlb_entry, addend)));
    if (p->store)
        enc_store(e, p->type, mem_indexed(RAX, RDI, 0), RSI);
    else
        enc_load(e, p->type, RAX, mem_indexed(RAX, RDI, 0));
    enc_ret(e);
    enc_patch8(miss, e->at);
    if (p->store)
        enc_zext(e, p->type, RAX, RSI);
    enc_mov_ri(e, RCX, WORD_MEM(IR_BYTES(p->type), p->mem));
    enc_jmp_to(e, ask);
}

void x86_probes_emit(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g)
{
    assert(g->num_mmu <= TCG_MAX_MMU);
    for (unsigned n = 0; n < g->num_mmu * 2 * NUM_PROBES; n++) {
        unsigned number = n % NUM_PROBES;
        struct x86_probe p = { .mmu = n / (2 * NUM_PROBES), .store = n / NUM_PROBES & 1, .type = number >> 3,
                               .mem = (number & 3) | (number & 4 ? IR_MEM_FLAT : 0) };
        enc_nops(e, (unsigned)-(uintptr_t)e->at & 15);
        t->probe[p.mmu][p.store][number] = e->at;
        make_probe(e, g, &p, p.store ? t->ask_store : t->ask_load);
    }
}

/* ---- their calls ---- */

/* Hot blocks probe inline; who will not become hot, because it does not count its entries, does so from the beginning. */
bool access_is_called(const struct emit *c, const struct ir_insn *in)
{
    return c->blk->warm && (in->op == IR_LD || in->op == IR_ST) && !(in->aux & ~KNOWN_MEM) && !in->d &&
           !c->num_xlates && !c->vec.now.num && !c->vec.upper;
}

static void address_to_rdi(struct emit *c, const struct ir_insn *in)
{
    unsigned w = reg_width(value_type(c, in->a)), addr;
    int32_t disp = (int32_t)(in->imm >> 32);

    if (!disp && (w == W64 || c->ra.val[in->a].zbits <= 32)) {
        ra_use_in(&c->ra, in->a, RDI);
        return;
    }
    ra_take(&c->ra, RDI);
    addr = ra_use(&c->ra, in->a);
    if (disp)
        enc_lea(&c->enc, w, RDI, mem_at(addr, disp));
    else
        enc_mov_rr(&c->enc, w, RDI, addr);
    if (addr == RAX || addr == RCX)
        ra_unlock_reg(&c->ra, addr);
}

void emit_called_access(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool store = in->op == IR_ST;
    uint16_t pending;

    if (store)
        ra_use_in(&c->ra, in->b, RSI);
    address_to_rdi(c, in);
    ra_take(&c->ra, RAX);
    ra_take(&c->ra, RCX);
    pending = flags_describe(c, in->fl);
    enc_call_to(&c->enc, c->thunks.probe[c->ir->mmu][store][thunk_number(in->type, in->aux)]);
    emit_map(c, c->guest_off, c->guest_insn, pending);
    ra_kill(&c->ra, i);
    if (!store && c->ra.val[i].last_use) {
        unsigned result = ra_def(&c->ra, (ir_ref)i, RAX, 0, IR_BITS(in->type));
        if (result != RAX)
            enc_mov_rr(&c->enc, W64, result, RAX);
    }
}
