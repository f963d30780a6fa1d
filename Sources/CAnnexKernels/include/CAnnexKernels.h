/* The parts of a search that must run in vector registers: float32 products of rows, and scans over 8-bit codes.
 *
 * Every function gives equal bits in its AVX-512, AVX2 and plain versions, so that replicas on unlike processors answer
 * alike: integer sums are exact, float sums have a fixed order (32 lanes, then a fixed tree) and nothing is fused. One is
 * chosen at run time; the environment variable ANNEX_SIMD (avx512, avx2, plain) forces one that the processor has. Pointers
 * need the alignment of their element only. Nothing is allocated, nothing is kept; any number of threads. */
#ifndef CANNEXKERNELS_H
#define CANNEXKERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- float32 rows --- */

/* Returns the product, or the squared distance, of two vectors of `dimension` floats. */
float CAnnexKernels_dot(const float *a, const float *b, size_t dimension);
float CAnnexKernels_l2(const float *a, const float *b, size_t dimension);

/* Writes the same of one query with `count` rows that lie `stride` floats apart, into out[count]. */
void CAnnexKernels_dot_rows(
    const float *query, const float *rows, size_t stride, size_t dimension, size_t count, float *out);
void CAnnexKernels_l2_rows(
    const float *query, const float *rows, size_t stride, size_t dimension, size_t count, float *out);

/* Writes the same of the `count` rows ordinals[0], ordinals[1], …, which are fetched together. */
void CAnnexKernels_dot_at(
    const float *query, const float *rows, size_t stride, size_t dimension, const int32_t *ordinals, size_t count,
    float *out);
void CAnnexKernels_l2_at(
    const float *query, const float *rows, size_t stride, size_t dimension, const int32_t *ordinals, size_t count,
    float *out);

/* --- 8-bit codes, in blocks of 32 items --- */

enum { CAnnexKernels_blockItems = 32, CAnnexKernels_maximumPool = 64 };

/* A block holds 32 items, four components of each at a time: for group g, item i and component c the byte
 * (g * 32 + i) * 4 + c is the item's code in -127...127 plus 128. One instruction so advances 16 items, and no sum over
 * lanes is left. An item's approximate product with a query is scale * sum(code * query). */
typedef struct {
    const uint8_t *codes;
    /* Each item has its scale, and what is added to the product (NULL for nothing). */
    const float *scales;
    const float *biases;
    /* Each item has its ordinal; the padding of a block has -1. */
    const int32_t *ordinals;
    /* Counts components, rounded up to a multiple of four, divided by four. */
    size_t groups;
    /* 0: blocks as above. Else rows one behind the other, so many bytes apart (a multiple of 64; 128 behind the last
     * component): what a walk over a graph reads. Item i of block b is then row b * 32 + i. */
    size_t stride;
} CAnnexKernels_Codes;

typedef struct {
    /* groups * 4 codes in -127...127, zeros behind them up to the next multiple of 64. */
    const int8_t *codes;
    /* It is 128 * the sum of the codes. */
    int32_t correction;
    /* Biases are multiplied by it: 1 / scale of the query. */
    float biasFactor;
} CAnnexKernels_Query;

/* An upper bound of the scores in a block and all behind it: a * along[block] + b * across[block] + c. One that is no number
 * rules nothing out. */
typedef struct {
    const float *along;
    const float *across;
    float a;
    float b;
    /* Minus what is not in the scores: the query's product with what was taken off all rows before they were encoded. */
    float c;
} CAnnexKernels_Bounds;

/* The best so far: `capacity` (16, 32 or 64) slots, best first, -INFINITY and -1 in empty ones. `k`, at most
 * `capacity`: the scan ends where no bound reaches the score in slot k - 1. */
typedef struct {
    float scores[CAnnexKernels_maximumPool];
    int32_t ordinals[CAnnexKernels_maximumPool];
    int32_t capacity;
    int32_t k;
    /* Counts items that would have entered but for their mark. */
    int32_t skipped;
} CAnnexKernels_Pool;

void CAnnexKernels_empty(CAnnexKernels_Pool *pool, int32_t capacity, int32_t k);

/* Offers the items of blocks first ..< end to the pool, and stops at the first block whose bound is below the k-th best.
 * An item o is left out where the upper half of marks[o / 32] is the epoch and bit o % 32 of it is set (marks may be
 * NULL). Returns the block where it stopped. Scores are in units of the query's scale: scale * sum + bias * biasFactor. */
size_t CAnnexKernels_scan(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t first, size_t end,
    const CAnnexKernels_Bounds *bounds, const uint64_t *marks, uint32_t epoch, CAnnexKernels_Pool *pool);

/* Looks for the first block from *block on with items whose score is not below `threshold` - slackA * slacksA[block] -
 * slackB * slacksB[block] (both may be NULL), and stops at the first bound below `threshold`. Writes those items' slots
 * (block * 32 + item) and scores, at most 32, returns their number and moves *block behind it; 0, and *block where it
 * stopped, when there is none. Padding is among the slots. What is no number is below nothing: an item is left out only
 * where a comparison proves that it may be. */
size_t CAnnexKernels_collect(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t *block, size_t end,
    const CAnnexKernels_Bounds *bounds, float threshold, const float *slacksA, float slackA, const float *slacksB,
    float slackB, uint32_t *slots, float *scores);

/* Writes the scores of blocks first ..< end, into out[(end - first) * 32]. */
void CAnnexKernels_block_scores(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, size_t first, size_t end, float *out);

/* Writes the scores of the `count` rows slots[0], slots[1], …, which are fetched together. It is for codes in rows. */
void CAnnexKernels_scores_at(
    const CAnnexKernels_Codes *items, const CAnnexKernels_Query *query, const int32_t *slots, size_t count, float *out);

/* Writes those of `count` different items that are not below `lowest` and were not marked to `out`, in order, and returns
 * their number. All get their mark: marks[item] = epoch. */
size_t CAnnexKernels_take_new(
    const int32_t *items, size_t count, uint32_t *marks, uint32_t epoch, int32_t lowest, int32_t *out);

/* Asks for the cache lines of some bytes that will be read soon. */
static inline void CAnnexKernels_fetch(const void *start, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)start + at);
}

/* Returns the sum of (a[i] - 128) * (b[i] - 128) over `bytes`, a multiple of 64 below 2^17. */
int32_t CAnnexKernels_code_product(const uint8_t *a, const uint8_t *b, size_t bytes);

/* Returns the largest absolute value; 0 for none. */
float CAnnexKernels_largest(const float *values, size_t count);

/* Writes the codes of a vector: out[count] = round(value / scale) in -127...127, ties to even; a scale of 0 gives zeros. */
void CAnnexKernels_encode(const float *values, size_t count, float scale, int8_t *out);

/* Names the version in use: "avx512", "avx2" or "plain". */
const char *CAnnexKernels_name(void);
/* Uses another version from now on, in all threads, for tests and benchmarks. Returns -1 where the processor lacks it. */
int CAnnexKernels_use(const char *name);

#ifdef __cplusplus
}
#endif

#endif
