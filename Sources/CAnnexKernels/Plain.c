#include "Kernels.h"

#include "Rows.inc"

typedef struct {
    float values[CAnnexKernels_blockItems];
} Scores;

static inline Scores interleavedScores(const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t block) {
#pragma clang fp contract(off)
    int32_t sums[CAnnexKernels_blockItems];
    for (int i = 0; i < CAnnexKernels_blockItems; i++) sums[i] = -query->correction;
    const uint8_t *codes = items->codes + block * items->groups * 4 * CAnnexKernels_blockItems;
    const int8_t *q = query->codes;
    for (size_t g = 0; g < items->groups; g++, codes += 4 * CAnnexKernels_blockItems, q += 4)
        for (int i = 0; i < CAnnexKernels_blockItems; i++)
            sums[i] += codes[4 * i] * q[0] + codes[4 * i + 1] * q[1] + codes[4 * i + 2] * q[2] + codes[4 * i + 3] * q[3];
    Scores out;
    const size_t first = block * CAnnexKernels_blockItems;
    for (int i = 0; i < CAnnexKernels_blockItems; i++) {
        out.values[i] = items->scales[first + (size_t)i] * (float)sums[i];
        if (items->biases) out.values[i] = out.values[i] + items->biases[first + (size_t)i] * query->biasFactor;
    }
    return out;
}

static inline uint32_t notBelow(Scores scores, float value) {
    uint32_t mask = 0;
    for (int i = 0; i < CAnnexKernels_blockItems; i++) mask |= (uint32_t)!(scores.values[i] < value) << i;
    return mask;
}

static inline uint32_t above(Scores scores, float value) {
    uint32_t mask = 0;
    for (int i = 0; i < CAnnexKernels_blockItems; i++) mask |= (uint32_t)(scores.values[i] > value) << i;
    return mask;
}

static inline void store(Scores scores, float *out) { memcpy(out, scores.values, sizeof scores.values); }

static inline Scores loadScores(const float *values) {
    Scores out;
    memcpy(out.values, values, sizeof out.values);
    return out;
}

static inline void fourSums(
    const uint8_t *const rows[4], const CAnnexKernels_Query *query, size_t bytes, int32_t out[4]) {
    for (int row = 0; row < 4; row++) {
        int32_t sum = -query->correction;
        for (size_t at = 0; at < bytes; at++) sum += rows[row][at] * query->codes[at];
        out[row] = sum;
    }
}

static int32_t codeProduct(const uint8_t *a, const uint8_t *b, size_t bytes) {
    int32_t sum = 0;
    for (size_t at = 0; at < bytes; at++) sum += (a[at] - 128) * (b[at] - 128);
    return sum;
}

#include "ScalarPool.inc"
#include "Scan.inc"

ANNEX_KERNELS(plain)
