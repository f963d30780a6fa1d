#include "CFaissShim.h"

#include <omp.h>

#include <sys/stat.h>

#include <cstdio>
#include <cstring>
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

struct CFaissShim_Index {
    std::unique_ptr<faiss::Index> index;
    /* What lies behind the transform, or the index itself. */
    faiss::Index *base = nullptr;
    faiss::IndexPreTransform *transform = nullptr;
    faiss::IndexHNSW *hnsw = nullptr;
    faiss::IndexIVF *ivf = nullptr;
    /* Lent to OPQ, which trains through it. */
    std::unique_ptr<faiss::ProductQuantizer> opqQuantizer;

    explicit CFaissShim_Index(std::unique_ptr<faiss::Index> owned) : index(std::move(owned)) {
        transform = dynamic_cast<faiss::IndexPreTransform *>(index.get());
        base = transform ? transform->index : index.get();
        hnsw = dynamic_cast<faiss::IndexHNSW *>(base);
        ivf = dynamic_cast<faiss::IndexIVF *>(base);
    }
};

namespace {

/* faiss::idx_t or faiss::Index::idx_t, by release. */
using Ordinal = decltype(faiss::Index::ntotal);

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

/* Seeds, and no message or polysemous training anywhere. */
void configure(CFaissShim_Index &shim, uint64_t seed) {
    shim.index->verbose = false;
    shim.base->verbose = false;
    if (shim.hnsw) shim.hnsw->hnsw.rng = faiss::RandomGenerator(static_cast<int64_t>(seed));
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
    const uint32_t *marks;
    uint32_t epoch;
    MarkSelector(const uint32_t *marks, uint32_t epoch) : marks(marks), epoch(epoch) {}
    bool is_member(Ordinal id) const override { return marks[id] != epoch; }
};

void require(bool condition, const char *what) {
    if (!condition) throw std::runtime_error(what);
}

/* FAISS reads bools and enumerations as they come. To look at one that is neither is undefined, so look at its bytes. */
bool isBool(const bool &flag) {
    unsigned char byte;
    std::memcpy(&byte, &flag, 1);
    return byte <= 1;
}

template <class Enumeration>
int number(const Enumeration &value) {
    static_assert(sizeof value == sizeof(int));
    int out;
    std::memcpy(&out, &value, sizeof out);
    return out;
}

/* Refuses what would hurt FAISS while it reads, before it has read it; all else is for CFaissShim_validate, afterwards.
 *
 * A length is read alone, as 8 bytes, and counts elements of at least a byte. read_index takes any length below 2^40 and
 * fills the vector with zeros, so one bent length in a file is hundreds of gigabytes. 2^20 is what FAISS writes into two
 * unused fields of each header. */
struct BoundedReader : faiss::IOReader {
    faiss::FileIOReader file;
    uint64_t bytes = 0;

    explicit BoundedReader(const char *path) : file(path) {
        struct stat status;
        require(fstat(::fileno(file.f), &status) == 0 && status.st_size >= 0, "the file's size cannot be told");
        bytes = static_cast<uint64_t>(status.st_size);
    }

    size_t operator()(void *target, size_t size, size_t count) override {
        size_t got = file(target, size, count);
        if (got != count) return got;
        const auto *values = static_cast<const unsigned char *>(target);
        if (size == sizeof(uint64_t) && count == 1)
            require(
                at(values, 0) <= bytes || at(values, 0) == uint64_t{1} << 20, "a length that the file cannot hold");
        followLists(values, size, count);
        followProductQuantizer(values, size, count);
        return got;
    }

  private:
    static uint64_t at(const unsigned char *values, size_t place) {
        uint64_t value;
        std::memcpy(&value, values + place * sizeof value, sizeof value);
        return value;
    }

    static constexpr uint32_t tag(const char (&name)[5]) {
        return static_cast<uint32_t>(name[0]) | static_cast<uint32_t>(name[1]) << 8 |
            static_cast<uint32_t>(name[2]) << 16 | static_cast<uint32_t>(name[3]) << 24;
    }

    static uint32_t word(const unsigned char *values) {
        uint32_t value;
        std::memcpy(&value, values, sizeof value);
        return value;
    }

    /* Inverted lists: a tag, their number, the bytes of a code, the way in which sizes are told, and the sizes (each, or
     * pairs of list and size). Room is made for all of a list before its first byte is read. */
    int listStep = 0;
    bool pairs = false;
    uint64_t codeBytes = 0;

    void followLists(const unsigned char *values, size_t size, size_t count) {
        if (size == 4 && count == 1) {
            uint32_t value = word(values);
            require(value != tag("ilod"), "lists that lie in another file");
            if (value == tag("ilar")) {
                listStep = 1;
                return;
            }
            if (listStep == 3 && (value == tag("full") || value == tag("sprs"))) {
                pairs = value == tag("sprs");
                listStep = 4;
                return;
            }
        } else if (size == 8 && listStep > 0 && listStep != 3) {
            if (listStep == 2) codeBytes = at(values, 0);
            if (listStep++ < 5) return;
            uint64_t room = bytes / (sizeof(uint64_t) + codeBytes), total = 0;
            require(!pairs || count % 2 == 0, "lists: half a pair");
            for (size_t place = pairs ? 1 : 0; place < count; place += pairs ? 2 : 1) {
                total += at(values, place);
                require(total <= room, "lists that the file cannot hold");
            }
        }
        listStep = 0;
    }

