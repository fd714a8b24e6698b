/* Vector operations as loops over lanes: what the vec_*.c files share. A function copies its operands before
 * it writes, because fields may be the same. */
#ifndef MIMUS_TCG_VEC_LANES_H
#define MIMUS_TCG_VEC_LANES_H

#include <stdint.h>
#include <string.h>

#include "tcg/vec.h"

/* Exported function `fn` on `bytes` bytes around worker(result, a, b, n) over n lanes of type T. */
#define VEC_SIZED(fn, T, worker, bytes) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        T r[(bytes) / sizeof(T)], x[(bytes) / sizeof(T)], y[(bytes) / sizeof(T)]; \
        memcpy(x, a, bytes); \
        memcpy(y, b, bytes); \
        worker(r, x, y, (bytes) / sizeof(T)); \
        memcpy(dst, r, bytes); \
    }
/* On 128 bits; on 128 and on 64. */
#define VEC_WIDE(fn, T, worker) VEC_SIZED(fn, T, worker, 16)
#define VEC_BOTH(fn, T, worker) VEC_WIDE(fn, T, worker) VEC_SIZED(fn##_q, T, worker, 8)

/* Lane-wise: r[i] = expr of x and y, or of y alone. */
#define VEC_WORKER(fn, T, expr) \
    static inline void lanes_##fn(T *r, const T *x, const T *y, unsigned n) \
    { \
        (void)x; \
        for (unsigned i = 0; i < n; i++) \
            r[i] = (T)(expr); \
    }
#define LANES_WIDE(fn, T, expr) VEC_WORKER(fn, T, expr) VEC_WIDE(fn, T, lanes_##fn)
#define LANES(fn, T, expr) VEC_WORKER(fn, T, expr) VEC_BOTH(fn, T, lanes_##fn)

/* With an immediate, 128 bits: r[i] = expr of x, y and imm. */
#define LANES_IMM(fn, T, expr) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        T r[16 / sizeof(T)], x[16 / sizeof(T)], y[16 / sizeof(T)]; \
        memcpy(x, a, 16); \
        memcpy(y, b, 16); \
        for (unsigned i = 0; i < 16 / sizeof(T); i++) \
            r[i] = (T)(expr); \
        memcpy(dst, r, 16); \
    }

static inline int vec_clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

#endif
