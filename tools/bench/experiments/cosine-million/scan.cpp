// Whole queries over inverted lists with different codes, one thread: recall, items and bytes read, time, in turns.
//
//     g++ -O3 -march=native -std=c++20 -o scan scan.cpp        (AVX-512 with VNNI and BW)
//     scan items.npy queries.npy work/ NAME ROUNDS CONFIG...
//
// work/ and NAME as for prepare.py. CONFIG is [pAHEAD/]CODE[+SPILL]:NPROBE:R[:KAPPA]. CODE: int8 (of the row), int4i, int4b, int4d
// (4 bits of the residual to the list's mean; scale of the item, of the block of 32, of the dimension), pq (4 bits for two
// dimensions of the residual), pca64, pca96 (int8 of the first rotated dimensions). SPILL: per cent of items in a second list.
// NPROBE lists are scanned, R items scored in float32 (R > 64: a reservoir instead of sorted registers). A list ends where
// its block's bound falls under the 10th best; KAPPA below 1 (default) makes the bound a bet. With R like 250>32, R items get
// int8 scores first, from rows of 128 bytes, and 32 of them float32. A leading "p4/" asks for memory 4 blocks ahead, on into
// the next list; "p-2/" for the first 2 KB of the next list only; "w2/" scans two
// lists (at most 4) in turn, block by block. ROUNDS 0 measures the kernels of the CODEs alone.
#include <immintrin.h>
#include <sys/mman.h>
#include <time.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

using std::size_t;
constexpr int D = 128, K = 10, B = 32;

template <class T> struct Array {  // on huge pages where there are any
    T *data = nullptr;
    size_t count = 0;
    void make(size_t n) {
        count = n;
        const size_t bytes = (n * sizeof(T) + 4096 + (2 << 20) - 1) >> 21 << 21;
        data = (T *)aligned_alloc(2 << 20, bytes);
        madvise(data, bytes, MADV_HUGEPAGE);
        memset((void *)data, 0, bytes);
    }
    T &operator[](size_t i) { return data[i]; }
    const T &operator[](size_t i) const { return data[i]; }
};

template <class T> Array<T> readNpy(const std::string &path, size_t &rows, size_t limit = SIZE_MAX) {
    FILE *file = fopen(path.c_str(), "rb");
    unsigned char head[10];
    if (!file || fread(head, 1, 10, file) != 10) { fprintf(stderr, "cannot read %s\n", path.c_str()); exit(1); }
    std::string text(head[8] + 256 * head[9], ' ');
    if (fread(text.data(), 1, text.size(), file) != text.size()) exit(1);
    size_t columns = 1;
    sscanf(text.c_str() + text.find("'shape'"), "'shape': (%zu, %zu", &rows, &columns);
    rows = std::min(rows, limit);
    Array<T> out;
    out.make(rows * columns);
    if (fread(out.data, sizeof(T), rows * columns, file) != rows * columns) exit(1);
    fclose(file);
    return out;
}

static float dot(const float *a, const float *b) {
    __m512 x = _mm512_setzero_ps(), y = x;
    for (int d = 0; d < D; d += 32) {
        x = _mm512_fmadd_ps(_mm512_loadu_ps(a + d), _mm512_loadu_ps(b + d), x);
        y = _mm512_fmadd_ps(_mm512_loadu_ps(a + d + 16), _mm512_loadu_ps(b + d + 16), y);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(x, y));
}

static void normalise(float *row) {
    const float length = std::sqrt(std::max(dot(row, row), 1e-30f));
    for (int d = 0; d < D; d++) row[d] /= length;
}

static double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

enum Kind { int8, int4, pq };

struct Index {
    Kind kind;
    int dims;                       // coded
    size_t blockBytes;
    bool residual;
    const float *rotation = nullptr;
    float dimScale[D];              // of the dimension; 1 where it is the item's or the block's
    float centres[D / 2][16][2];    // pq
    std::vector<uint32_t> firstBlocks;
    Array<int32_t> ordinals;
    Array<uint8_t> codes;
    Array<float> scales, cosines;   // of items; of blocks: largest cosine to the direction from here on
};

struct Data {
    size_t n, lists, queries;
    Array<float> items, q, directions, means, rotation;
    Array<int32_t> assigned, truth;
    Array<float> gap;
    Array<uint8_t> centroidCodes, rows;
    Array<float> centroidScales, rowScales;
};

static float encode8(const float *row, int dims, uint8_t *out, size_t quadStride) {
    float largest = 1e-30f;
    for (int d = 0; d < dims; d++) largest = std::max(largest, std::fabs(row[d]));
    const float scale = largest / 127;
    for (int d = 0; d < dims; d++) out[d / 4 * quadStride + d % 4] = (uint8_t)(128 + (int)std::lrint(row[d] / scale));
    return scale;
}

static inline float code4(float x, float inverse) { return std::min(15.f, std::max(0.f, std::floor(x * inverse + 8.f))); }

static float error4(const float *r, float step) {
    float error = 0;
    for (int d = 0; d < D; d++) {
        const float off = (code4(r[d], 1 / step) - 7.5f) * step - r[d];
        error += off * off;
    }
    return error;
}

