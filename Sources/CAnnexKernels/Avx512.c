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
__attribute__((always_inline)) static inline Scores interleavedScores(
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

__attribute__((always_inline)) static inline uint32_t notBelow(Scores scores, float value) {
    __m512 limit = _mm512_set1_ps(value);
    return (uint32_t)_mm512_cmp_ps_mask(scores.low, limit, _CMP_NLT_UQ)
           | (uint32_t)_mm512_cmp_ps_mask(scores.high, limit, _CMP_NLT_UQ) << 16;
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

__attribute__((always_inline)) static inline Scores loadScores(const float *values) {
    Scores out = {_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16)};
    return out;
}

/* Returns the sums over the lanes of four registers. */
__attribute__((always_inline)) static inline __m128i laneSums(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m256i x[4] = {
        _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)),
        _mm256_add_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1)),
        _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1)),
        _mm256_add_epi32(_mm512_castsi512_si256(d), _mm512_extracti64x4_epi64(d, 1)),
    };
    __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(x[0], x[1]), _mm256_hadd_epi32(x[2], x[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

__attribute__((always_inline)) static inline void fourSums(
    const uint8_t *const rows[4], const CAnnexKernels_Query *query, size_t bytes, int32_t out[4]) {
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t at = 0; at < bytes; at += 64) {
        __m512i q = _mm512_loadu_si512(query->codes + at);
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(rows[0] + at), q);
        b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(rows[1] + at), q);
        c = _mm512_dpbusd_epi32(c, _mm512_loadu_si512(rows[2] + at), q);
        d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(rows[3] + at), q);
    }
    __m128i sums = _mm_sub_epi32(laneSums(a, b, c, d), _mm_set1_epi32(query->correction));
    _mm_storeu_si128((__m128i *)out, sums);
}

/* b as signed codes; what the 128 in a adds is summed beside it. */
static int32_t codeProduct(const uint8_t *a, const uint8_t *b, size_t bytes) {
    const __m512i offset = _mm512_set1_epi8((char)0x80);
    __m512i products = _mm512_setzero_si512(), extra = products;
    for (size_t at = 0; at < bytes; at += 64) {
        __m512i codes = _mm512_xor_si512(_mm512_loadu_si512(b + at), offset);
        products = _mm512_dpbusd_epi32(products, _mm512_loadu_si512(a + at), codes);
        extra = _mm512_dpbusd_epi32(extra, offset, codes);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(products, extra));
}

/* Takes sixteen at a time. Items differ, so no two lanes write the same mark. */
static size_t takeNew(
    const int32_t *items, size_t count, uint32_t *marks, uint32_t epoch, int32_t lowest, int32_t *out) {
    const __m512i now = _mm512_set1_epi32((int32_t)epoch), least = _mm512_set1_epi32(lowest);
    size_t taken = 0;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 lanes = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : (__mmask16)0xffff;
        __m512i item = _mm512_maskz_loadu_epi32(lanes, items + i);
        __m512i mark = _mm512_mask_i32gather_epi32(now, lanes, item, marks, 4);
        __mmask16 unmarked = _mm512_cmpneq_epi32_mask(mark, now);
        _mm512_mask_i32scatter_epi32(marks, unmarked, item, now, 4);
        __mmask16 kept = _mm512_mask_cmpge_epi32_mask(unmarked, item, least);
        _mm512_mask_compressstoreu_epi32(out + taken, kept, item);
        taken += (size_t)__builtin_popcount(kept);
    }
    return taken;
}

/* The pool in registers: 16 slots in each, sorted over all of them. To insert, the slots below the score move one on. */
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
        /* The first slot below takes the new score; where all are below, the register before decides whether that slot
         * is its own or holds that register's last. */
        __m512i moved = _mm512_alignr_epi32(_mm512_castps_si512(best->scores[r]), _mm512_castps_si512(before), 15);
        __m512i movedOrdinals = _mm512_alignr_epi32(best->ordinals[r], beforeOrdinals, 15);
        __mmask16 slot = (__mmask16)(below & ~(unsigned)(below << 1));
        if (r > 0 && (slot & 1) && _mm512_cvtss_f32(_mm512_permutexvar_ps(_mm512_set1_epi32(15), before)) < score)
            slot = 0;
        __m512 scores = _mm512_mask_mov_ps(best->scores[r], below, _mm512_castsi512_ps(moved));
        __m512i ordinals = _mm512_mask_mov_epi32(best->ordinals[r], below, movedOrdinals);
        best->scores[r] = _mm512_mask_mov_ps(scores, slot, newScore);
        best->ordinals[r] = _mm512_mask_mov_epi32(ordinals, slot, newOrdinal);
    }
}

#include "Scan.inc"

ANNEX_KERNELS(avx512)

#pragma clang attribute pop

#endif
