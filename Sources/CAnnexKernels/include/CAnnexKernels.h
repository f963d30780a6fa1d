/* Dot products and squared distances of float32 rows.
 *
 * The order of summation is fixed (32 lanes, then a fixed tree) and nothing is fused, so that the AVX-512, AVX2 and plain
 * versions give equal bits: replicas on unlike processors answer alike. Chosen at run time; the environment variable
 * ANNEX_SIMD (avx512, avx2, plain) forces one that the processor has. Pointers need the alignment of float only. */
#ifndef CANNEXKERNELS_H
#define CANNEXKERNELS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of two vectors of `dimension` floats. */
float CAnnexKernels_dot(const float *a, const float *b, size_t dimension);
float CAnnexKernels_l2(const float *a, const float *b, size_t dimension);

/* Of one query with `count` rows that lie `stride` floats apart, into out[count]. */
void CAnnexKernels_dot_rows(
    const float *query, const float *rows, size_t stride, size_t dimension, size_t count, float *out);
void CAnnexKernels_l2_rows(
    const float *query, const float *rows, size_t stride, size_t dimension, size_t count, float *out);

/* The version in use: "avx512", "avx2" or "plain". */
const char *CAnnexKernels_name(void);

#ifdef __cplusplus
}
#endif

#endif
