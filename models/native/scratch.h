// The memory of one thread, divided into the buffers of a forward pass. Encoding allocates nothing.
#pragma once

#include "attention.h"

namespace {

constexpr int CHUNK = 64;  // rows that go through a block together, so that their hidden features stay in the cache

struct Scratch {
    float *rows, *selected, *normed, *key, *value, *scores;
    float *target, *target_normed, *query, *query_lanes, *mixed, *joined, *gate, *wide, *narrow;
    int32_t *positions, *limits;
    int64_t floats;  // total

    Scratch(const Model& model, float* work) : floats(0) {
        const int64_t length = model.max_len, dim = model.dim;
        const int64_t values = static_cast<int64_t>(model.heads) * model.value_width;
        const auto take = [this, work](int64_t count) {
            float* at = work ? work + floats : nullptr;
            floats += (count + 15) / 16 * 16;
            return at;
        };
        rows = take(length * dim);
        selected = take((length + 1) * dim);
        normed = take((length + 1) * dim);
        key = take((length + 1) * dim);
        value = take((length + 1) * values);
        scores = take((length + 1) * QUERIES);
        target = take(CHUNK * dim);
        target_normed = take(CHUNK * dim);
        query = take(CHUNK * dim);
        query_lanes = take(dim * QUERIES);
        mixed = take(CHUNK * (model.heads * dim > values ? model.heads * dim : values));
        joined = take(CHUNK * dim);
        gate = take(CHUNK * dim);
        wide = take(CHUNK * 2 * model.hidden);
        narrow = take(CHUNK * dim);
        positions = reinterpret_cast<int32_t*>(take(length + 1));
        limits = reinterpret_cast<int32_t*>(take(QUERIES));
    }
};

}  // namespace
