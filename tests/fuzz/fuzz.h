/* What a fuzz target shows its driver: libFuzzer's names, so that either libFuzzer or driver.c can run it. */
#ifndef MIMUS_TESTS_FUZZ_H
#define MIMUS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input; any bytes are good. Returns 0; what is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a stream of numbers; behind its end there are zeros. */
struct input { const uint8_t *at, *end; };

static inline uint64_t input_take(struct input *in, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        if (in->at < in->end)
            v |= (uint64_t)*in->at++ << (8 * i);
    return v;
}

#endif
