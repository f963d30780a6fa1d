#pragma once

#include <cstring>
#include <stdexcept>

namespace shim {

inline void require(bool condition, const char *what) {
    if (!condition) throw std::runtime_error(what);
}

/* FAISS reads bools and enumerations as they come. To look at one that is neither is undefined, so look at its bytes. */
inline bool isBool(const bool &flag) {
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

}  // namespace shim
