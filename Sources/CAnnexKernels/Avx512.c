#include "Kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)

#include "Rows.inc"

typedef struct {
    __m512 low, high;
} Scores;

/* Even and odd groups go into sums of their own: two chains hide the latency of the instruction. */
__attribute__((always_inline)) static inline Scores blockScores(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t block) {
#pragma clang fp contract(off)
    __m512i low = _mm512_set1_epi32(-query->correction), high = low;
    __m512i lowOdd = _mm512_setzero_si512(), highOdd = lowOdd;
    const uint8_t *codes = items->codes + block * items->groups * 128;
    const int8_t *q = query->codes;
    size_t g = 0;
    for (; g + 2 <= items->groups; g += 2, codes += 256, q += 8) {
        int32_t even, odd;
        memcpy(&even, q, 4);
        memcpy(&odd, q + 4, 4);
        low = _mm512_dpbusd_epi32(low, _mm512_loadu_si512(codes), _mm512_set1_epi32(even));
        high = _mm512_dpbusd_epi32(high, _mm512_loadu_si512(codes + 64), _mm512_set1_epi32(even));
        lowOdd = _mm512_dpbusd_epi32(lowOdd, _mm512_loadu_si512(codes + 128), _mm512_set1_epi32(odd));
        highOdd = _mm512_dpbusd_epi32(highOdd, _mm512_loadu_si512(codes + 192), _mm512_set1_epi32(odd));
    }
    if (g < items->groups) {
        int32_t last;
        memcpy(&last, q, 4);
        low = _mm512_dpbusd_epi32(low, _mm512_loadu_si512(codes), _mm512_set1_epi32(last));
        high = _mm512_dpbusd_epi32(high, _mm512_loadu_si512(codes + 64), _mm512_set1_epi32(last));
    }
    const size_t first = block * CAnnexKernels_blockItems;
    const float *scales = items->scales + first;
    Scores out;
    out.low = _mm512_mul_ps(_mm512_loadu_ps(scales), _mm512_cvtepi32_ps(_mm512_add_epi32(low, lowOdd)));
    out.high = _mm512_mul_ps(_mm512_loadu_ps(scales + 16), _mm512_cvtepi32_ps(_mm512_add_epi32(high, highOdd)));
    if (items->biases) {
        __m512 factor = _mm512_set1_ps(query->biasFactor);
        out.low = _mm512_add_ps(out.low, _mm512_mul_ps(_mm512_loadu_ps(items->biases + first), factor));
        out.high = _mm512_add_ps(out.high, _mm512_mul_ps(_mm512_loadu_ps(items->biases + first + 16), factor));
    }
    return out;
}

__attribute__((always_inline)) static inline uint32_t atLeast(Scores scores, float value) {
    __m512 limit = _mm512_set1_ps(value);
    return (uint32_t)_mm512_cmp_ps_mask(scores.low, limit, _CMP_GE_OQ)
           | (uint32_t)_mm512_cmp_ps_mask(scores.high, limit, _CMP_GE_OQ) << 16;
}

__attribute__((always_inline)) static inline uint32_t above(Scores scores, float value) {
    __m512 limit = _mm512_set1_ps(value);
    return (uint32_t)_mm512_cmp_ps_mask(scores.low, limit, _CMP_GT_OQ)
           | (uint32_t)_mm512_cmp_ps_mask(scores.high, limit, _CMP_GT_OQ) << 16;
}

__attribute__((always_inline)) static inline void store(Scores scores, float *out) {
    _mm512_storeu_ps(out, scores.low);
    _mm512_storeu_ps(out + 16, scores.high);
}

/* The pool in registers: 16 places in each, sorted over all of them. To insert, the places below the score move one on. */
typedef struct {
    __m512 scores[4];
    __m512i ordinals[4];
} Best;

__attribute__((always_inline)) static inline void bestLoad(Best *best, int registers, const CAnnexKernels_Pool *pool) {
    for (int r = 0; r < registers; r++) {
        best->scores[r] = _mm512_loadu_ps(pool->scores + 16 * r);
        best->ordinals[r] = _mm512_loadu_si512(pool->ordinals + 16 * r);
    }
}

__attribute__((always_inline)) static inline void bestStore(const Best *best, int registers, CAnnexKernels_Pool *pool) {
    for (int r = 0; r < registers; r++) {
        _mm512_storeu_ps(pool->scores + 16 * r, best->scores[r]);
        _mm512_storeu_si512(pool->ordinals + 16 * r, best->ordinals[r]);
    }
}

__attribute__((always_inline)) static inline float bestKth(const Best *best, int registers, int k) {
    const __m512i lane = _mm512_set1_epi32((k - 1) & 15);
    __m512 chosen = best->scores[0];
    for (int r = 1; r < registers; r++)
        if ((k - 1) >> 4 == r) chosen = best->scores[r];
    return _mm512_cvtss_f32(_mm512_permutexvar_ps(lane, chosen));
}

__attribute__((always_inline)) static inline float bestWorst(const Best *best, int registers) {
    return _mm512_cvtss_f32(_mm512_permutexvar_ps(_mm512_set1_epi32(15), best->scores[registers - 1]));
}

__attribute__((always_inline)) static inline void bestInsert(Best *best, int registers, float score, int32_t ordinal) {
    const __m512 newScore = _mm512_set1_ps(score);
    const __m512i newOrdinal = _mm512_set1_epi32(ordinal);
    for (int r = registers - 1; r >= 0; r--) {
        __m512 before = r > 0 ? best->scores[r - 1] : newScore;
        __m512i beforeOrdinals = r > 0 ? best->ordinals[r - 1] : newOrdinal;
        __mmask16 below = _mm512_cmp_ps_mask(best->scores[r], newScore, _CMP_LT_OQ);
        /* The first place below takes the new score; where all are below, the register before decides whether that place
         * is its own or holds that register's last. */
        __m512i moved = _mm512_alignr_epi32(_mm512_castps_si512(best->scores[r]), _mm512_castps_si512(before), 15);
        __m512i movedOrdinals = _mm512_alignr_epi32(best->ordinals[r], beforeOrdinals, 15);
        __mmask16 place = (__mmask16)(below & ~(unsigned)(below << 1));
        if (r > 0 && (place & 1) && _mm512_cvtss_f32(_mm512_permutexvar_ps(_mm512_set1_epi32(15), before)) < score)
            place = 0;
        __m512 scores = _mm512_mask_mov_ps(best->scores[r], below, _mm512_castsi512_ps(moved));
        __m512i ordinals = _mm512_mask_mov_epi32(best->ordinals[r], below, movedOrdinals);
        best->scores[r] = _mm512_mask_mov_ps(scores, place, newScore);
        best->ordinals[r] = _mm512_mask_mov_epi32(ordinals, place, newOrdinal);
    }
}

#include "Scan.inc"

ANNEX_KERNELS(avx512)

#pragma clang attribute pop

#endif
