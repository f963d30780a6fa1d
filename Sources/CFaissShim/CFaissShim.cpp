#include "CFaissShim.h"

#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

#include "BoundedReader.hpp"
#include "Checks.hpp"
#include "CodedStorage.hpp"

struct CFaissShim_Index {
    std::unique_ptr<faiss::Index> index;
    /* Points to the index behind the transform, or to the index itself. */
    faiss::Index *base = nullptr;
    faiss::IndexPreTransform *transform = nullptr;
    faiss::IndexHNSW *hnsw = nullptr;
    faiss::IndexIVF *ivf = nullptr;
    /* It is lent to OPQ, which trains through it. */
    std::unique_ptr<faiss::ProductQuantizer> opqQuantizer;

    explicit CFaissShim_Index(std::unique_ptr<faiss::Index> owned) : index(std::move(owned)) {
        transform = dynamic_cast<faiss::IndexPreTransform *>(index.get());
        base = transform ? transform->index : index.get();
        hnsw = dynamic_cast<faiss::IndexHNSW *>(base);
        ivf = dynamic_cast<faiss::IndexIVF *>(base);
    }
};

namespace {

using namespace shim;

void tell(char *error, size_t capacity, const char *what) {
    if (error && capacity) std::snprintf(error, capacity, "%s", what);
}

template <class Body>
int fenced(char *error, size_t capacity, Body body) noexcept {
    try {
        body();
        return 0;
    } catch (const faiss::FaissException &failure) {
        tell(error, capacity, failure.msg.c_str());
    } catch (const std::bad_alloc &) {
        tell(error, capacity, "out of memory");
    } catch (const std::exception &failure) {
        tell(error, capacity, failure.what());
    } catch (...) {
        tell(error, capacity, "an unknown C++ exception");
    }
    return -1;
}

void quiet(faiss::ClusteringParameters &parameters, uint64_t seed) {
    parameters.min_points_per_centroid = 1;
    parameters.seed = static_cast<int>(seed & 0x7fffffff);
    parameters.verbose = false;
}

/* Sets seeds, and turns messages and polysemous training off everywhere. */
void configure(CFaissShim_Index &shim, uint64_t seed) {
    shim.index->verbose = false;
    shim.base->verbose = false;
    if (shim.hnsw) shim.hnsw->hnsw.rng = faiss::RandomGenerator(static_cast<int64_t>(seed));
    /* FAISS's own 40 leaves graphs that walks get stuck in: 0.82 recall where 100 gives 0.996 at the same cost of a search
     * (60,000 x 784, l2). */
    if (shim.hnsw) shim.hnsw->hnsw.efConstruction = std::max(100, 2 * shim.hnsw->hnsw.nb_neighbors(1));
    if (shim.ivf) quiet(shim.ivf->cp, seed);
    if (auto *pq = dynamic_cast<faiss::IndexIVFPQ *>(shim.base)) {
        pq->do_polysemous_training = false;
        quiet(pq->pq.cp, seed);
    }
    if (!shim.transform) return;
    for (auto *step : shim.transform->chain) {
        auto *opq = dynamic_cast<faiss::OPQMatrix *>(step);
        if (!opq) continue;
        shim.opqQuantizer = std::make_unique<faiss::ProductQuantizer>(opq->d_out, opq->M, 8);
        quiet(shim.opqQuantizer->cp, seed);
        opq->pq = shim.opqQuantizer.get();
        opq->verbose = false;
    }
}

struct MarkSelector final : faiss::IDSelector {
    const uint64_t *marks;
    uint32_t epoch;
    MarkSelector(const uint64_t *marks, uint32_t epoch) : marks(marks), epoch(epoch) {}
    bool is_member(Ordinal id) const override {
        const uint64_t word = marks[id / 32];
        return word >> 32 != epoch || !(word >> (id % 32) & 1);
    }
};

}  // namespace

extern "C" {

int CFaissShim_make(
    const char *factory, int dimension, int metric, uint64_t seed, CFaissShim_Index **out, char *error,
    size_t capacity) {
    return fenced(error, capacity, [&] {
        auto type = metric == CFaissShim_metric_l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
        std::unique_ptr<faiss::Index> index(faiss::index_factory(dimension, factory, type));
        auto shim = std::make_unique<CFaissShim_Index>(std::move(index));
        configure(*shim, seed);
        *out = shim.release();
    });
}

void CFaissShim_free(CFaissShim_Index *index) {
    fenced(nullptr, 0, [&] { delete index; });
}

int CFaissShim_train(
    CFaissShim_Index *index, int64_t count, const float *rows, int threads, char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        omp_set_num_threads(threads);
        if (!index->index->is_trained) index->index->train(count, rows);
    });
}

int CFaissShim_add(
    CFaissShim_Index *index, int64_t count, const float *rows, int threads, char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        omp_set_num_threads(threads);
        index->index->add(count, rows);
    });
}

int CFaissShim_add_coded(
    CFaissShim_Index *index, int64_t count, const float *rows, const CAnnexKernels_Codes *codes, int threads,
    char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        require(index->hnsw && codes && codes->stride > 0, "codes are for a graph");
        omp_set_num_threads(threads);
        CodedLoan loan(*index->hnsw, *codes);
        index->index->add(count, rows);
    });
}

int CFaissShim_read(const char *path, CFaissShim_Index **out, char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        BoundedReader reader(path);
        std::unique_ptr<faiss::Index> index(faiss::read_index(&reader));
        *out = new CFaissShim_Index(std::move(index));
    });
}

int CFaissShim_write(const CFaissShim_Index *index, const char *path, char *error, size_t capacity) {
    return fenced(error, capacity, [&] { faiss::write_index(index->index.get(), path); });
}

