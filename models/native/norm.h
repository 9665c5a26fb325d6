// Layer norm without its weights, which are folded into the following linear layer.
#pragma once

#include "vector.h"

namespace {

// (dim) → (dim) of mean 0 and variance 1; y may be x.
inline void normalize(const float* x, int dim, float epsilon, float* y) {
    vec total = vec{};
    for (int i = 0; i < dim; i += LANES) total += load(x + i);
    const float mean = sum(total) / dim;
    vec squares = vec{};
    for (int i = 0; i < dim; i += LANES) {
        const vec centered = load(x + i) - mean;
        squares += centered * centered;
    }
    const float factor = 1.0f / __builtin_sqrtf(sum(squares) / dim + epsilon);
    for (int i = 0; i < dim; i += LANES) store(y + i, (load(x + i) - mean) * factor);
}

inline void normalize_rows(const float* x, int rows, int dim, float epsilon, float* y) {
    for (int row = 0; row < rows; row++) normalize(x + row * dim, dim, epsilon, y + row * dim);
}

}  // namespace
