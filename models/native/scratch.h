// The memory of one thread, cut into the buffers that a forward pass needs. Nothing is allocated while encoding.
#pragma once

#include "attention.h"

namespace {

constexpr int CHUNK = 64;  // rows that go through a block together: their hidden features stay in the cache

struct Scratch {
    float *rows, *fewer, *normed, *key, *value, *scores;
    float *asked, *asked_normed, *query, *query_lanes, *mixed, *joined, *gate, *wide, *narrow;
    int32_t *places, *limits;
    int64_t floats;  // taken in all

    Scratch(const Model& model, float* work) : floats(0) {
        const int64_t length = model.max_len, dim = model.dim;
        const int64_t values = static_cast<int64_t>(model.heads) * model.value_width;
        const auto take = [this, work](int64_t count) {
            float* at = work ? work + floats : nullptr;
            floats += (count + 15) / 16 * 16;
            return at;
        };
        rows = take(length * dim);
        fewer = take((length + 1) * dim);
        normed = take((length + 1) * dim);
        key = take((length + 1) * dim);
        value = take((length + 1) * values);
        scores = take((length + 1) * QUERIES);
        asked = take(CHUNK * dim);
        asked_normed = take(CHUNK * dim);
        query = take(CHUNK * dim);
        query_lanes = take(dim * QUERIES);
        mixed = take(CHUNK * (model.heads * dim > values ? model.heads * dim : values));
        joined = take(CHUNK * dim);
        gate = take(CHUNK * dim);
        wide = take(CHUNK * 2 * model.hidden);
        narrow = take(CHUNK * dim);
        places = reinterpret_cast<int32_t*>(take(length + 1));
        limits = reinterpret_cast<int32_t*>(take(QUERIES));
    }
};

}  // namespace
