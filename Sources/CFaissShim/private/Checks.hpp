/* Checks that nothing in an index that was read leads FAISS or a walk out of bounds. They run before anything follows it. */
#pragma once

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>

#include "Require.hpp"

namespace shim {

/* faiss::idx_t or faiss::Index::idx_t, by release. */
using Ordinal = decltype(faiss::Index::ntotal);

inline void validateHeader(const faiss::Index &index, int metric) {
    require(isBool(index.is_trained) && index.is_trained, "not trained");
    require(number(index.metric_type) == metric, "metrics differ");
}

inline void validateFlat(const faiss::IndexFlat &flat) {
    require(flat.codes.size() == static_cast<size_t>(flat.ntotal) * flat.d * sizeof(float), "flat: wrong size");
}

inline void validateQuantizer(const faiss::ScalarQuantizer &scalar, const faiss::Index &index) {
    require(number(scalar.qtype) == faiss::ScalarQuantizer::QT_8bit, "scalar quantizer: not of 8 bits");
    require(
        scalar.d == static_cast<size_t>(index.d) && scalar.code_size == scalar.d && scalar.bits == 8 &&
            scalar.trained.size() == 2 * scalar.d,
        "scalar quantizer: wrong size");
}

inline void validateQuantizer(const faiss::ProductQuantizer &product, const faiss::Index &index) {
    require(
        product.d == static_cast<size_t>(index.d) && product.nbits == 8 && product.ksub == 256 && product.M >= 1 &&
            product.M <= product.d && product.M * product.dsub == product.d && product.code_size == product.M &&
            product.centroids.size() == product.d * product.ksub,
        "product quantizer: wrong size");
}

inline void validateGraph(const faiss::IndexHNSW &index) {
    const faiss::HNSW &graph = index.hnsw;
    const size_t count = static_cast<size_t>(index.ntotal);
    require(graph.levels.size() == count && graph.offsets.size() == count + 1, "graph: wrong number of items");
    require(graph.offsets.front() == 0 && graph.offsets.back() == graph.neighbors.size(), "graph: wrong offsets");
    require(graph.entry_point >= 0 && static_cast<size_t>(graph.entry_point) < count, "graph: wrong entry point");
    int levels = static_cast<int>(graph.cum_nneighbor_per_level.size()) - 1;
    require(levels >= 1 && graph.cum_nneighbor_per_level[0] == 0, "graph: wrong level table");
    for (int level = 0; level < levels; level++)
        require(
            graph.cum_nneighbor_per_level[level] <= graph.cum_nneighbor_per_level[level + 1],
            "graph: level table not ascending");
    require(graph.max_level >= 0 && graph.max_level < levels, "graph: wrong top level");
    require(graph.levels[graph.entry_point] == graph.max_level + 1, "graph: entry point is not on the top level");
    for (size_t item = 0; item < count; item++) {
        int own = graph.levels[item];
        require(own >= 1 && own <= graph.max_level + 1, "graph: an item's level is out of range");
        require(
            graph.offsets[item + 1] >= graph.offsets[item] &&
                graph.offsets[item + 1] - graph.offsets[item] ==
                    static_cast<size_t>(graph.cum_nneighbor_per_level[own]),
            "graph: an item's links have the wrong size");
        for (int level = 0; level < own; level++) {
            size_t begin, end;
            graph.neighbor_range(static_cast<Ordinal>(item), level, &begin, &end);
            for (size_t at = begin; at < end; at++) {
                int32_t other = graph.neighbors[at];
                if (other < 0) break;
                require(static_cast<size_t>(other) < count, "graph: a link leads nowhere");
                require(graph.levels[other] > level, "graph: a link leads to an item below its level");
            }
        }
    }
    require(index.storage && index.storage->ntotal == index.ntotal && index.storage->d == index.d, "graph: wrong storage");
    validateHeader(*index.storage, number(index.metric_type));
    if (const auto *scalar = dynamic_cast<const faiss::IndexScalarQuantizer *>(index.storage)) {
        validateQuantizer(scalar->sq, index);
        require(scalar->codes.size() == count * scalar->sq.code_size, "graph: wrong storage");
    } else {
        const auto *flat = dynamic_cast<const faiss::IndexFlat *>(index.storage);
        require(flat, "graph: wrong storage");
        validateFlat(*flat);
    }
}

inline void validateCodes(const faiss::IndexIVF &index) {
    size_t wanted = index.d * sizeof(float);
    if (const auto *scalar = dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(&index)) {
        require(isBool(scalar->by_residual), "lists: a flag is neither on nor off");
        validateQuantizer(scalar->sq, index);
        wanted = scalar->sq.code_size;
    } else if (const auto *product = dynamic_cast<const faiss::IndexIVFPQ *>(&index)) {
        require(isBool(product->by_residual), "lists: a flag is neither on nor off");
        validateQuantizer(product->pq, index);
        wanted = product->pq.code_size;
    }
    require(index.code_size == wanted, "lists: wrong code size");
}

inline void validateLists(const faiss::IndexIVF &index) {
    require(index.invlists && index.invlists->nlist == index.nlist, "lists: wrong number");
    require(dynamic_cast<const faiss::ArrayInvertedLists *>(index.invlists), "lists: not in memory");
    require(index.invlists->code_size == index.code_size, "lists: wrong code size");
    validateCodes(index);
    const auto *centroids = dynamic_cast<const faiss::IndexFlat *>(index.quantizer);
    require(
        centroids && centroids->ntotal == static_cast<Ordinal>(index.nlist) && centroids->d == index.d,
        "lists: wrong centroids");
    validateHeader(*centroids, number(index.metric_type));
    validateFlat(*centroids);
    size_t total = 0;
    for (size_t list = 0; list < index.nlist; list++) {
        size_t size = index.invlists->list_size(list);
        total += size;
        faiss::InvertedLists::ScopedIds ids(index.invlists, list);
        for (size_t at = 0; at < size; at++)
            require(ids[at] >= 0 && ids[at] < index.ntotal, "lists: an ordinal is out of range");
    }
    require(total == static_cast<size_t>(index.ntotal), "lists: wrong number of items");
}

}  // namespace shim