static void put4(uint8_t *block, int item, int d, int code) {  // groups g and g + 1 share bytes, low and high nibble
    const int g = d / 4;
    block[g / 2 * 128 + item * 4 + d % 4] |= (uint8_t)(g % 2 ? code << 4 : code);
}

static void putPQ(uint8_t *block, int item, int s, int code) {  // 64 bytes: two subspaces, and two in the high nibbles
    block[s / 4 * 64 + (s % 2) * 32 + item] |= (uint8_t)(s % 4 >= 2 ? code << 4 : code);
}

static void trainPQ(Index &x, const std::vector<float> &residuals) {  // residuals of unit length
    const size_t n = residuals.size() / D;
    std::mt19937 random(1);
    for (int s = 0; s < D / 2; s++) {
        auto &c = x.centres[s];
        for (auto &one : c) memcpy(one, &residuals[random() % n * D + 2 * s], 8);
        for (int round = 0; round < 12; round++) {
            double sums[16][3] = {};
            for (size_t i = 0; i < n; i++) {
                const float *r = &residuals[i * D + 2 * s];
                int best = 0;
                float least = 1e30f;
                for (int j = 0; j < 16; j++) {
                    const float a = r[0] - c[j][0], b = r[1] - c[j][1], e = a * a + b * b;
                    if (e < least) least = e, best = j;
                }
                sums[best][0] += r[0], sums[best][1] += r[1], sums[best][2] += 1;
            }
            for (int j = 0; j < 16; j++)
                if (sums[j][2] > 0) c[j][0] = sums[j][0] / sums[j][2], c[j][1] = sums[j][1] / sums[j][2];
        }
    }
}

static void build(Index &x, const Data &data, const std::string &code, int spill) {
    x.kind = code.starts_with("int4") ? int4 : code == "pq" ? pq : int8;
    x.dims = code.starts_with("pca") ? atoi(code.c_str() + 3) : D;
    x.rotation = code.starts_with("pca") ? data.rotation.data : nullptr;
    x.blockBytes = (size_t)B * x.dims / (x.kind == int8 ? 1 : x.kind == int4 ? 2 : 4);
    x.residual = x.kind != int8;
    std::vector<float> gaps(data.gap.data, data.gap.data + data.n);
    float limit = -1;
    if (spill) {
        const size_t at = std::min(data.n - 1, data.n * spill / 100);
        std::nth_element(gaps.begin(), gaps.begin() + at, gaps.end());
        limit = gaps[at];
    }
    std::vector<std::vector<std::pair<float, int>>> members(data.lists);
    for (size_t i = 0; i < data.n; i++)
        for (int second = 0; second < (data.gap[i] <= limit ? 2 : 1); second++) {
            const int list = data.assigned[2 * i + second];
            members[list].push_back({-dot(&data.items[i * D], &data.directions[(size_t)list * D]), (int)i});
        }
    x.firstBlocks.assign(1, 0);
    for (auto &m : members) {
        std::sort(m.begin(), m.end());
        x.firstBlocks.push_back(x.firstBlocks.back() + (m.size() + B - 1) / B);
    }
    const size_t blocks = x.firstBlocks.back();
    x.codes.make(blocks * x.blockBytes);
    x.scales.make(blocks * B);
    x.cosines.make(blocks);
    x.ordinals.make(blocks * B);
    std::fill(x.ordinals.data, x.ordinals.data + blocks * B, -1);

    auto residual = [&](int item, size_t list, float *r) {
        for (int d = 0; d < D; d++) r[d] = data.items[(size_t)item * D + d] - (x.residual ? data.means[list * D + d] : 0);
    };
    std::fill(x.dimScale, x.dimScale + D, 1.f);
    std::vector<float> sample;
    double squares[D] = {};
    for (size_t list = 0; list < data.lists && x.residual; list++)
        for (size_t j = 0; j < members[list].size(); j += 20) {
            float r[D];
            residual(members[list][j].second, list, r);
            for (int d = 0; d < D; d++) squares[d] += r[d] * r[d];
            normalise(r);
            sample.insert(sample.end(), r, r + D);
        }
    if (code == "int4d")
        for (int d = 0; d < D; d++) x.dimScale[d] = 0.3352f * std::sqrt(squares[d] / (sample.size() / D));  // best for a normal
    if (x.kind == pq) trainPQ(x, sample);

    for (size_t list = 0; list < data.lists; list++)
        for (size_t at = 0; at < members[list].size(); at += B) {
            const size_t block = x.firstBlocks[list] + at / B;
            const int here = (int)std::min<size_t>(B, members[list].size() - at);
            uint8_t *codes = &x.codes[block * x.blockBytes];
            x.cosines[block] = -members[list][at].first;
            float rows[B][D], steps[B];
            for (int i = 0; i < here; i++) {
                const int item = members[list][at + i].second;
                x.ordinals[block * B + i] = item;
                residual(item, list, rows[i]);
                if (x.rotation) {
                    float turned[D] = {};
                    for (int e = 0; e < D; e++)
                        for (int d = 0; d < x.dims; d++) turned[d] += rows[i][e] * x.rotation[e * D + d];
                    memcpy(rows[i], turned, sizeof turned);
                }
            }
            if (x.kind == int4) {
                for (int i = 0; i < here; i++) {
                    float largest = 1e-30f, least = 1e30f;
                    steps[i] = 1;
                    if (code == "int4d") continue;
                    for (int d = 0; d < D; d++) largest = std::max(largest, std::fabs(rows[i][d]));
                    for (float part = 0.5f; part <= 1.01f; part += 0.07f) {
                        const float e = error4(rows[i], largest * part / 7.5f);
                        if (e < least) least = e, steps[i] = largest * part / 7.5f;
                    }
                }
                if (code == "int4b") {
                    float mean = 0;
                    for (int i = 0; i < here; i++) mean += steps[i] / here;
                    std::fill(steps, steps + here, mean);
                }
            }
            for (int i = 0; i < here; i++) {
                float *r = rows[i], made[D];
                float &scale = x.scales[block * B + i];
                if (x.kind == int8) {
                    scale = encode8(r, x.dims, codes + i * 4, 128);
                    continue;
                }
                const float length = std::sqrt(std::max(dot(r, r), 1e-20f));
                for (int d = 0; d < D; d++)
                    if (x.kind == int4) {
                        const float c = code4(r[d], 1 / (steps[i] * x.dimScale[d]));
                        put4(codes, i, d, (int)c);
                        made[d] = (c - 7.5f) * x.dimScale[d];
                    } else if (d % 2 == 0) {
                        int best = 0;
                        float least = 1e30f;
                        for (int j = 0; j < 16; j++) {
                            const float a = r[d] / length - x.centres[d / 2][j][0], b = r[d + 1] / length - x.centres[d / 2][j][1];
                            if (a * a + b * b < least) least = a * a + b * b, best = j;
                        }
                        putPQ(codes, i, d / 2, best);
                        memcpy(made + d, x.centres[d / 2][best], 8);
                    }
                // Of the item: such that the product with the row itself is right.
                scale = code == "int4b" || code == "int4d" ? steps[i] : length * length / std::max(dot(r, made), 1e-20f);
            }
        }
}

