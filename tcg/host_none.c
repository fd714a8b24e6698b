/* The host backend of hosts that have none: a backend's own tcg_host_native replaces this weak one. */
#include "tcg/tcg.h"

__attribute__((weak)) const struct tcg_host *tcg_host_native(void)
{
    return NULL;
}
