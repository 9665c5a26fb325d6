// A pre-norm transformer block, computed for selected target rows: with gates and SwiGLU, or plain with GELU.
#pragma once

#include "norm.h"
#include "rotary.h"
#include "scratch.h"

namespace {

// Rows of a history, and the target rows that a block computes.
struct BlockInput {
    const float* rows;         // (count, dim)
    int count;
    const int32_t* positions;  // (count) position of each row in the history; null if row i has position i
    const int32_t* targets;    // (target_count) target rows; null for the first ones
    int target_count;
    bool causal;               // a target sees the rows up to itself, else all of them

    int target_row(int number) const { return targets ? targets[number] : number; }
    int position(int row) const { return positions ? positions[row] : row; }
};

// x ← x + σ(gate(x)) ⊙ change, or x + change for a block without gates.
inline void join(const Linear& gate, int rows, int dim, const float* change, float* buffer, float* x) {
    const int size = rows * dim;
    if (!gate.weight) {
        for (int i = 0; i < size; i += LANES) store(x + i, load(x + i) + load(change + i));
        return;
    }
    apply(gate, rows, x, buffer);
    for (int i = 0; i < size; i += LANES) store(x + i, load(x + i) + sigmoid(load(buffer + i)) * load(change + i));
}

inline void feed_forward(const Model& model, const Block& block, int rows, Scratch& s, float* x) {
    normalize_rows(x, rows, model.dim, block.feed_forward_epsilon, s.target_normed);
    apply(block.wide, rows, s.target_normed, s.wide);
    const int hidden = model.hidden;
    if (block.wide.outputs == 2 * hidden) {
        for (int row = 0; row < rows; row++) {  // from (rows, 2 · hidden) to (rows, hidden), in place
            const float* both = s.wide + static_cast<size_t>(row) * 2 * hidden;
            float* to = s.wide + static_cast<size_t>(row) * hidden;
            for (int i = 0; i < hidden; i += LANES) store(to + i, silu(load(both + i)) * load(both + hidden + i));
        }
    } else {
        for (int i = 0; i < rows * hidden; i += LANES) store(s.wide + i, gelu(load(s.wide + i)));
    }
    apply(block.narrow, rows, s.wide, s.narrow);
    join(block.feed_forward_gate, rows, model.dim, s.narrow, s.gate, x);
}

// Attends with up to C · LANES rotated queries (rows, dim), and writes the mixture of every head to `mixed`.
template <int C>
inline void attend_heads(const Model& model, int rows, const float* query, bool folded, Scratch& s, float* mixed) {
    const int dim = model.dim, head_width = dim / model.heads, lanes = C * LANES;
    for (int i = 0; i < dim * lanes; i++) s.query_lanes[i] = 0.0f;
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < dim; i++) s.query_lanes[i * lanes + row] = query[row * dim + i];
    const int width = folded ? dim : model.value_width;
    for (int head = 0; head < model.heads; head++) {
        const float* values = folded ? s.normed : s.value + head * width;
        attend<C>(rows, s.query_lanes + head * head_width * lanes, s.key + head * head_width, dim, head_width, values,
                  folded ? dim : model.heads * width, width, s.limits, s.scores, mixed + head * width,
                  model.heads * width);
    }
}

// Whether mixing normed rows and projecting the mixture is cheaper than projecting every row first.
inline bool is_folded_better(const Model& model, const BlockInput& input) {
    const int64_t count = input.count, targets = input.target_count, dim = model.dim;
    const int64_t values = static_cast<int64_t>(model.heads) * model.value_width;
    const int64_t folded = targets * model.heads * dim * (count + dim);
    const int64_t projected = count * values * dim + targets * values * (count + dim);
    return folded < projected;
}

// Computes s.mixed (rows, heads · width) of the targets from `from`, whose normed vectors are in s.target_normed.
inline void attend_chunk(const Model& model, const Block& block, const BlockInput& input, int from, int rows,
                         bool folded, Scratch& s) {
    const int dim = model.dim, width = folded ? dim : model.value_width, row_width = model.heads * width;
    apply(block.query, rows, s.target_normed, s.query);
    for (int first = 0; first < rows; first += QUERIES) {
        const int queries = rows - first < QUERIES ? rows - first : QUERIES;
        float* query = s.query + first * dim;
        for (int i = 0; i < QUERIES; i++) s.limits[i] = 1;  // lanes without a query read one arbitrary key
        for (int i = 0; i < queries; i++) {
            const int row = input.target_row(from + first + i);
            rotate(model, input.position(row), query + i * dim);
            s.limits[i] = input.causal ? row + 1 : input.count;
        }
        const auto attend_with = queries > LANES ? attend_heads<2> : attend_heads<1>;
        attend_with(model, queries, query, folded, s, s.mixed + first * row_width);
    }
}

// Fills out (target_count, dim), which may alias the rows if the targets are the first ones.
inline void run_block(const Model& model, const Block& block, const BlockInput& input, Scratch& s, float* out) {
    const size_t dim = model.dim;
    normalize_rows(input.rows, input.count, model.dim, block.attention_epsilon, s.normed);
    apply(block.key, input.count, s.normed, s.key);
    for (int row = 0; row < input.count; row++) rotate(model, input.position(row), s.key + row * dim);
    const bool folded = is_folded_better(model, input);
    if (!folded) apply(block.value, input.count, s.normed, s.value);
    for (int from = 0; from < input.target_count; from += CHUNK) {
        const int rows = input.target_count - from < CHUNK ? input.target_count - from : CHUNK;
        for (int i = 0; i < rows; i++) {
            const size_t row = input.target_row(from + i);
            __builtin_memcpy(s.target + i * dim, input.rows + row * dim, dim * sizeof(float));
            __builtin_memcpy(s.target_normed + i * dim, s.normed + row * dim, dim * sizeof(float));
        }
        attend_chunk(model, block, input, from, rows, folded, s);
        apply(folded ? block.folded : block.out, rows, s.mixed, s.joined);
        join(block.attention_gate, rows, model.dim, s.joined, s.gate, s.target);
        feed_forward(model, block, rows, s, s.target);
        __builtin_memcpy(out + from * dim, s.target, rows * dim * sizeof(float));
    }
}

}  // namespace
