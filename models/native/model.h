// What a model is to this library: sizes and pointers to packed weights. It is the C interface: models/native/layout.py
// has the same fields in the same order, and nextup_layout() tells a library that was built from others.
//
// Whoever calls owns all memory. Pointers to floats are aligned to 64 bytes.
#pragma once

#include <cstdint>

// y = W x + bias. The weight stands transposed, in panels of 32 outputs (the last may have 16): first all inputs of
// panel 0, 32 numbers for each, then those of panel 1.
struct Linear {
    const float* weight;
    const float* bias;
    int32_t inputs, outputs;  // outputs: a multiple of 16
};

// A pre-norm transformer block. The norms' own weights are folded into the linears behind them.
struct Block {
    Linear query;    // its outputs scaled by log2(e) / sqrt(head width), so that weights are powers of two
    Linear key;      // queries and keys: per head first all even features, then all odd ones
    Linear value;    // per head value_width columns, zero beyond the head
    Linear out;      // from those
    Linear folded;   // heads · dim → dim: value and out in one, for normed vectors mixed before they are projected
    Linear attention_gate, feed_forward_gate;  // no weight: no gate
    Linear wide, narrow;                       // gated: wide gives a gate through SiLU, and what it weighs; else GELU
    float attention_epsilon, feed_forward_epsilon;
};

struct Model {
    const Block* blocks;
    const float* vectors;     // (num_items + 1, dim), or pieces of vectors (splits · codebook, dim / splits)
    const uint8_t* codes;     // (num_items + 1, code_bytes) names of pieces; none: vectors are whole
    const float* intervals;   // (34, dim) or none
    const float* cos;         // (max_len, dim / heads / 2)
    const float* sin;
    const float* norm_weight;
    const float* norm_bias;
    int64_t num_items;
    int32_t dim, heads, value_width, hidden, max_len, layers;
    int32_t splits, codebook, code_bytes, codes_are_packed;
    int32_t is_cone, window;
    float scale, norm_epsilon;
};
