// Products of small matrices. One kernel: a tile of a few rows and two registers of columns, kept in registers over the
// whole inner dimension.
//
// Widths are multiples of 16, the number of rows is arbitrary; rows are divided evenly among tiles, so 14 rows are one
// tile of 14 or two of 7, never 12 and 2.
#pragma once

#include "model.h"
#include "vector.h"

namespace {

constexpr int PANEL = 32;

// A (rows, inner) factor of a product; either dimension may be the contiguous one.
struct Factor {
    const float* at;
    size_t row, inner;  // strides
};

// c (R, C registers) = a · b (+ bias), with a stride of b_row between rows of b.
template <int R, int C>
inline void tile(Factor a, const float* b, size_t b_row, int inner, const float* bias, float* c, size_t c_row) {
    vec sums[R][C];
    for (int j = 0; j < C; j++) {
        const vec start = bias ? load(bias + j * LANES) : vec{};
        for (int i = 0; i < R; i++) sums[i][j] = start;
    }
    for (int k = 0; k < inner; k++) {
        vec row[C];
        for (int j = 0; j < C; j++) row[j] = load(b + k * b_row + j * LANES);
        for (int i = 0; i < R; i++) {
            const float factor = a.at[i * a.row + k * a.inner];
            for (int j = 0; j < C; j++) sums[i][j] += factor * row[j];
        }
    }
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) store(c + i * c_row + j * LANES, sums[i][j]);
}

// Dispatches a number of rows known at run time to the tile of that height; R counts down to it.
template <int R, int C>
inline void tile_of(int rows, Factor a, const float* b, size_t b_row, int inner, const float* bias, float* c,
                    size_t c_row) {
    if constexpr (R > 1) {
        if (rows < R) return tile_of<R - 1, C>(rows, a, b, b_row, inner, bias, c, c_row);
    }
    tile<R, C>(a, b, b_row, inner, bias, c, c_row);
}

// Any number of rows, C registers of columns.
template <int C>
__attribute__((noinline)) void column_of_tiles(int rows, Factor a, const float* b, size_t b_row, int inner,
                                               const float* bias, float* c, size_t c_row) {
    const int tiles = (rows + ROWS - 1) / ROWS;
    for (int t = 0, from = 0; t < tiles; t++) {
        const int to = static_cast<int>(static_cast<int64_t>(rows) * (t + 1) / tiles);
        const Factor part = {a.at + from * a.row, a.row, a.inner};
        tile_of<ROWS, C>(to - from, part, b, b_row, inner, bias, c + from * c_row, c_row);
        from = to;
    }
}

// c (rows, columns) = a · b (+ bias); columns is a multiple of LANES.
inline void multiply(int rows, Factor a, const float* b, size_t b_row, int inner, int columns, const float* bias,
                     float* c, size_t c_row) {
    int j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES)
        column_of_tiles<2>(rows, a, b + j, b_row, inner, bias ? bias + j : nullptr, c + j, c_row);
    if (j < columns) column_of_tiles<1>(rows, a, b + j, b_row, inner, bias ? bias + j : nullptr, c + j, c_row);
}

// y (rows, outputs) from x (rows, inputs), both contiguous.
inline void apply(const Linear& linear, int rows, const float* x, float* y) {
    const Factor factor = {x, static_cast<size_t>(linear.inputs), 1};
    for (int j = 0; j < linear.outputs; j += PANEL) {
        const int columns = linear.outputs - j < PANEL ? linear.outputs - j : PANEL;
        multiply(rows, factor, linear.weight + static_cast<size_t>(j) * linear.inputs, columns, linear.inputs, columns,
                 linear.bias ? linear.bias + j : nullptr, y + j, linear.outputs);
    }
}

}  // namespace