struct Scores { __m512 low, high; };

struct Prepared {  // of a query, for one kind of code
    alignas(64) int8_t codes[D];
    alignas(64) uint8_t tables[D / 2 * 32];
    float factor, offset;   // score = scale * (factor * sum + offset) + the list's product
    int32_t correction;
};

static void prepare(Prepared &p, const float *q, int dims, float zero) {
    float largest = 1e-30f;
    for (int d = 0; d < dims; d++) largest = std::max(largest, std::fabs(q[d]));
    int32_t sum = 0;
    for (int d = 0; d < dims; d++) sum += p.codes[d] = (int8_t)std::lrint(q[d] * 127 / largest);
    p.factor = largest / 127;
    p.correction = (int32_t)(zero * sum);   // half a unit lost with 7.5: nothing among sums of thousands
    p.offset = 0;
}

static void preparePQ(Prepared &p, const float *q, const Index &x) {
    float table[D / 2][16], least[D / 2], widest = 1e-30f;
    for (int s = 0; s < D / 2; s++) {
        float most = -1e30f;
        least[s] = 1e30f;
        for (int j = 0; j < 16; j++) {
            const float v = table[s][j] = q[2 * s] * x.centres[s][j][0] + q[2 * s + 1] * x.centres[s][j][1];
            least[s] = std::min(least[s], v), most = std::max(most, v);
        }
        widest = std::max(widest, most - least[s]);
    }
    p.factor = widest / 127;
    p.offset = 0;
    for (int s = 0; s < D / 2; s++) {
        p.offset += least[s];
        uint8_t *out = p.tables + s / 2 * 64 + s % 2 * 32;
        for (int j = 0; j < 16; j++) out[j] = out[j + 16] = (uint8_t)((table[s][j] - least[s]) / p.factor + 0.5f);
    }
}

