// Builds an HNSW index with the FAISS of the system, as its own documentation does it, and prints the seconds it took.
//
//     stock items.npy ip|l2 LINKS EF_CONSTRUCTION
#include <faiss/IndexHNSW.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

// Rows of a float32 array in C order, as numpy.save writes it.
static std::vector<float> read(const char* path, size_t& rows, size_t& dimension) {
    std::ifstream file(path, std::ios::binary);
    char magic[8];
    uint16_t length = 0;
    file.read(magic, 8).read(reinterpret_cast<char*>(&length), 2);
    std::string header(length, ' ');
    file.read(header.data(), length);
    const size_t shape = header.find("'shape': (");
    if (!file || std::memcmp(magic, "\x93NUMPY\x01", 7) || header.find("'<f4'") == std::string::npos ||
        header.find("'fortran_order': False") == std::string::npos || shape == std::string::npos ||
        std::sscanf(header.c_str() + shape, "'shape': (%zu, %zu)", &rows, &dimension) != 2) {
        std::fprintf(stderr, "%s: not a float32 matrix in C order as numpy.save writes it\n", path);
        std::exit(1);
    }
    std::vector<float> values(rows * dimension);
    if (!file.read(reinterpret_cast<char*>(values.data()), std::streamsize(values.size() * sizeof(float)))) {
        std::fprintf(stderr, "%s: truncated\n", path);
        std::exit(1);
    }
    return values;
}

int main(int count, char** arguments) {
    if (count != 5) return std::fprintf(stderr, "usage: stock items.npy ip|l2 LINKS EF_CONSTRUCTION\n"), 2;
    size_t rows = 0, dimension = 0;
    const std::vector<float> items = read(arguments[1], rows, dimension);
    const auto metric = std::strcmp(arguments[2], "ip") ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
    faiss::IndexHNSWFlat index(int(dimension), std::atoi(arguments[3]), metric);
    index.hnsw.efConstruction = std::atoi(arguments[4]);
    const auto begin = std::chrono::steady_clock::now();
    index.add(faiss::Index::idx_t(rows), items.data());
    std::printf("%.2f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}
