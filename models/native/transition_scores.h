// Scores of single items for a transition memory, from the embedding of the model.
//
// Compiled once, for all instruction sets, as models/native/transitions.h.
#pragma once

#include <cstdint>

#include "candidates.h"

// `vectors` are (num_items + 1, dim); with `codes` the codebooks (num_subspaces · codebook_size, dim / num_subspaces).
struct Transitions {
    const uint8_t* rows;          // (num_items + 1, row bytes), laid out as in models/transitions/memory.py
    const float* probabilities;   // (256) of each byte
    const float* gate;            // (2, LOOKBACK + FEATURES): followers, repeats
    const float* normalizer_in;   // (units, dim + 1), the bias last
    const float* normalizer_out;  // (2, units + 1)
    const float* vectors;
    const uint8_t* codes;         // (num_items + 1, code_bytes); null: `vectors` is the full table
    int64_t num_items;
    int32_t num_followers, index_bytes, dim, units;
    int32_t num_subspaces, codebook_size, code_bytes, codes_are_packed;
    float count_step, max_exponent, scale, damping;
};

namespace {

constexpr int CACHE_LINE = 64;

// GCC removes calls of functions that only prefetch, because they have no effect, unless they are inlined before.
#define PREFETCH __attribute__((always_inline)) inline void

typedef float Four __attribute__((vector_size(16)));

inline Four load_pairs(const float* first, const float* second) {
    double halves[2];  // so that each pair is loaded at once
    __builtin_memcpy(halves, first, 8), __builtin_memcpy(halves + 1, second, 8);
    Four four;
    __builtin_memcpy(&four, halves, sizeof four);
    return four;
}

inline float dot(const float* a, const float* b, int count) {
    float sums[8] = {};
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) sums[0] += a[i] * b[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Code of an item in one subspace.
inline int read_code(const Transitions& memory, const uint8_t* bytes, int subspace) {
    if (!memory.codes_are_packed) return bytes[subspace];
    const uint8_t* group = bytes + subspace / 4 * 3;
    return (group[0] | group[1] << 8 | group[2] << 16) >> (6 * (subspace % 4)) & 63;
}

// Sum of the products of the parts of `hidden` with the centroids of an item's codes.
inline float multiply_codes(const Transitions& memory, int64_t item, const float* hidden) {
    const int width = memory.dim / memory.num_subspaces;
    const uint8_t* bytes = memory.codes + item * memory.code_bytes;
    float sums[4] = {};  // independent, as additions in one chain wait for each other
    for (int j = 0; j < memory.num_subspaces; j++) {
        const int64_t centroid = static_cast<int64_t>(j) * memory.codebook_size + read_code(memory, bytes, j);
        for (int i = 0; i < width; i++) sums[j % 4] += memory.vectors[centroid * width + i] * hidden[j * width + i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// The same for centroids of two floats and a multiple of four subspaces, as presets have them.
template <bool PACKED>
float multiply_pairs(const Transitions& memory, int64_t item, const float* hidden) {
    const uint8_t* bytes = memory.codes + item * memory.code_bytes;
    const float* book = memory.vectors;
    const int step = memory.codebook_size * 2;
    Four sums[2] = {};
    for (int j = 0; j < memory.num_subspaces; j += 4, bytes += PACKED ? 3 : 4, hidden += 8) {
        const uint32_t packed = PACKED ? bytes[0] | bytes[1] << 8 | bytes[2] << 16 : 0;
        for (int i = 0; i < 4; i += 2, book += 2 * step) {
            const int first = PACKED ? packed >> (6 * i) & 63 : bytes[i];
            const int second = PACKED ? packed >> (6 * i + 6) & 63 : bytes[i + 1];
            const Four pieces = load_pairs(book + 2 * first, book + step + 2 * second);
            sums[i / 2] += pieces * load_pairs(hidden + 2 * i, hidden + 2 * i + 2);
        }
    }
    const Four sum = sums[0] + sums[1];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

inline float score_item(const Transitions& memory, int64_t item, const float* hidden) {
    if (!memory.codes) return dot(memory.vectors + item * memory.dim, hidden, memory.dim);
    if (memory.dim != 2 * memory.num_subspaces || memory.num_subspaces % 4) return multiply_codes(memory, item, hidden);
    if (memory.codes_are_packed) return multiply_pairs<true>(memory, item, hidden);
    return multiply_pairs<false>(memory, item, hidden);
}

// Begins to load what `score_item` will read.
PREFETCH prefetch_item(const Transitions& memory, int64_t item) {
    if (memory.codes) __builtin_prefetch(memory.codes + item * memory.code_bytes);
    else __builtin_prefetch(memory.vectors + item * memory.dim);
}

// Begins to load the rows of the newest items.
PREFETCH prefetch_rows(const Transitions& memory, const int64_t* newest) {
    const int bytes = memory.num_followers * (memory.index_bytes + 1) + 1;
    for (int i = 0; i < LOOKBACK; i++) {
        const uint8_t* row = memory.rows + newest[i] * bytes;
        for (int at = 0; at < bytes; at += CACHE_LINE) __builtin_prefetch(row + at);
        __builtin_prefetch(row + bytes - 1);
    }
}

}  // namespace