template <Kind kind> static inline Scores blockScores(const uint8_t *codes, const Prepared &p, int dims) {
    if constexpr (kind == pq) {
        const __m512i nibble = _mm512_set1_epi8(15), byte = _mm512_set1_epi16(255);
        __m512i even = _mm512_setzero_si512(), odd = even;
        for (int t = 0; t < D / 8; t++) {
            const __m512i v = _mm512_load_si512(codes + 64 * t);
            const __m512i a = _mm512_shuffle_epi8(_mm512_load_si512(p.tables + 128 * t), _mm512_and_si512(v, nibble));
            const __m512i b = _mm512_shuffle_epi8(_mm512_load_si512(p.tables + 128 * t + 64), _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
            const __m512i sum = _mm512_add_epi8(a, b);
            even = _mm512_add_epi16(even, _mm512_and_si512(sum, byte));
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sum, 8));
        }
        const __m256i e = _mm256_add_epi16(_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1));
        const __m256i o = _mm256_add_epi16(_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1));
        const __m256i lo = _mm256_unpacklo_epi16(e, o), hi = _mm256_unpackhi_epi16(e, o);
        return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_permute2x128_si256(lo, hi, 0x20))),
                _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_permute2x128_si256(lo, hi, 0x31)))};
    } else {
        __m512i low = _mm512_set1_epi32(-p.correction), high = low, lowOdd = _mm512_setzero_si512(), highOdd = lowOdd;
        for (int d = 0; d < dims; d += 8) {
            int32_t a, b;
            memcpy(&a, p.codes + d, 4);
            memcpy(&b, p.codes + d + 4, 4);
            const __m512i first = _mm512_set1_epi32(a), second = _mm512_set1_epi32(b);
            if constexpr (kind == int8) {
                low = _mm512_dpbusd_epi32(low, _mm512_load_si512(codes), first);
                high = _mm512_dpbusd_epi32(high, _mm512_load_si512(codes + 64), first);
                lowOdd = _mm512_dpbusd_epi32(lowOdd, _mm512_load_si512(codes + 128), second);
                highOdd = _mm512_dpbusd_epi32(highOdd, _mm512_load_si512(codes + 192), second);
                codes += 256;
            } else {  // the high nibbles stay where they are: their sums are 16 times too large
                const __m512i nibble = _mm512_set1_epi8(15), v = _mm512_load_si512(codes), w = _mm512_load_si512(codes + 64);
                low = _mm512_dpbusd_epi32(low, _mm512_and_si512(v, nibble), first);
                high = _mm512_dpbusd_epi32(high, _mm512_and_si512(w, nibble), first);
                lowOdd = _mm512_dpbusd_epi32(lowOdd, _mm512_andnot_si512(nibble, v), second);
                highOdd = _mm512_dpbusd_epi32(highOdd, _mm512_andnot_si512(nibble, w), second);
                codes += 128;
            }
        }
        if constexpr (kind == int4) lowOdd = _mm512_srai_epi32(lowOdd, 4), highOdd = _mm512_srai_epi32(highOdd, 4);
        return {_mm512_cvtepi32_ps(_mm512_add_epi32(low, lowOdd)), _mm512_cvtepi32_ps(_mm512_add_epi32(high, highOdd))};
    }
}

template <int registers> struct Sorted {
    __m512 scores[registers];
    __m512i ids[registers];
    Sorted() { for (int r = 0; r < registers; r++) scores[r] = _mm512_set1_ps(-1e30f), ids[r] = _mm512_set1_epi32(-1); }
    float at(int place) const {
        __m512 chosen = scores[0];
        for (int r = 1; r < registers; r++) if (place >> 4 == r) chosen = scores[r];
        return _mm512_cvtss_f32(_mm512_permutexvar_ps(_mm512_set1_epi32(place & 15), chosen));
    }
    void insert(float score, int32_t id) {
        const __m512 s = _mm512_set1_ps(score);
        const __m512i o = _mm512_set1_epi32(id);
        for (int r = registers - 1; r >= 0; r--) {
            const __m512 before = r ? scores[r - 1] : s;
            const __m512i beforeIds = r ? ids[r - 1] : o;
            const __mmask16 below = _mm512_cmp_ps_mask(scores[r], s, _CMP_LT_OQ);
            const __m512i moved = _mm512_alignr_epi32(_mm512_castps_si512(scores[r]), _mm512_castps_si512(before), 15);
            const __m512i movedIds = _mm512_alignr_epi32(ids[r], beforeIds, 15);
            __mmask16 place = below & ~(unsigned)(below << 1);
            if (r && (place & 1) && _mm512_cvtss_f32(_mm512_permutexvar_ps(_mm512_set1_epi32(15), before)) < score) place = 0;
            scores[r] = _mm512_mask_mov_ps(_mm512_mask_mov_ps(scores[r], below, _mm512_castsi512_ps(moved)), place, s);
            ids[r] = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(ids[r], below, movedIds), place, o);
        }
    }
};

template <int registers> struct RegisterPool {
    Sorted<registers> best;
    float worst = -1e30f, kth = -1e30f;
    explicit RegisterPool(int) {}
    void add(float score, int32_t id) { best.insert(score, id); worst = best.at(16 * registers - 1); }
    void block() { kth = best.at(K - 1); }
    int take(int32_t *out, int count) {
        int32_t ids[16 * registers];
        memcpy(ids, best.ids, sizeof ids);
        int n = 0;
        for (int i = 0; i < 16 * registers && n < count; i++) if (ids[i] >= 0) out[n++] = ids[i];
        return n;
    }
};

struct Reservoir {
    static std::vector<std::pair<float, int32_t>> held;
    Sorted<1> best;
    size_t wanted, count = 0;
    float worst = -1e30f, kth = -1e30f;
    explicit Reservoir(int r) : wanted(r) { held.resize(std::max<size_t>(held.size(), 3 * r)); }
    void shrink() {
        if (count <= wanted) return;
        std::nth_element(held.begin(), held.begin() + wanted - 1, held.begin() + count, std::greater<>());
        worst = held[wanted - 1].first;
        count = wanted;
    }
    void add(float score, int32_t id) {
        held[count++] = {score, id};
        if (score > kth) { best.insert(score, id); kth = best.at(K - 1); }
        if (count == 3 * wanted) shrink();
    }
    void block() {}
    int take(int32_t *out, int) {
        shrink();
        for (size_t i = 0; i < count; i++) out[i] = held[i].second;
        return (int)count;
    }
};
std::vector<std::pair<float, int32_t>> Reservoir::held;

