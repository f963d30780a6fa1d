#include "CAnnexKernels.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "Kernels.h"

/* Returns NULL where the processor lacks it. */
static const Kernels *find(const char *name) {
    if (strcmp(name, "plain") == 0) return &AnnexKernels_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (strcmp(name, "avx2") == 0) return __builtin_cpu_supports("avx2") ? &AnnexKernels_avx2 : NULL;
    int has512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                 && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    if (strcmp(name, "avx512") == 0) return has512 ? &AnnexKernels_avx512 : NULL;
#endif
    return NULL;
}

/* It is read with each call and written by tests only: all versions give equal bits, so a reader may see either. */
static _Atomic(const Kernels *) current = &AnnexKernels_plain;
#define chosen atomic_load_explicit(&current, memory_order_relaxed)

__attribute__((constructor)) static void chooseAtStart(void) {
    const char *wanted = getenv("ANNEX_SIMD");
    const Kernels *found = wanted ? find(wanted) : NULL;
    if (!found) found = find("avx512");
    if (!found) found = find("avx2");
    if (found) atomic_store_explicit(&current, found, memory_order_relaxed);
}

int CAnnexKernels_use(const char *name) {
    const Kernels *found = find(name);
    if (!found) return -1;
    atomic_store_explicit(&current, found, memory_order_relaxed);
    return 0;
}

float CAnnexKernels_dot(const float *a, const float *b, size_t d) { return chosen->dot(a, b, d); }
float CAnnexKernels_l2(const float *a, const float *b, size_t d) { return chosen->l2(a, b, d); }

void CAnnexKernels_dot_rows(const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {
    chosen->dotRows(q, rows, stride, d, n, out);
}

void CAnnexKernels_l2_rows(const float *q, const float *rows, size_t stride, size_t d, size_t n, float *out) {
    chosen->l2Rows(q, rows, stride, d, n, out);
}

void CAnnexKernels_dot_at(
    const float *q, const float *rows, size_t stride, size_t d, const int32_t *ordinals, size_t n, float *out) {
    chosen->dotAt(q, rows, stride, d, ordinals, n, out);
}

void CAnnexKernels_l2_at(
    const float *q, const float *rows, size_t stride, size_t d, const int32_t *ordinals, size_t n, float *out) {
    chosen->l2At(q, rows, stride, d, ordinals, n, out);
}

void CAnnexKernels_empty(CAnnexKernels_Pool *pool, int32_t capacity, int32_t k) {
    for (int i = 0; i < CAnnexKernels_maximumPool; i++) {
        pool->scores[i] = -INFINITY;
        pool->ordinals[i] = -1;
    }
    pool->capacity = capacity;
    pool->k = k;
    pool->skipped = 0;
}

size_t CAnnexKernels_scan(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t first, size_t end,
    const CAnnexKernels_Bounds *bounds, const uint64_t *marks, uint32_t epoch, CAnnexKernels_Pool *pool) {
    return chosen->scan(items, query, first, end, bounds, marks, epoch, pool);
}

size_t CAnnexKernels_collect(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t *block, size_t end,
    const CAnnexKernels_Bounds *bounds, float threshold, const float *slacksA, float slackA, const float *slacksB,
    float slackB, uint32_t *slots, float *scores) {
    return chosen->collect(
        items, query, block, end, bounds, threshold, slacksA, slackA, slacksB, slackB, slots, scores);
}

void CAnnexKernels_block_scores(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t first, size_t end, float *out) {
    chosen->blockScores(items, query, first, end, out);
}

void CAnnexKernels_scores_at(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, const int32_t *slots, size_t count, float *out) {
    chosen->scoresAt(items, query, slots, count, out);
}

size_t CAnnexKernels_take_new(
    const int32_t *items, size_t count, uint32_t *marks, uint32_t epoch, int32_t lowest, int32_t *out) {
    return chosen->takeNew(items, count, marks, epoch, lowest, out);
}

int32_t CAnnexKernels_code_product(const uint8_t *a, const uint8_t *b, size_t bytes) {
    return chosen->codeProduct(a, b, bytes);
}

float CAnnexKernels_largest(const float *values, size_t count) { return chosen->largest(values, count); }

void CAnnexKernels_encode(const float *values, size_t count, float scale, int8_t *out) {
    chosen->encode(values, count, scale, out);
}

const char *CAnnexKernels_name(void) { return chosen->name; }
