// The encoder `cone`: the top block sees few places, so the block under it computes these and no others.
#pragma once

#include "block.h"

namespace {

// What the short-term mask shows to the last place: itself first, the newest, powers of two behind them, the oldest.
inline int places_of_last(int length, int window, int32_t* places) {
    const int last = length - 1;
    int count = 0;
    for (int distance = 0; distance < window && distance <= last; distance++) places[count++] = last - distance;
    for (int64_t distance = 1; distance <= last; distance *= 2)
        if (distance >= window) places[count++] = last - static_cast<int>(distance);
    if (places[count - 1] != 0) places[count++] = 0;  // places fall, so only the last of them can be the oldest
    return count;
}

// (length, dim) in s.rows → (dim) before the last norm.
inline const float* run_cone(const Model& model, int length, Scratch& s) {
    const int under = model.layers - 2;
    for (int layer = 0; layer < under; layer++)
        run_block(model, model.blocks[layer], {s.rows, length, nullptr, nullptr, length, true}, s, s.rows);
    const int count = places_of_last(length, model.window, s.places);
    run_block(model, model.blocks[under], {s.rows, length, nullptr, s.places, count, true}, s, s.fewer);
    run_block(model, model.blocks[under + 1], {s.fewer, count, s.places, nullptr, 1, false}, s, s.rows);
    return s.rows;
}

}  // namespace