struct Config { std::string text, code; int spill = 0, probes = 16, r = 32, last = 0, ahead = 0, ways = 1; float kappa = 1; const Index *index = nullptr; };
struct Tally { double blocks = 0, phase[3] = {}; };   // phases: centroids, scan, rescoring

static double ticks() { return (double)__rdtsc(); }

template <Kind kind, class Pool> static void search(const Data &data, const Config &c, const float *q, int32_t *out, Tally &tally) {
    const Index &x = *c.index;
    const double start = ticks();
    Prepared p, own;
    prepare(own, q, D, 128);
    Sorted<8> nearest;   // lists
    float floor = -1e30f;
    const size_t centroidBlocks = (data.lists + B - 1) / B;
    for (size_t block = 0; block < centroidBlocks; block++) {
        Scores s = blockScores<int8>(&data.centroidCodes[block * B * D], own, D);
        alignas(64) float values[B];
        s.low = _mm512_mul_ps(s.low, _mm512_load_ps(&data.centroidScales[block * B]));
        s.high = _mm512_mul_ps(s.high, _mm512_load_ps(&data.centroidScales[block * B + 16]));
        uint32_t hits = _mm512_cmp_ps_mask(s.low, _mm512_set1_ps(floor), _CMP_GT_OQ)
                        | (uint32_t)_mm512_cmp_ps_mask(s.high, _mm512_set1_ps(floor), _CMP_GT_OQ) << 16;
        if (!hits) continue;
        _mm512_store_ps(values, s.low);
        _mm512_store_ps(values + 16, s.high);
        for (; hits; hits &= hits - 1) {
            const int i = __builtin_ctz(hits);
            if (values[i] <= floor || block * B + i >= data.lists) continue;
            nearest.insert(values[i], (int32_t)(block * B + i));
            floor = nearest.at(c.probes - 1);
        }
    }
    int32_t lists[128];
    memcpy(lists, nearest.ids, sizeof lists);

    if constexpr (kind == pq) preparePQ(p, q, x);
    else if (x.rotation) {
        float turned[D] = {};
        for (int e = 0; e < D; e++)
            for (int d = 0; d < x.dims; d++) turned[d] += q[e] * x.rotation[e * D + d];
        prepare(p, turned, x.dims, 128);
    } else if (kind == int4) {
        float scaled[D];
        for (int d = 0; d < D; d++) scaled[d] = q[d] * x.dimScale[d];
        prepare(p, scaled, D, 7.5f);
    } else p = own;
    const double middle = ticks();

    Pool pool(c.r);
    int coming = 0;       // the list and the block that memory is asked for next
    size_t comingBlock = x.firstBlocks[lists[0]];
    auto fetch = [&] {
        while (coming < c.probes && comingBlock >= x.firstBlocks[lists[coming] + 1])
            if (++coming < c.probes) comingBlock = x.firstBlocks[lists[coming]];
        if (coming >= c.probes) return;
        for (size_t at = 0; at < x.blockBytes; at += 64) _mm_prefetch((const char *)&x.codes[comingBlock * x.blockBytes + at], _MM_HINT_T0);
        _mm_prefetch((const char *)&x.scales[comingBlock * B], _MM_HINT_T0);
        _mm_prefetch((const char *)&x.scales[comingBlock * B + 16], _MM_HINT_T0);
        if (comingBlock == x.firstBlocks[lists[coming]]) _mm_prefetch((const char *)&x.cosines[comingBlock], _MM_HINT_T0);
        comingBlock++;
    };
    if (c.ahead > 0) {
        for (int l = 0; l < c.probes; l++)
            for (int d = 0; d < D; d += 16) {
                _mm_prefetch((const char *)&data.directions[(size_t)lists[l] * D + d], _MM_HINT_T0);
                if (x.residual) _mm_prefetch((const char *)&data.means[(size_t)lists[l] * D + d], _MM_HINT_T0);
            }
        for (int i = 0; i < c.ahead; i++) fetch();
    }
    const __m512 factor = _mm512_set1_ps(p.factor), offset = _mm512_set1_ps(p.offset);
    struct Open { size_t block, end; float along, beside; __m512 product; };
    auto open = [&](int l) {
        const size_t list = lists[l];
        if (c.ahead < 0 && l + 1 < c.probes) {
            const size_t next = lists[l + 1], block = x.firstBlocks[next];
            for (int at = 0; at < -1024 * c.ahead; at += 64) _mm_prefetch((const char *)&x.codes[block * x.blockBytes + at], _MM_HINT_T0);
            _mm_prefetch((const char *)&x.scales[block * B], _MM_HINT_T0);
            _mm_prefetch((const char *)&x.cosines[block], _MM_HINT_T0);
            for (int d = 0; d < D; d += 16) {
                _mm_prefetch((const char *)&data.directions[next * D + d], _MM_HINT_T0);
                if (x.residual) _mm_prefetch((const char *)&data.means[next * D + d], _MM_HINT_T0);
            }
        }
        if (c.ahead > 0 && coming < l) coming = l, comingBlock = x.firstBlocks[list];
        const float along = dot(q, &data.directions[list * D]);
        return Open{x.firstBlocks[list], x.firstBlocks[list + 1], along, c.kappa * std::sqrt(std::max(0.f, 1 - along * along)),
                    _mm512_set1_ps(x.residual ? dot(q, &data.means[list * D]) : 0)};
    };
    auto step = [&](Open &o) {   // scans a block; false where the list ends
        if (o.block == o.end) return false;
        const size_t block = o.block++;
        const float cosine = x.cosines[block];
        if (cosine < o.along && o.along * cosine + o.beside * std::sqrt(std::max(0.f, 1 - cosine * cosine)) < pool.kth) return o.end = o.block, false;
        tally.blocks++;
        if (c.ahead > 0) fetch();
        Scores s = blockScores<kind>(&x.codes[block * x.blockBytes], p, x.dims);
        s.low = _mm512_fmadd_ps(_mm512_fmadd_ps(s.low, factor, offset), _mm512_load_ps(&x.scales[block * B]), o.product);
        s.high = _mm512_fmadd_ps(_mm512_fmadd_ps(s.high, factor, offset), _mm512_load_ps(&x.scales[block * B + 16]), o.product);
        const __m512 worst = _mm512_set1_ps(pool.worst);
        uint32_t hits = _mm512_cmp_ps_mask(s.low, worst, _CMP_GT_OQ) | (uint32_t)_mm512_cmp_ps_mask(s.high, worst, _CMP_GT_OQ) << 16;
        if (!hits) return true;
        alignas(64) float values[B];
        _mm512_store_ps(values, s.low);
        _mm512_store_ps(values + 16, s.high);
        for (; hits; hits &= hits - 1) {
            const int i = __builtin_ctz(hits);
            const int32_t id = x.ordinals[block * B + i];
            if (id >= 0 && values[i] > pool.worst) pool.add(values[i], id);
        }
        pool.block();
        return true;
    };
    for (int l = 0; l < c.probes; l += c.ways) {   // a block of each of `ways` lists in turn
        Open lanes[4];
        const int here = std::min(c.ways, c.probes - l);
        for (int w = 0; w < here; w++) lanes[w] = open(l + w);
        for (bool more = true; more;) {
            more = false;
            for (int w = 0; w < here; w++) more |= step(lanes[w]);
        }
    }
    const double end = ticks();

    static std::vector<int32_t> found(4096);
    int count = pool.take(found.data(), c.r);
    if (c.last) {  // int8 rows first
        for (int i = 0; i < count; i++) {
            _mm_prefetch((const char *)&data.rows[(size_t)found[i] * D], _MM_HINT_T0);
            _mm_prefetch((const char *)&data.rows[(size_t)found[i] * D + 64], _MM_HINT_T0);
        }
        Sorted<2> better;
        const __m512i a = _mm512_load_si512(own.codes), b = _mm512_load_si512(own.codes + 64);
        for (int i = 0; i < count; i++) {
            const uint8_t *row = &data.rows[(size_t)found[i] * D];
            __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_load_si512(row), a);
            sum = _mm512_dpbusd_epi32(sum, _mm512_load_si512(row + 64), b);
            const float score = (float)(_mm512_reduce_add_epi32(sum) - own.correction) * data.rowScales[found[i]];
            if (score > better.at(c.last - 1)) better.insert(score, found[i]);
        }
        int32_t ids[32];
        memcpy(ids, better.ids, sizeof ids);
        count = 0;
        for (int i = 0; i < c.last; i++) if (ids[i] >= 0) found[count++] = ids[i];
    }
    for (int i = 0; i < count; i++)
        for (int d = 0; d < D; d += 16) _mm_prefetch((const char *)&data.items[(size_t)found[i] * D + d], _MM_HINT_T0);
    std::pair<float, int32_t> top[K + 1];
    int held = 0;
    for (int i = 0; i < count; i++) {
        const float score = dot(q, &data.items[(size_t)found[i] * D]);
        if (held == K && score <= top[K - 1].first) continue;
        bool known = false;
        for (int j = 0; j < held; j++) known |= top[j].second == found[i];
        if (known) continue;
        int at = held < K ? held++ : K - 1;
        for (; at > 0 && top[at - 1].first < score; at--) top[at] = top[at - 1];
        top[at] = {score, found[i]};
    }
    for (int i = 0; i < K; i++) out[i] = i < held ? top[i].second : -1;
    const double last = ticks();
    tally.phase[0] += middle - start, tally.phase[1] += end - middle, tally.phase[2] += last - end;
}

