/* Lists one version of every kernel. Each source file of a processor kind defines one of these. */
#ifndef ANNEX_KERNELS_H
#define ANNEX_KERNELS_H

#include "CAnnexKernels.h"

typedef struct {
    const char *name;
    float (*dot)(const float *, const float *, size_t);
    float (*l2)(const float *, const float *, size_t);
    void (*dotRows)(const float *, const float *, size_t, size_t, size_t, float *);
    void (*l2Rows)(const float *, const float *, size_t, size_t, size_t, float *);
    void (*dotAt)(const float *, const float *, size_t, size_t, const int32_t *, size_t, float *);
    void (*l2At)(const float *, const float *, size_t, size_t, const int32_t *, size_t, float *);
    float (*largest)(const float *, size_t);
    void (*encode)(const float *, size_t, float, int8_t *);
    size_t (*scan)(
        const CAnnexKernels_Codes *, const CAnnexKernels_Query *, size_t, size_t, const CAnnexKernels_Bounds *,
        const uint64_t *, uint32_t, CAnnexKernels_Pool *);
    size_t (*collect)(
        const CAnnexKernels_Codes *, const CAnnexKernels_Query *, size_t *, size_t, const CAnnexKernels_Bounds *, float,
        const float *, float, const float *, float, uint32_t *, float *);
    void (*blockScores)(const CAnnexKernels_Codes *, const CAnnexKernels_Query *, size_t, size_t, float *);
    void (*scoresAt)(const CAnnexKernels_Codes *, const CAnnexKernels_Query *, const int32_t *, size_t, float *);
    size_t (*takeNew)(const int32_t *, size_t, uint32_t *, uint32_t, int32_t, int32_t *);
    int32_t (*codeProduct)(const uint8_t *, const uint8_t *, size_t);
} Kernels;

extern const Kernels AnnexKernels_plain;
#if defined(__x86_64__)
extern const Kernels AnnexKernels_avx2;
extern const Kernels AnnexKernels_avx512;
#endif

#endif
