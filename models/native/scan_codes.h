// The best items of a catalogue of product codes, without the scores of the others ever being written.
//
// An item's score is the sum of one product per split. With some queries a lane is a query: the products stand with all
// queries of a piece together, and an item adds up rows of them. With one or two, items are added up one by one.
#pragma once

#include "matrix.h"
#include "scan.h"
#include "top.h"

namespace {

constexpr int ITEMS = 16;         // between two looks at the thresholds
constexpr int SCANNED = 2 * LANES;  // queries at a time
constexpr int FEW = 2;

// Codes of item `item` as places in a table of `step` numbers per piece.
inline void piece_places(const Codes& table, int64_t item, int step, int32_t* places) {
    const uint8_t* codes = table.codes + item * table.code_bytes;
    const int32_t next = table.codebook * step;
    int32_t start = 0;
    if (!table.are_packed) {
        for (int split = 0; split < table.splits; split++, start += next) places[split] = start + codes[split] * step;
        return;
    }
    for (int split = 0; split < table.splits; split += 4, codes += 3) {
        const uint32_t word = codes[0] | codes[1] << 8 | codes[2] << 16;
        for (int j = 0; j < 4; j++, start += next)
            places[split + j] = start + static_cast<int32_t>(word >> 6 * j & 63) * step;
    }
}

// Offers what is above its query's threshold; `above` is told anew after a change.
inline void offer(const Questions& asked, int query, float score, int64_t item, Top& top, float& above) {
    if (!(score > above) || !is_answerable(asked, query, item)) return;
    top.offer(score, item);
    above = top.threshold();
}

// Queries from `first`, up to C · LANES of them. `products`: room for (splits · codebook, C · LANES).
template <int C>
inline void scan_lanes(const Codes& table, const Questions& asked, int first, int count, Top* tops, float* products,
                       int32_t* places) {
    constexpr int WIDTH = C * LANES;
    const int pieces = table.splits * table.codebook;
    for (int piece = 0; piece < pieces; piece++)
        for (int lane = 0; lane < WIDTH; lane++)
            products[piece * WIDTH + lane] =
                lane < count ? asked.products[static_cast<size_t>(first + lane) * pieces + piece] : 0.0f;
    alignas(64) float above[WIDTH], sums[ITEMS * WIDTH];
    for (int lane = 0; lane < WIDTH; lane++)  // nothing is above the threshold of a lane without a query
        above[lane] = lane < count ? tops[lane].threshold() : __builtin_inff();
    for (int64_t begin = 1; begin <= table.num_items; begin += ITEMS) {
        const int items = table.num_items + 1 - begin < ITEMS ? static_cast<int>(table.num_items + 1 - begin) : ITEMS;
        vec most[C];
        for (int c = 0; c < C; c++) most[c] = all(-__builtin_inff());
        for (int item = 0; item < items; item++) {
            piece_places(table, begin + item, WIDTH, places);
            vec sum[C] = {};
            for (int split = 0; split < table.splits; split++)
                for (int c = 0; c < C; c++) sum[c] += load(products + places[split] + c * LANES);
            for (int c = 0; c < C; c++) {
                store(sums + item * WIDTH + c * LANES, sum[c]);
                most[c] = greater_of(sum[c], most[c]);
            }
        }
        for (int c = 0; c < C; c++) {
            const ivec found = most[c] > load(above + c * LANES);
            for (int lane = 0; lane < LANES; lane++) {
                const int query = c * LANES + lane;
                if (!found[lane]) continue;
                for (int item = 0; item < items; item++)
                    offer(asked, first + query, sums[item * WIDTH + query], begin + item, tops[query], above[query]);
            }
        }
    }
}

inline void scan_one(const Codes& table, const Questions& asked, int query, Top& top, int32_t* places) {
    const float* products = asked.products + static_cast<size_t>(query) * table.splits * table.codebook;
    float above = top.threshold();
    for (int64_t item = 1; item <= table.num_items; item++) {
        piece_places(table, item, 1, places);
        float sums[4] = {};
        int split = 0;
        for (; split + 4 <= table.splits; split += 4)
            for (int j = 0; j < 4; j++) sums[j] += products[places[split + j]];
        for (; split < table.splits; split++) sums[0] += products[places[split]];
        offer(asked, query, (sums[0] + sums[1]) + (sums[2] + sums[3]), item, top, above);
    }
}

inline int64_t scan_workspace(const Codes& table) {
    return static_cast<int64_t>(table.splits) * table.codebook * SCANNED + (table.splits + 15) / 16 * 16;
}

// scores and items (count, k), best first.
inline void scan_codes(const Codes& table, const Questions& asked, float* work, float* scores, int64_t* items) {
    int32_t* places = reinterpret_cast<int32_t*>(work);
    float* products = work + (table.splits + 15) / 16 * 16;
    for (int first = 0; first < asked.count; first += SCANNED) {
        const int count = asked.count - first < SCANNED ? asked.count - first : SCANNED;
        Top tops[SCANNED];
        for (int i = 0; i < count; i++) {
            const size_t at = static_cast<size_t>(first + i) * asked.k;
            tops[i] = {scores + at, items + at, asked.k, 0};
        }
        if (count <= FEW)
            for (int i = 0; i < count; i++) scan_one(table, asked, first + i, tops[i], places);
        else if (count <= LANES)
            scan_lanes<1>(table, asked, first, count, tops, products, places);
        else
            scan_lanes<2>(table, asked, first, count, tops, products, places);
        for (int i = 0; i < count; i++) tops[i].sort();
    }
}

}  // namespace
