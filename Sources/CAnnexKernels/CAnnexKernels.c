#include "CAnnexKernels.h"

#include <stdlib.h>
#include <string.h>

/* Vectors are passed between functions of this file only, all of them inlined: no ABI is at stake. */
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang fp contract(off)

typedef float Lanes __attribute__((vector_size(64)));

__attribute__((always_inline)) static inline Lanes load(const float *p) {
    Lanes lanes;
    memcpy(&lanes, p, sizeof lanes);
    return lanes;
}

/* The last 1 to 15 floats, zeros behind them. */
__attribute__((always_inline)) static inline Lanes loadTail(const float *p, size_t count) {
    Lanes lanes = {0};
    memcpy(&lanes, p, count * sizeof(float));
    return lanes;
}

__attribute__((always_inline)) static inline float sum(Lanes lanes) {
    float s[16];
    memcpy(s, &lanes, sizeof s);
    for (int width = 8; width >= 1; width /= 2)
        for (int i = 0; i < width; i++) s[i] = s[i] + s[i + width];
    return s[0];
}

__attribute__((always_inline)) static inline float dotOne(const float *a, const float *b, size_t d) {
#pragma clang fp contract(off)
    Lanes even = {0}, odd = {0};
    size_t i = 0;
    for (; i + 32 <= d; i += 32) {
        even += load(a + i) * load(b + i);
        odd += load(a + i + 16) * load(b + i + 16);
    }
    if (i + 16 <= d) {
        even += load(a + i) * load(b + i);
        i += 16;
        if (i < d) odd += loadTail(a + i, d - i) * loadTail(b + i, d - i);
    } else if (i < d) {
        even += loadTail(a + i, d - i) * loadTail(b + i, d - i);
    }
    return sum(even + odd);
}

__attribute__((always_inline)) static inline Lanes squared(Lanes a, Lanes b) {
    Lanes difference = a - b;
    return difference * difference;
}

__attribute__((always_inline)) static inline float l2One(const float *a, const float *b, size_t d) {
#pragma clang fp contract(off)
    Lanes even = {0}, odd = {0};
    size_t i = 0;
    for (; i + 32 <= d; i += 32) {
        even += squared(load(a + i), load(b + i));
        odd += squared(load(a + i + 16), load(b + i + 16));
    }
    if (i + 16 <= d) {
        even += squared(load(a + i), load(b + i));
        i += 16;
        if (i < d) odd += squared(loadTail(a + i, d - i), loadTail(b + i, d - i));
    } else if (i < d) {
        even += squared(loadTail(a + i, d - i), loadTail(b + i, d - i));
    }
    return sum(even + odd);
}

typedef struct {
    const char *name;
    float (*dot)(const float *, const float *, size_t);
    float (*l2)(const float *, const float *, size_t);
    void (*dotRows)(const float *, const float *, size_t, size_t, size_t, float *);
    void (*l2Rows)(const float *, const float *, size_t, size_t, size_t, float *);
} Kernels;

#define DEFINE_KERNELS(suffix, attributes)                                                                       \
    attributes static float dot_##suffix(const float *a, const float *b, size_t d) { return dotOne(a, b, d); }   \
    attributes static float l2_##suffix(const float *a, const float *b, size_t d) { return l2One(a, b, d); }     \
    attributes static void dotRows_##suffix(                                                                     \
        const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {                      \
        for (size_t r = 0; r < n; r++) out[r] = dotOne(q, rows + r * stride, d);                                 \
    }                                                                                                            \
    attributes static void l2Rows_##suffix(                                                                      \
        const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {                      \
        for (size_t r = 0; r < n; r++) out[r] = l2One(q, rows + r * stride, d);                                  \
    }                                                                                                            \
    static const Kernels kernels_##suffix = {#suffix, dot_##suffix, l2_##suffix, dotRows_##suffix, l2Rows_##suffix};

DEFINE_KERNELS(plain, )
#if defined(__x86_64__)
DEFINE_KERNELS(avx2, __attribute__((target("avx2"))))
DEFINE_KERNELS(avx512, __attribute__((target("avx512f"))))
#endif

static const Kernels *choose(void) {
    const char *wanted = getenv("ANNEX_SIMD");
    if (wanted && strcmp(wanted, "plain") == 0) return &kernels_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && !(wanted && strcmp(wanted, "avx2") == 0)) return &kernels_avx512;
    if (__builtin_cpu_supports("avx2")) return &kernels_avx2;
#endif
    return &kernels_plain;
}

static const Kernels *chosen = &kernels_plain;

__attribute__((constructor)) static void chooseAtStart(void) { chosen = choose(); }

float CAnnexKernels_dot(const float *a, const float *b, size_t d) { return chosen->dot(a, b, d); }
float CAnnexKernels_l2(const float *a, const float *b, size_t d) { return chosen->l2(a, b, d); }
void CAnnexKernels_dot_rows(const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {
    chosen->dotRows(q, rows, stride, d, n, out);
}
void CAnnexKernels_l2_rows(const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {
    chosen->l2Rows(q, rows, stride, d, n, out);
}
const char *CAnnexKernels_name(void) { return chosen->name; }