template <Kind kind> static void pick(const Data &data, const Config &c, const float *q, int32_t *out, Tally &tally) {
    if (c.r <= 16) search<kind, RegisterPool<1>>(data, c, q, out, tally);
    else if (c.r <= 32) search<kind, RegisterPool<2>>(data, c, q, out, tally);
    else if (c.r <= 64) search<kind, RegisterPool<4>>(data, c, q, out, tally);
    else search<kind, Reservoir>(data, c, q, out, tally);
}

// Nanoseconds an item of the kernel alone (no pool, no bound) and of reading alone, over the lists given again and again.
template <Kind kind> static double kernel(const Index &x, const Prepared &p, const std::vector<uint32_t> &lists, size_t repeats, bool readOnly, size_t ways = 1) {
    __m512 sum = _mm512_setzero_ps();
    __m512i read = _mm512_setzero_si512();
    size_t items = 0;
    auto take = [&](size_t block) {
        items += B;
        const uint8_t *codes = &x.codes[block * x.blockBytes];
        if (readOnly) {
            for (size_t at = 0; at < x.blockBytes; at += 64) read = _mm512_xor_si512(read, _mm512_load_si512(codes + at));
            return;
        }
        const Scores s = blockScores<kind>(codes, p, x.dims);
        sum = _mm512_max_ps(sum, _mm512_max_ps(_mm512_mul_ps(s.low, _mm512_load_ps(&x.scales[block * B])),
                                               _mm512_mul_ps(s.high, _mm512_load_ps(&x.scales[block * B + 16]))));
    };
    const double start = now(CLOCK_THREAD_CPUTIME_ID);
    for (size_t repeat = 0; repeat < repeats; repeat++)
        for (size_t l = 0; l + ways <= lists.size(); l += ways)   // a block of each of `ways` lists in turn
            for (size_t i = 0, more = 1; more; i++) {
                more = 0;
                for (size_t w = 0; w < ways; w++) {
                    const size_t block = x.firstBlocks[lists[l + w]] + i;
                    if (block < x.firstBlocks[lists[l + w] + 1]) take(block), more = 1;
                }
            }
    const double taken = now(CLOCK_THREAD_CPUTIME_ID) - start;
    volatile float keep = _mm512_reduce_max_ps(sum) + (float)_mm512_reduce_add_epi32(read);
    (void)keep;
    return taken / items * 1e9;
}

