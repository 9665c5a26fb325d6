// The encoder `self_attention` with rotary positions: all blocks but the last compute all positions, the last one only
// the final position.
#pragma once

#include "block.h"

namespace {

// (length, dim) in s.rows → (dim) before the final norm.
inline const float* run_dense(const Model& model, int length, Scratch& s) {
    const int top = model.layers - 1;
    for (int layer = 0; layer < top; layer++)
        run_block(model, model.blocks[layer], {s.rows, length, nullptr, nullptr, length, true}, s, s.rows);
    const int32_t last = length - 1;
    run_block(model, model.blocks[top], {s.rows, length, nullptr, &last, 1, true}, s, s.selected);
    return s.selected;
}

}  // namespace
