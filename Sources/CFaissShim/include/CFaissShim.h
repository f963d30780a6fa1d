/* A fence around FAISS 1.7.3 and newer: C on this side, C++ on the other, no policy in between.
 *
 * Every function that can fail returns 0, or -1 after writing a NUL-terminated message to `error` (at most
 * `errorCapacity` bytes, which must be at least 1). No C++ exception leaves. FAISS asserts (and aborts) on some bad
 * arguments: the caller checks counts, dimensions and limits first, as stated with each function.
 *
 * An index may be searched by many threads at once; build functions want it alone. */
#ifndef CFAISSSHIM_H
#define CFAISSSHIM_H

#include <stddef.h>
#include <stdint.h>

#include "CAnnexKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CFaissShim_Index CFaissShim_Index;

enum { CFaissShim_metric_ip = 0, CFaissShim_metric_l2 = 1 };

/* Names the class of an index, behind a transform if there is one. */
enum {
    CFaissShim_class_other = 0,
    CFaissShim_class_flat = 1,
    CFaissShim_class_hnsw_flat = 2,
    CFaissShim_class_hnsw_sq = 3,
    CFaissShim_class_ivf_flat = 4,
    CFaissShim_class_ivf_sq = 5,
    CFaissShim_class_ivf_pq = 6
};

/* Makes an empty index from a factory string of the closed list (the caller has parsed it); dimension 1...4096. Sets
 * seeds, turns off polysemous training and every message to stderr. */
int CFaissShim_make(
    const char *factory, int dimension, int metric, uint64_t seed, CFaissShim_Index **out, char *error,
    size_t errorCapacity);

void CFaissShim_free(CFaissShim_Index *index);

/* Trains on rows (count x dimension floats, finite). Nothing happens where the kind needs no training. */
int CFaissShim_train(
    CFaissShim_Index *index, int64_t count, const float *rows, int threads, char *error, size_t errorCapacity);

/* Adds rows (count x dimension floats, finite) with the ordinals that follow. The index is trained. */
int CFaissShim_add(
    CFaissShim_Index *index, int64_t count, const float *rows, int threads, char *error, size_t errorCapacity);

/* The same for a graph, which is built by the distances between `codes`: one row for each item that there is and that is
 * added (stride > 0), of the vectors as the metric has them, with biases on l2. Rows go to the index's own storage. */
int CFaissShim_add_coded(
    CFaissShim_Index *index, int64_t count, const float *rows, const CAnnexKernels_Codes *codes, int threads,
    char *error, size_t errorCapacity);

int CFaissShim_read(const char *path, CFaissShim_Index **out, char *error, size_t errorCapacity);
int CFaissShim_write(const CFaissShim_Index *index, const char *path, char *error, size_t errorCapacity);

int64_t CFaissShim_count(const CFaissShim_Index *index);
int CFaissShim_dimension(const CFaissShim_Index *index);
int CFaissShim_metric(const CFaissShim_Index *index);
int CFaissShim_class(const CFaissShim_Index *index);
/* HNSW: links per item above level 0; IVF: lists; else 0. */
int64_t CFaissShim_parameter(const CFaissShim_Index *index);
/* Components behind the transform; those of the index where there is none. */
int CFaissShim_inner_dimension(const CFaissShim_Index *index);
/* Bytes that one row takes in storage; 0 where the class has none of a fixed size. */
int64_t CFaissShim_code_bytes(const CFaissShim_Index *index);
int CFaissShim_has_transform(const CFaissShim_Index *index);

/* Checks what a walk would follow: every link, level, list and id within bounds. O(size). Returns 0, or -1 with a message. */
int CFaissShim_validate(const CFaissShim_Index *index, char *error, size_t errorCapacity);

/* Flat and IVF only (FAISS 1.7.3 does not heed efSearch in a call's parameters: see CFaissShim_graph). One query
 * (dimension floats, finite), k 1...count. `effort` is nprobe, at least 1, kept nowhere. An ordinal o
 * is left out where the upper half of marks[o / 32] is the epoch and bit o % 32 of it is set; marks may be NULL. Writes k ordinals and distances, best first, -1 behind the last
 * found. Runs on the calling thread alone. */
int CFaissShim_search(
    const CFaissShim_Index *index, const float *query, int64_t k, int64_t effort, const uint64_t *marks, uint32_t epoch,
    float *distances, int64_t *ordinals, char *error, size_t errorCapacity);

/* Describes the graph of an HNSW index, for walking outside FAISS, as long as the index lives. Item o is on levels 0 to
 * itemLevels[o] - 1; its links on level l are neighbours[offsets[o] + levelOffsets[l] ..< offsets[o] + levelOffsets[l + 1]],
 * ended by the first -1. */
typedef struct {
    const int32_t *neighbours;
    const size_t *offsets;
    const int *levelOffsets;
    const int *itemLevels;
    int32_t entryPoint;
    int32_t maximumLevel;
} CFaissShim_Graph;

/* Returns 0, or -1 where the index has no graph. */
int CFaissShim_graph(const CFaissShim_Index *index, CFaissShim_Graph *out);
/* Writes the list of each item (`count` numbers). Returns -1 where the index has no lists. */
int CFaissShim_lists(const CFaissShim_Index *index, int32_t *out);

#ifdef __cplusplus
}
#endif

#endif
