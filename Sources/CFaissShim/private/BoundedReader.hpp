#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include <faiss/impl/io.h>

#include "Require.hpp"

namespace shim {

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
    static uint64_t at(const unsigned char *values, size_t index) {
        uint64_t value;
        std::memcpy(&value, values + index * sizeof value, sizeof value);
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
            for (size_t index = pairs ? 1 : 0; index < count; index += pairs ? 2 : 1) {
                total += at(values, index);
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

}  // namespace shim
