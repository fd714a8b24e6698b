/* Picks the backend for the machine that this program is compiled for. */
#include "tcg/tcg.h"

#if defined(__x86_64__)
#include "tcg/host/x86_64/target.h"

const struct tcg_host *tcg_host_native(void)
{
    return &tcg_host_x86_64;
}
#else
const struct tcg_host *tcg_host_native(void)
{
    return NULL;
}

uint32_t tcg_host_isa(void)
{
    return 0;
}
#endif