int64_t CFaissShim_count(const CFaissShim_Index *index) { return index->index->ntotal; }
int CFaissShim_dimension(const CFaissShim_Index *index) { return static_cast<int>(index->index->d); }
int CFaissShim_metric(const CFaissShim_Index *index) {
    /* Any other number in a damaged file is told by CFaissShim_validate. */
    return number(index->index->metric_type) == faiss::METRIC_L2 ? CFaissShim_metric_l2 : CFaissShim_metric_ip;
}

int CFaissShim_class(const CFaissShim_Index *index) {
    const faiss::Index *base = index->base;
    if (dynamic_cast<const faiss::IndexHNSWFlat *>(base)) return CFaissShim_class_hnsw_flat;
    if (dynamic_cast<const faiss::IndexHNSWSQ *>(base)) return CFaissShim_class_hnsw_sq;
    if (dynamic_cast<const faiss::IndexIVFFlat *>(base)) return CFaissShim_class_ivf_flat;
    if (dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(base)) return CFaissShim_class_ivf_sq;
    if (dynamic_cast<const faiss::IndexIVFPQ *>(base)) return CFaissShim_class_ivf_pq;
    if (dynamic_cast<const faiss::IndexFlat *>(base)) return CFaissShim_class_flat;
    return CFaissShim_class_other;
}

int64_t CFaissShim_parameter(const CFaissShim_Index *index) {
    if (index->hnsw) return index->hnsw->hnsw.cum_nneighbor_per_level.size() > 1 ? index->hnsw->hnsw.nb_neighbors(1) : 0;
    return index->ivf ? static_cast<int64_t>(index->ivf->nlist) : 0;
}

int CFaissShim_inner_dimension(const CFaissShim_Index *index) { return static_cast<int>(index->base->d); }

int64_t CFaissShim_code_bytes(const CFaissShim_Index *index) {
    if (index->ivf) return static_cast<int64_t>(index->ivf->code_size);
    const faiss::Index *storage = index->hnsw ? index->hnsw->storage : index->base;
    const auto *codes = dynamic_cast<const faiss::IndexFlatCodes *>(storage);
    return codes ? static_cast<int64_t>(codes->code_size) : 0;
}

int CFaissShim_has_transform(const CFaissShim_Index *index) { return index->transform ? 1 : 0; }

int CFaissShim_validate(const CFaissShim_Index *index, char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        int metric = CFaissShim_metric(index) == CFaissShim_metric_l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
        validateHeader(*index->index, metric);
        validateHeader(*index->base, metric);
        require(index->base && index->base->ntotal == index->index->ntotal, "counts differ");
        if (index->transform) {
            require(index->transform->chain.size() == 1, "not one transform");
            const auto *step = index->transform->chain[0];
            const auto *linear = dynamic_cast<const faiss::LinearTransform *>(step);
            require(step && isBool(step->is_trained) && step->is_trained, "transform: not trained");
            require(linear && isBool(linear->have_bias), "transform: wrong class");
            require(step->d_in == index->index->d && step->d_out == index->base->d, "transform: wrong size");
            require(
                linear->A.size() == static_cast<size_t>(step->d_in) * step->d_out &&
                    (!linear->have_bias || linear->b.size() == static_cast<size_t>(step->d_out)),
                "transform: wrong matrix");
        }
        if (index->hnsw) validateGraph(*index->hnsw);
        if (index->ivf) validateLists(*index->ivf);
        if (const auto *flat = dynamic_cast<const faiss::IndexFlat *>(index->base)) validateFlat(*flat);
    });
}

int CFaissShim_search(
    const CFaissShim_Index *index, const float *query, int64_t k, int64_t effort, const uint64_t *marks, uint32_t epoch,
    float *distances, int64_t *ordinals, char *error, size_t capacity) {
    return fenced(error, capacity, [&] {
        omp_set_num_threads(1);
        MarkSelector selector(marks, epoch);
        faiss::IDSelector *leave = marks ? &selector : nullptr;
        faiss::SearchParametersIVF probe;
        faiss::SearchParameters scan;
        faiss::SearchParameters *parameters = &scan;
        require(!index->hnsw, "a graph is walked by the caller");
        if (index->ivf) {
            probe.nprobe = static_cast<size_t>(effort);
            parameters = &probe;
        }
        parameters->sel = leave;
        faiss::SearchParametersPreTransform outer;
        outer.index_params = parameters;
        index->index->search(1, query, k, distances, ordinals, index->transform ? &outer : parameters);
    });
}

int CFaissShim_graph(const CFaissShim_Index *index, CFaissShim_Graph *out) {
    if (!index->hnsw) return -1;
    const faiss::HNSW &graph = index->hnsw->hnsw;
    out->neighbours = graph.neighbors.data();
    out->offsets = graph.offsets.data();
    out->levelOffsets = graph.cum_nneighbor_per_level.data();
    out->itemLevels = graph.levels.data();
    out->entryPoint = graph.entry_point;
    out->maximumLevel = graph.max_level;
    return 0;
}

int CFaissShim_lists(const CFaissShim_Index *index, int32_t *out) {
    if (!index->ivf) return -1;
    return fenced(nullptr, 0, [&] {
        validateLists(*index->ivf);
        for (size_t list = 0; list < index->ivf->nlist; list++) {
            faiss::InvertedLists::ScopedIds ids(index->ivf->invlists, list);
            for (size_t at = 0; at < index->ivf->invlists->list_size(list); at++)
                out[ids[at]] = static_cast<int32_t>(list);
        }
    });
}
}
