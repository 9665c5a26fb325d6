// Computes an encoder's input vectors from items and times.
#pragma once

#include "model.h"
#include "vector.h"

namespace {

// As in models/times.py: no real time is before March 1973 or at the end of u32.
constexpr uint32_t FIRST_SECOND = 100000000u, LAST_SECOND = 4294967294u;

inline bool is_real(uint32_t time) { return time >= FIRST_SECOND && time <= LAST_SECOND; }

// Bucket of the interval from `before` to `now`: 0 unknown, 1 the same second, 2 + n from 2^n seconds.
inline int bucket_interval(uint32_t before, uint32_t now) {
    if (!is_real(before) || !is_real(now)) return 0;
    return now <= before ? 1 : 33 - __builtin_clz(now - before);
}

// Period of a time: 0 unknown, 1 + the number of boundaries that are not after it.
inline int find_period(const Model& model, uint32_t time) {
    if (!is_real(time)) return 0;
    const int64_t* first = model.boundaries;
    int count = model.num_periods - 1;
    while (count > 0) {
        const int half = count / 2, is_past = first[half] <= static_cast<int64_t>(time);
        first += is_past * (half + 1);
        count = is_past ? count - half - 1 : half;
    }
    return 1 + static_cast<int>(first - model.boundaries);
}

// Builds one item vector from the codebooks, each `codebook_floats` long with centroids of `width` floats.
//
// Codes are four in three bytes. They are read before the first write: a byte pointer may alias anything, so a compiler
// would read the codes again after every write.
template <int WIDTH>
inline void join_packed(const float* codebooks, size_t codebook_floats, size_t width, const uint8_t* codes,
                        int num_subspaces, float* x) {
    width = WIDTH ? WIDTH : width;
    for (int i = 0; i < num_subspaces; i += 4, codes += 3) {
        const uint32_t word = codes[0] | codes[1] << 8 | codes[2] << 16;
        for (int j = 0; j < 4; j++, codebooks += codebook_floats, x += width)
            __builtin_memcpy(x, codebooks + (word >> 6 * j & 63) * width, width * sizeof(float));
    }
}

// Like join_packed, with one byte per code.
template <int WIDTH>
inline void join_bytes(const float* codebooks, size_t codebook_floats, size_t width, const uint8_t* codes,
                       int num_subspaces, float* x) {
    width = WIDTH ? WIDTH : width;
    for (int i = 0; i < num_subspaces; i += 4, codes += 4) {
        const int count = num_subspaces - i < 4 ? num_subspaces - i : 4;
        uint8_t some[4] = {};
        __builtin_memcpy(some, codes, count);
        for (int j = 0; j < count; j++, codebooks += codebook_floats, x += width)
            __builtin_memcpy(x, codebooks + some[j] * width, width * sizeof(float));
    }
}

// (length) items → (length, dim), not scaled.
inline void item_vectors(const Model& model, const int64_t* items, int length, float* x) {
    const size_t dim = model.dim;
    if (!model.codes) {
        for (int at = 0; at < length; at++)
            __builtin_memcpy(x + at * dim, model.vectors + items[at] * dim, dim * sizeof(float));
        return;
    }
    const size_t width = dim / model.num_subspaces, codebook_floats = model.codebook_size * width;
    // A width of 2 is the default, and too short for a call of memcpy.
    const auto join = model.codes_are_packed ? (width == 2 ? join_packed<2> : join_packed<0>)
                                             : (width == 2 ? join_bytes<2> : join_bytes<0>);
    for (int at = 0; at < length; at++, x += dim) {
        const uint8_t* codes = model.codes + items[at] * static_cast<size_t>(model.code_bytes);
        if (items[at] == 0)  // padding has codes, but its vector is zero
            __builtin_memset(x, 0, dim * sizeof(float));
        else
            join(model.vectors, codebook_floats, width, codes, model.num_subspaces, x);
    }
}

// (length) items, their times and that of the request (0 if unknown) → (length, dim), scaled for the encoder.
inline void embed(const Model& model, const int64_t* items, const uint32_t* times, uint32_t request_time, int length,
                  float* x) {
    const int dim = model.dim, last = length - 1;
    item_vectors(model, items, length, x);
    uint32_t now = times ? times[0] : 0;
    int interval = 0, period = model.num_periods ? find_period(model, now) : 0;
    for (int at = 0; at < length; at++, x += dim) {
        const uint32_t next = at == last ? request_time : times ? times[at + 1] : 0;
        const int next_interval = bucket_interval(now, next);
        const int next_period = model.num_periods ? find_period(model, next) : 0;
        const bool is_known = request_time && now;  // without a request, an event is not shown the next one either
        const int longest = model.longest_interval, shown = next_interval < longest ? next_interval : longest;
        const float* parts[4];
        int count = 0;
        if (model.intervals) parts[count++] = model.intervals + interval * dim;
        if (model.periods) parts[count++] = model.periods + period * dim;
        if (model.request_intervals) parts[count++] = model.request_intervals + (is_known ? shown : 0) * dim;
        if (model.request_periods) parts[count++] = model.request_periods + (is_known ? next_period : 0) * dim;
        for (int i = 0; i < dim; i += LANES) {
            vec sum = load(x + i);
            for (int part = 0; part < count; part++) sum += load(parts[part] + i);
            store(x + i, sum * model.scale);
        }
        now = next, interval = next_interval, period = next_period;
    }
}

}  // namespace
