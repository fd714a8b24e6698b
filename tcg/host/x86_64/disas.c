/* Printing of host code for the log: by capstone where it was found, else as hex. */
#include "tcg/host/x86_64/target.h"

#include <inttypes.h>

#include "config.h"

static void print_hex(FILE *out, const uint8_t *code, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (i % 16 == 0)
            fprintf(out, "%s%016" PRIxPTR ":", i ? "\n" : "", (uintptr_t)(code + i));
        fprintf(out, " %02x", code[i]);
    }
    if (len)
        fputc('\n', out);
}

#ifdef HAVE_CAPSTONE
#include <capstone/capstone.h>

void x86_disassemble(FILE *out, const uint8_t *code, size_t len)
{
    csh handle;
    cs_insn *insn;

    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) {
        print_hex(out, code, len);
        return;
    }
    size_t n = cs_disasm(handle, code, len, (uintptr_t)code, 0, &insn), done = 0;
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "%016" PRIx64 ": %s %s\n", insn[i].address, insn[i].mnemonic, insn[i].op_str);
        done += insn[i].size;
    }
    print_hex(out, code + done, len - done);
    if (n)
        cs_free(insn, n);
    cs_close(&handle);
}
#else
void x86_disassemble(FILE *out, const uint8_t *code, size_t len)
{
    print_hex(out, code, len);
}
#endif
