// The encoder `cone`: the top block reads few positions, so the block below computes only these.
#pragma once

#include "block.h"

namespace {

// Lists the positions that the last one reads: itself, the newest, distances of powers of two, the oldest.
inline int list_last_positions(int length, int window, int32_t* positions) {
    const int last = length - 1;
    int count = 0;
    for (int distance = 0; distance < window && distance <= last; distance++) positions[count++] = last - distance;
    for (int64_t distance = 1; distance <= last; distance *= 2)
        if (distance >= window) positions[count++] = last - static_cast<int>(distance);
    if (positions[count - 1] != 0) positions[count++] = 0;  // positions fall, so only the last entry can be the oldest
    return count;
}

// (length, dim) in s.rows → (dim) before the final norm.
inline const float* run_cone(const Model& model, int length, Scratch& s) {
    const int below = model.layers - 2;
    for (int layer = 0; layer < below; layer++)
        run_block(model, model.blocks[layer], {s.rows, length, nullptr, nullptr, length, true}, s, s.rows);
    const int count = list_last_positions(length, model.window, s.positions);
    run_block(model, model.blocks[below], {s.rows, length, nullptr, s.positions, count, true}, s, s.selected);
    run_block(model, model.blocks[below + 1], {s.selected, count, s.positions, nullptr, 1, false}, s, s.rows);
    return s.rows;
}

}  // namespace