static void kernels(const Data &data, const std::map<std::string, std::unique_ptr<Index>> &indexes) {
    printf("| codes | bytes an item | ns an item: in L2 | in L3 | memory, random lists | two lists in turn | four | reading alone, random lists | GB/s |\n|---|---|---|---|---|---|---|---|---|\n");
    std::vector<uint32_t> all(data.lists);
    for (size_t l = 0; l < data.lists; l++) all[l] = l;
    std::shuffle(all.begin(), all.end(), std::mt19937(1));
    for (auto &[head, index] : indexes) {
        const Index &x = *index;
        Prepared p;
        prepare(p, data.q.data, x.dims, 128);
        if (x.kind == pq) preparePQ(p, data.q.data, x);
        auto first = [&](size_t bytes) {
            std::vector<uint32_t> lists;
            size_t used = 0;
            for (size_t i = 0; i < all.size() && used < bytes; i++) lists.push_back(all[i]), used += (x.firstBlocks[all[i] + 1] - x.firstBlocks[all[i]]) * x.blockBytes;
            return std::make_pair(lists, std::max<size_t>(1, (64 << 20) / std::max<size_t>(1, used)));
        };
        auto run = [&](size_t bytes, bool readOnly, size_t ways = 1) {
            auto [lists, repeats] = first(bytes);
            std::vector<double> times;
            for (int round = 0; round < 7; round++)
                times.push_back(x.kind == int8 ? kernel<int8>(x, p, lists, repeats, readOnly, ways) : x.kind == int4 ? kernel<int4>(x, p, lists, repeats, readOnly, ways) : kernel<pq>(x, p, lists, repeats, readOnly, ways));
            std::sort(times.begin(), times.end());
            return times[3];
        };
        const double memory = run(SIZE_MAX, false), read = run(SIZE_MAX, true);
        printf("| %s | %zu + 4 | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f |\n", head.c_str(), x.blockBytes / B, run(300 << 10, false), run(4 << 20, false), memory, run(SIZE_MAX, false, 2), run(SIZE_MAX, false, 4), read, x.blockBytes / B / read);
    }
}

