// Rotary positions on rows whose heads are laid out as all even features, then all odd ones.
#pragma once

#include "model.h"
#include "vector.h"

namespace {

// Rotates one row (heads · 2 · half) by its position, in place.
inline void rotate(const Model& model, int position, float* row) {
    const int half = model.dim / model.heads / 2;
    const float* cos = model.cos + static_cast<size_t>(position) * half;
    const float* sin = model.sin + static_cast<size_t>(position) * half;
    for (int head = 0; head < model.heads; head++) {
        float* even = row + head * 2 * half;
        float* odd = even + half;
        int i = 0;
        for (; i + LANES <= half; i += LANES) {
            const vec a = load(even + i), b = load(odd + i), c = load(cos + i), s = load(sin + i);
            store(even + i, a * c - b * s);
            store(odd + i, a * s + b * c);
        }
        for (; i < half; i++) {
            const float a = even[i], b = odd[i];
            even[i] = a * cos[i] - b * sin[i];
            odd[i] = a * sin[i] + b * cos[i];
        }
    }
}

}  // namespace
