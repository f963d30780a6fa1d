#pragma once

#include <faiss/IndexHNSW.h>
#include <faiss/impl/DistanceComputer.h>

#include "CAnnexKernels.h"

namespace shim {

/* Computes distances between rows of 8-bit codes, in this project's kernels: FAISS as Debian builds it knows SSE2 only, and reads
 * four times as much. With biases, minus half the squared length of each row, ab + bias a + bias b is -|a - b|^2 / 2: what
 * ranks rows that have something taken off as they were before. On l2 FAISS wants the square itself. */
class CodedDistances final : public faiss::DistanceComputer {
  public:
    using Ordinal = decltype(faiss::Index::ntotal);

    /* `rows` are those that begin with item `first`. */
    CodedDistances(const CAnnexKernels_Codes &codes, const float *rows, Ordinal first, const faiss::Index &index)
        : codes(codes), rows(rows), first(first), dimension(static_cast<size_t>(index.d)),
          factor(index.metric_type == faiss::METRIC_L2 ? -2.f : 1.f) {}

    /* FAISS asks about rows that it is adding, by their address. */
    void set_query(const float *x) override {
        query = first + static_cast<Ordinal>(static_cast<size_t>(x - rows) / dimension);
    }

    float operator()(Ordinal item) override { return symmetric_dis(query, item); }

    float symmetric_dis(Ordinal a, Ordinal b) override {
        float product = codes.scales[a] * codes.scales[b] *
            static_cast<float>(CAnnexKernels_code_product(row(a), row(b), codes.stride));
        return codes.biases ? factor * (product + codes.biases[a] + codes.biases[b]) : product;
    }

  private:
    const uint8_t *row(Ordinal item) const { return codes.codes + static_cast<size_t>(item) * codes.stride; }

    CAnnexKernels_Codes codes;
    const float *rows;
    Ordinal first;
    size_t dimension;
    float factor;
    Ordinal query = 0;
};

/* Stands in for an index's own storage while rows are added. */
class CodedStorage final : public faiss::Index {
  public:
    using Ordinal = decltype(faiss::Index::ntotal);

    CodedStorage(faiss::Index &own, const CAnnexKernels_Codes &codes)
        : faiss::Index(own.d, own.metric_type), own(own), codes(codes) {
        ntotal = own.ntotal;
    }

    void add(Ordinal count, const float *added) override {
        rows = added;
        first = ntotal;
        own.add(count, added);
        ntotal = own.ntotal;
    }

    faiss::DistanceComputer *get_distance_computer() const override {
        return new CodedDistances(codes, rows, first, *this);
    }

    void search(
        Ordinal, const float *, Ordinal, float *, Ordinal *, const faiss::SearchParameters *) const override {
        throw std::logic_error("codes are not searched by FAISS");
    }
    void reset() override { throw std::logic_error("codes belong to the caller"); }

  private:
    faiss::Index &own;
    CAnnexKernels_Codes codes;
    const float *rows = nullptr;
    Ordinal first = 0;
};

/* Has the graph built over codes as long as it lives. */
class CodedLoan {
  public:
    CodedLoan(faiss::IndexHNSW &graph, const CAnnexKernels_Codes &codes)
        : graph(graph), own(graph.storage), lent(*graph.storage, codes) {
        graph.storage = &lent;
    }
    ~CodedLoan() { graph.storage = own; }
    CodedLoan(const CodedLoan &) = delete;
    CodedLoan &operator=(const CodedLoan &) = delete;

  private:
    faiss::IndexHNSW &graph;
    faiss::Index *own;
    CodedStorage lent;
};

}  // namespace shim
