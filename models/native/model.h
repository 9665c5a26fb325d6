// A model as sizes and pointers to packed weights. This is the C interface: models/native/layout.py has the same fields
// in the same order, and nextup_layout() detects a library that was built from other headers.
//
// The caller owns all memory. Pointers to floats are aligned to 64 bytes.
#pragma once

#include <cstdint>

// y = W x + bias. The weight is transposed, in panels of 32 outputs (the last may have 16): all inputs of panel 0, 32
// numbers for each, then those of panel 1.
struct Linear {
    const float* weight;
    const float* bias;
    int32_t inputs, outputs;  // outputs: a multiple of 16
};

// A pre-norm transformer block. The weights of norms are folded into the linear layers that follow them.
struct Block {
    Linear query;    // outputs scaled by log2(e) / sqrt(head width), so that weights are powers of two
    Linear key;      // query and key: per head first all even features, then all odd ones
    Linear value;    // per head value_width columns, zero past the head width
    Linear out;      // from the columns of value
    Linear folded;   // heads · dim → dim: value and out in one, for normed vectors that are mixed before projection
    Linear attention_gate, feed_forward_gate;  // null weight: no gate
    Linear wide, narrow;                       // gated: SiLU of wide's first half times its second; else GELU
    float attention_epsilon, feed_forward_epsilon;
};

struct Model {
    const Block* blocks;
    const float* vectors;     // (num_items + 1, dim); with codes (num_subspaces · codebook_size, dim / num_subspaces)
    const uint8_t* codes;     // (num_items + 1, code_bytes); null: `vectors` is the full table
    const float* intervals;   // (34, dim) or null
    const float* periods;     // (num_periods + 1, dim) or null
    const int64_t* boundaries;  // (num_periods − 1) seconds, not falling
    const float* request_intervals;  // (34, dim), of the time until the next event; or null
    const float* request_periods;    // (num_periods + 1, dim), of the next event; or null
    const float* cos;         // (max_len, dim / heads / 2)
    const float* sin;
    const float* norm_weight;
    const float* norm_bias;
    int64_t num_items;
    int32_t dim, heads, value_width, hidden, max_len, layers;
    int32_t num_subspaces, codebook_size, code_bytes, codes_are_packed;
    int32_t is_cone, window, num_periods, longest_interval;
    float scale, norm_epsilon;
};
