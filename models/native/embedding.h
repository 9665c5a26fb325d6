// Items and times to the vectors that an encoder reads.
#pragma once

#include "model.h"
#include "vector.h"

namespace {

// As models/times.py says: no real time is before March 1973 or at the end of u32.
constexpr uint32_t FIRST_SECOND = 100000000u, LAST_SECOND = 4294967294u;

// Which interval lies before event `at` of a history: 0 none, 1 the same second, 2 + n from 2^n seconds on.
inline int interval_before(const uint32_t* times, int at) {
    if (!times || at == 0) return 0;
    const uint32_t before = times[at - 1], now = times[at];
    if (before < FIRST_SECOND || before > LAST_SECOND || now < FIRST_SECOND || now > LAST_SECOND) return 0;
    return now <= before ? 1 : 33 - __builtin_clz(now - before);
}

// One item from `splits` pieces of `width` floats; those of a split lie together, `split_floats` in all.
//
// Codes are four in three bytes. They are read before the first piece is written: a byte may alias anything, so a
// compiler would read it again after every write.
template <int WIDTH>
inline void join_packed(const float* pieces, size_t split_floats, size_t width, const uint8_t* codes, int splits,
                        float* x) {
    width = WIDTH ? WIDTH : width;
    for (int split = 0; split < splits; split += 4, codes += 3) {
        const uint32_t word = codes[0] | codes[1] << 8 | codes[2] << 16;
        for (int j = 0; j < 4; j++, pieces += split_floats, x += width)
            __builtin_memcpy(x, pieces + (word >> 6 * j & 63) * width, width * sizeof(float));
    }
}

// The same with a byte for each code.
inline void join_bytes(const float* pieces, size_t split_floats, size_t width, const uint8_t* codes, int splits,
                       float* x) {
    for (int split = 0; split < splits; split++, pieces += split_floats, x += width)
        __builtin_memcpy(x, pieces + codes[split] * width, width * sizeof(float));
}

// (length) items → (length, dim), not scaled.
inline void item_vectors(const Model& model, const int64_t* items, int length, float* x) {
    const size_t dim = model.dim;
    if (!model.codes) {
        for (int at = 0; at < length; at++)
            __builtin_memcpy(x + at * dim, model.vectors + items[at] * dim, dim * sizeof(float));
        return;
    }
    const size_t width = dim / model.splits, split_floats = model.codebook * width, code_bytes = model.code_bytes;
    // A width of 2 is the default, and too short for a call of memcpy.
    const auto join = !model.codes_are_packed ? join_bytes : width == 2 ? join_packed<2> : join_packed<0>;
    for (int at = 0; at < length; at++) {
        if (items[at] == 0)  // padding: its codes are there, its vector is zero
            __builtin_memset(x + at * dim, 0, dim * sizeof(float));
        else
            join(model.vectors, split_floats, width, model.codes + items[at] * code_bytes, model.splits, x + at * dim);
    }
}

// (length) items and their times → (length, dim), scaled as encoders want it.
inline void embed(const Model& model, const int64_t* items, const uint32_t* times, int length, float* x) {
    const int dim = model.dim;
    item_vectors(model, items, length, x);
    for (int at = 0; at < length; at++, x += dim) {
        const float* interval = model.intervals ? model.intervals + interval_before(times, at) * dim : nullptr;
        for (int i = 0; i < dim; i += LANES)
            store(x + i, (interval ? load(x + i) + load(interval + i) : load(x + i)) * model.scale);
    }
}

}  // namespace