    /* A product quantizer: after a lone flag the bytes of a code, dimension, segments, bits and the number of floats.
     * FAISS divides by the segments, makes room by the bits, and reads centroids of the inverted file's dimension. */
    int run = -1;
    bool dimensionNext = false, ofLists = false;
    uint64_t listDimension = 0, centroidDimension = 0, quantizerDimension = 0;

    void followProductQuantizer(const unsigned char *values, size_t size, size_t count) {
        if (count == 1 && size == 4) {
            uint32_t value = word(values);
            if (dimensionNext) (ofLists ? listDimension : centroidDimension) = value;
            ofLists = value == tag("IwPQ");
            dimensionNext = ofLists || value == tag("IxF2") || value == tag("IxFI") || value == tag("IxFl");
        }
        if (count != 1 || (size != 1 && size != 8)) {
            run = -1;
        } else if (size == 1) {
            run = 0;
        } else if (run >= 0 && listDimension > 0) {
            uint64_t value = at(values, 0);
            switch (++run) {
            case 2:
                quantizerDimension = value;
                require(
                    value >= 1 && value <= 4096 && value == listDimension && value == centroidDimension,
                    "product quantizer: wrong dimension");
                break;
            case 3: require(value >= 1 && quantizerDimension % value == 0, "product quantizer: wrong segments"); break;
            case 4: require(value == 8, "product quantizer: not of 8 bits"); break;
            case 5: require(value == quantizerDimension * 256, "product quantizer: wrong size"); break;
            default: break;
            }
        }
    }
};

void validateHeader(const faiss::Index &index, int metric) {
    require(isBool(index.is_trained) && index.is_trained, "not trained");
    require(number(index.metric_type) == metric, "metrics differ");
}

void validateFlat(const faiss::IndexFlat &flat) {
    require(flat.codes.size() == static_cast<size_t>(flat.ntotal) * flat.d * sizeof(float), "flat: wrong size");
}

void validateQuantizer(const faiss::ScalarQuantizer &scalar, const faiss::Index &index) {
    require(number(scalar.qtype) == faiss::ScalarQuantizer::QT_8bit, "scalar quantizer: not of 8 bits");
    require(
        scalar.d == static_cast<size_t>(index.d) && scalar.code_size == scalar.d && scalar.bits == 8 &&
            scalar.trained.size() == 2 * scalar.d,
        "scalar quantizer: wrong size");
}

void validateQuantizer(const faiss::ProductQuantizer &product, const faiss::Index &index) {
    require(
        product.d == static_cast<size_t>(index.d) && product.nbits == 8 && product.ksub == 256 && product.M >= 1 &&
            product.M <= product.d && product.M * product.dsub == product.d && product.code_size == product.M &&
            product.centroids.size() == product.d * product.ksub,
        "product quantizer: wrong size");
}

void validateGraph(const faiss::IndexHNSW &index) {
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
            for (size_t place = begin; place < end; place++) {
                int32_t other = graph.neighbors[place];
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

void validateCodes(const faiss::IndexIVF &index) {
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

void validateLists(const faiss::IndexIVF &index) {
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
        for (size_t place = 0; place < size; place++)
            require(ids[place] >= 0 && ids[place] < index.ntotal, "lists: an ordinal is out of range");
    }
    require(total == static_cast<size_t>(index.ntotal), "lists: wrong number of items");
}

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
    const CFaissShim_Index *index, const float *query, int64_t k, int64_t effort, const uint32_t *marks, uint32_t epoch,
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
            for (size_t place = 0; place < index->ivf->invlists->list_size(list); place++)
                out[ids[place]] = static_cast<int32_t>(list);
        }
    });
}

int64_t CFaissShim_unreachable(const CFaissShim_Index *index) {
    if (!index->hnsw) return -1;
    int64_t missing = -2;
    fenced(nullptr, 0, [&] {
        const faiss::HNSW &graph = index->hnsw->hnsw;
        int64_t count = index->hnsw->ntotal;
        std::vector<bool> seen(count, false);
        std::vector<int32_t> frontier;
        for (int64_t item = 0; item < count; item++)
            if (graph.levels[item] > 1 || item == graph.entry_point) {
                seen[item] = true;
                frontier.push_back(static_cast<int32_t>(item));
            }
        int64_t reached = static_cast<int64_t>(frontier.size());
        while (!frontier.empty()) {
            int32_t item = frontier.back();
            frontier.pop_back();
            size_t begin, end;
            graph.neighbor_range(item, 0, &begin, &end);
            for (size_t place = begin; place < end && graph.neighbors[place] >= 0; place++) {
                int32_t other = graph.neighbors[place];
                if (seen[other]) continue;
                seen[other] = true;
                reached++;
                frontier.push_back(other);
            }
        }
        missing = count - reached;
    });
    return missing;
}
}
