#include "Kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

#include "Rows.inc"

typedef struct {
    __m256 parts[4];
} Scores;

/* Codes back to signed; their absolute values times the query's with the codes' signs: 127 * 127 * 2 fits 16 bits, so
 * nothing saturates and the sum is exact. */
__attribute__((always_inline)) static inline __m256i advance(__m256i sum, const uint8_t *codes, __m256i q) {
    __m256i signedCodes = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)codes), _mm256_set1_epi8((char)0x80));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signedCodes), _mm256_sign_epi8(q, signedCodes));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

__attribute__((always_inline)) static inline Scores interleavedScores(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t block) {
#pragma clang fp contract(off)
    __m256i sums[4] = {0};
    const uint8_t *codes = items->codes + block * items->groups * 128;
    for (size_t g = 0; g < items->groups; g++, codes += 128) {
        int32_t four;
        memcpy(&four, query->codes + 4 * g, 4);
        __m256i q = _mm256_set1_epi32(four);
        for (int part = 0; part < 4; part++) sums[part] = advance(sums[part], codes + 32 * part, q);
    }
    Scores out;
    for (int part = 0; part < 4; part++) {
        const size_t first = block * CAnnexKernels_blockItems + 8 * (size_t)part;
        __m256 score = _mm256_mul_ps(_mm256_loadu_ps(items->scales + first), _mm256_cvtepi32_ps(sums[part]));
        if (items->biases) {
            __m256 bias = _mm256_mul_ps(_mm256_loadu_ps(items->biases + first), _mm256_set1_ps(query->biasFactor));
            score = _mm256_add_ps(score, bias);
        }
        out.parts[part] = score;
    }
    return out;
}

__attribute__((always_inline)) static inline uint32_t notBelow(Scores scores, float value) {
    uint32_t mask = 0;
    for (int part = 0; part < 4; part++) {
        __m256 hit = _mm256_cmp_ps(scores.parts[part], _mm256_set1_ps(value), _CMP_NLT_UQ);
        mask |= (uint32_t)_mm256_movemask_ps(hit) << (8 * part);
    }
    return mask;
}

__attribute__((always_inline)) static inline uint32_t above(Scores scores, float value) {
    uint32_t mask = 0;
    for (int part = 0; part < 4; part++) {
        __m256 hit = _mm256_cmp_ps(scores.parts[part], _mm256_set1_ps(value), _CMP_GT_OQ);
        mask |= (uint32_t)_mm256_movemask_ps(hit) << (8 * part);
    }
    return mask;
}

__attribute__((always_inline)) static inline void store(Scores scores, float *out) {
    for (int part = 0; part < 4; part++) _mm256_storeu_ps(out + 8 * part, scores.parts[part]);
}

__attribute__((always_inline)) static inline Scores loadScores(const float *values) {
    Scores out;
    for (int part = 0; part < 4; part++) out.parts[part] = _mm256_loadu_ps(values + 8 * part);
    return out;
}

__attribute__((always_inline)) static inline int32_t laneSum(__m256i sums) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

__attribute__((always_inline)) static inline void fourSums(
    const uint8_t *const rows[4], const CAnnexKernels_Query *query, size_t bytes, int32_t out[4]) {
    __m256i sums[4] = {0};
    for (size_t at = 0; at < bytes; at += 32) {
        __m256i q = _mm256_loadu_si256((const __m256i *)(query->codes + at));
        for (int row = 0; row < 4; row++) sums[row] = advance(sums[row], rows[row] + at, q);
    }
    for (int row = 0; row < 4; row++) out[row] = laneSum(sums[row]);
}

static int32_t codeProduct(const uint8_t *a, const uint8_t *b, size_t bytes) {
    __m256i sum = _mm256_setzero_si256();
    for (size_t at = 0; at < bytes; at += 32) {
        __m256i codes = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(b + at)), _mm256_set1_epi8((char)0x80));
        sum = advance(sum, a + at, codes);
    }
    return laneSum(sum);
}

#include "ScalarPool.inc"
#include "Scan.inc"

ANNEX_KERNELS(avx2)

#pragma clang attribute pop

#endif
