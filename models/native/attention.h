// Attention of a few queries over the rows of a history.
//
// A lane of a vector is a query. Scores are laid out as (keys, lanes), so that a row is a key's product with all
// queries, the softmax needs no sums across a register, and keys need no transposition.
#pragma once

#include "activations.h"
#include "matrix.h"

namespace {

constexpr int QUERIES = 2 * LANES;  // at a time

// Turns scores (keys, lanes) into weights 2^score, in place, to be divided by `sums` (lanes) later. A lane reads the
// keys below its limit; other keys get 2^-126 of the largest weight, below float precision.
template <int C>
inline void powers_of_scores(float* scores, int keys, const int32_t* limits, int least_limit, float* sums) {
    for (int c = 0; c < C; c++) {
        const ivec limit = *reinterpret_cast<const ivec*>(limits + c * LANES);
        float* column = scores + c * LANES;
        vec most = all(-3e38f);
        int key = 0;
        for (; key < least_limit; key++) most = greater_of(most, load(column + key * C * LANES));
        for (; key < keys; key++) {
            const vec score = load(column + key * C * LANES);
            const vec visible = (ivec{} + key) < limit ? score : all(-3e38f);
            store(column + key * C * LANES, visible);
            most = greater_of(most, visible);
        }
        vec total = vec{};
        for (key = 0; key < keys; key++) {
            const vec weight = exp2_of(load(column + key * C * LANES) - most);
            store(column + key * C * LANES, weight);
            total += weight;
        }
        store(sums + c * LANES, total);
    }
}

// Mixes the rows of `values` (keys, width) by the weights of one head into `mixed` (queries, width), stride mixed_row.
//
// query_lanes (head width, C · LANES): the queries, features before lanes. scores: buffer (keys, C · LANES).
template <int C>
inline void attend(int queries, const float* query_lanes, const float* key_rows, size_t key_row, int head_width,
                   const float* values, size_t value_row, int width, const int32_t* limits, float* scores, float* mixed,
                   size_t mixed_row) {
    int keys = limits[0], least = limits[0];
    for (int i = 1; i < C * LANES; i++) {
        keys = limits[i] > keys ? limits[i] : keys;
        least = limits[i] < least ? limits[i] : least;
    }
    multiply(keys, {key_rows, key_row, 1}, query_lanes, C * LANES, head_width, C * LANES, nullptr, scores, C * LANES);
    alignas(64) float sums[C * LANES];
    powers_of_scores<C>(scores, keys, limits, least, sums);
    multiply(queries, {scores, 1, C * LANES}, values, value_row, keys, width, nullptr, mixed, mixed_row);
    for (int i = 0; i < queries; i++) {
        const vec share = all(1.0f / sums[i]);
        float* row = mixed + i * mixed_row;
        for (int j = 0; j < width; j += LANES) store(row + j, load(row + j) * share);
    }
}

}  // namespace