int main(int argc, char **argv) {
    if (argc < 7) return fprintf(stderr, "scan items.npy queries.npy work/ NAME ROUNDS CONFIG...\n"), 2;
    const std::string work = argv[3] + std::string("/"), name = argv[4];
    const int rounds = atoi(argv[5]);
    Data data;
    size_t rows;
    data.truth = readNpy<int32_t>(work + "truth.npy", data.queries);
    data.items = readNpy<float>(argv[1], data.n);
    data.q = readNpy<float>(argv[2], rows, data.queries);
    for (size_t i = 0; i < data.n; i++) normalise(&data.items[i * D]);
    for (size_t i = 0; i < data.queries; i++) normalise(&data.q[i * D]);
    data.rotation = readNpy<float>(work + "rotation.npy", rows);
    data.directions = readNpy<float>(work + "centroids-" + name + ".npy", data.lists);
    data.assigned = readNpy<int32_t>(work + "lists-" + name + ".npy", rows);
    data.gap = readNpy<float>(work + "gap-" + name + ".npy", rows);
    data.means.make(data.lists * D);
    std::vector<float> sizes(data.lists);
    for (size_t i = 0; i < data.n; i++) {
        const size_t list = data.assigned[2 * i];
        sizes[list]++;
        for (int d = 0; d < D; d++) data.means[list * D + d] += data.items[i * D + d];
    }
    const size_t centroidRows = (data.lists + B - 1) / B * B;
    data.centroidCodes.make(centroidRows * D);
    data.centroidScales.make(centroidRows);
    for (size_t l = 0; l < data.lists; l++) {
        for (int d = 0; d < D; d++) data.means[l * D + d] /= std::max(1.f, sizes[l]);
        data.centroidScales[l] = encode8(&data.directions[l * D], D, &data.centroidCodes[l / B * B * D + l % B * 4], 128);
    }
    data.rows.make(data.n * D);
    data.rowScales.make(data.n);
    for (size_t i = 0; i < data.n; i++) data.rowScales[i] = encode8(&data.items[i * D], D, &data.rows[i * D], 4);

    std::vector<Config> configs;
    std::map<std::string, std::unique_ptr<Index>> indexes;
    for (int a = 6; a < argc; a++) {
        Config c;
        c.text = argv[a];
        std::string head = c.text.substr(0, c.text.find(':'));
        const size_t colon = head.size();
        if (size_t at = head.find('/'); at != std::string::npos) (head[0] == 'w' ? c.ways : c.ahead) = atoi(head.c_str() + 1), head = head.substr(at + 1);
        sscanf(c.text.c_str() + colon, ":%d:%d", &c.probes, &c.r);
        if (size_t at = c.text.find('>'); at != std::string::npos) c.last = std::min(32, atoi(c.text.c_str() + at + 1));
        if (std::count(c.text.begin(), c.text.end(), ':') == 3) c.kappa = atof(c.text.c_str() + c.text.rfind(':') + 1);
        c.probes = std::min(c.probes, 128);
        c.code = head.substr(0, head.find('+'));
        if (head.size() > c.code.size()) c.spill = atoi(head.c_str() + c.code.size() + 1);
        auto &index = indexes[head];
        if (!index) build(*(index = std::make_unique<Index>()), data, c.code, c.spill);
        c.index = index.get();
        configs.push_back(c);
    }
    if (rounds == 0) return kernels(data, indexes), 0;
    std::vector<std::vector<double>> cpu(configs.size()), wall(configs.size());
    std::vector<Tally> tallies(configs.size());
    std::vector<double> recall(configs.size());
    std::vector<int32_t> out(data.queries * K);
    for (int round = 0; round < rounds; round++)
        for (size_t c = 0; c < configs.size(); c++) {
            Tally tally;
            auto run = configs[c].index->kind == int8 ? pick<int8> : configs[c].index->kind == int4 ? pick<int4> : pick<pq>;
            const double w = now(CLOCK_MONOTONIC), u = now(CLOCK_THREAD_CPUTIME_ID);
            for (size_t i = 0; i < data.queries; i++) run(data, configs[c], &data.q[i * D], &out[i * K], tally);
            cpu[c].push_back((now(CLOCK_THREAD_CPUTIME_ID) - u) / data.queries * 1e6);
            wall[c].push_back((now(CLOCK_MONOTONIC) - w) / data.queries * 1e6);
            tallies[c] = tally;
            size_t hits = 0;
            for (size_t i = 0; i < data.queries; i++)
                for (int j = 0; j < K; j++)
                    for (int t = 0; t < K; t++) hits += out[i * K + j] == data.truth[i * K + t];
            recall[c] = (double)hits / (data.queries * K);
        }
    printf("lists %s; median of %d rounds in turns, us a query of CPU (smallest); shares of centroids, scan, rescoring\n", name.c_str(), rounds);
    printf("| code:nprobe:R[:kappa] | recall@10 | items | KB of codes | us CPU | us clock | shares |\n|---|---|---|---|---|---|---|\n");
    for (size_t c = 0; c < configs.size(); c++) {
        const Tally &t = tallies[c];
        std::sort(cpu[c].begin(), cpu[c].end());
        std::sort(wall[c].begin(), wall[c].end());
        const double all = t.phase[0] + t.phase[1] + t.phase[2], items = t.blocks * B / data.queries;
        printf("| %s | %.4f | %.0f | %.0f | %.1f (%.1f) | %.1f | %.0f %% %.0f %% %.0f %% |\n", configs[c].text.c_str(), recall[c], items,
               items / B * (configs[c].index->blockBytes + 4 * B) / 1024, cpu[c][rounds / 2], cpu[c][0], wall[c][rounds / 2],
               100 * t.phase[0] / all, 100 * t.phase[1] / all, 100 * t.phase[2] / all);
    }
}
