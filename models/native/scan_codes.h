// Top k of a catalogue of product-quantization codes; scores of other items are never written.
//
// An item's score is the sum of one table entry per subspace. With several queries a lane is a query: entries of one
// centroid are contiguous over all queries, and an item sums rows of them. One or two queries, and those whose mask
// allows few items, sum item by item, and read the codes of allowed items only.
#pragma once

#include "matrix.h"
#include "scan.h"
#include "top.h"

namespace {

constexpr int ITEMS = 16;           // between two comparisons with the thresholds
constexpr int SCANNED = 2 * LANES;  // queries at a time
constexpr int FEW = 2;
constexpr int SPARSE = 16;  // a mask that allows fewer items than one in so many is scanned alone
constexpr int AHEAD = 32;

// Codes of `item` as offsets into a table of `step` numbers per centroid.
inline void compute_offsets(const Codes& table, int64_t item, int step, int32_t* offsets) {
    const uint8_t* codes = table.codes + item * table.code_bytes;
    const int32_t next = table.codebook_size * step;
    int32_t start = 0;
    if (!table.are_packed) {
        for (int i = 0; i < table.num_subspaces; i++, start += next) offsets[i] = start + codes[i] * step;
        return;
    }
    for (int i = 0; i < table.num_subspaces; i += 4, codes += 3) {
        const uint32_t word = codes[0] | codes[1] << 8 | codes[2] << 16;
        for (int j = 0; j < 4; j++, start += next)
            offsets[i + j] = start + static_cast<int32_t>(word >> 6 * j & 63) * step;
    }
}

// Offers a score above its query's threshold, and updates the threshold `above`.
inline void offer(const Queries& queries, int query, float score, int64_t item, Top& top, float& above) {
    if (!(score > above) || !is_eligible(queries, query, item)) return;
    top.offer(score, item);
    above = top.threshold();
}

// Up to C · LANES queries from `first`. `products`: buffer (num_subspaces · codebook_size, C · LANES).
template <int C>
inline void scan_lanes(const Codes& table, const Queries& queries, int first, int count, Top* tops, float* products,
                       int32_t* offsets) {
    constexpr int WIDTH = C * LANES;
    const int table_size = table.num_subspaces * table.codebook_size;
    for (int centroid = 0; centroid < table_size; centroid++)
        for (int lane = 0; lane < WIDTH; lane++)
            products[centroid * WIDTH + lane] =
                lane < count ? queries.lookup_tables[static_cast<size_t>(first + lane) * table_size + centroid] : 0.0f;
    alignas(64) float above[WIDTH], sums[ITEMS * WIDTH];
    for (int lane = 0; lane < WIDTH; lane++)  // nothing is above the threshold of a lane without a query
        above[lane] = lane < count ? tops[lane].threshold() : __builtin_inff();
    for (int64_t begin = 1; begin <= table.num_items; begin += ITEMS) {
        const int items = table.num_items + 1 - begin < ITEMS ? static_cast<int>(table.num_items + 1 - begin) : ITEMS;
        vec most[C];
        for (int c = 0; c < C; c++) most[c] = all(-__builtin_inff());
        for (int item = 0; item < items; item++) {
            compute_offsets(table, begin + item, WIDTH, offsets);
            vec sum[C] = {};
            for (int i = 0; i < table.num_subspaces; i++)
                for (int c = 0; c < C; c++) sum[c] += load(products + offsets[i] + c * LANES);
            for (int c = 0; c < C; c++) {
                store(sums + item * WIDTH + c * LANES, sum[c]);
                most[c] = greater_of(sum[c], most[c]);
            }
        }
        for (int c = 0; c < C; c++) {
            const ivec is_above = most[c] > load(above + c * LANES);
            for (int lane = 0; lane < LANES; lane++) {
                const int query = c * LANES + lane;
                if (!is_above[lane]) continue;
                for (int item = 0; item < items; item++)
                    offer(queries, first + query, sums[item * WIDTH + query], begin + item, tops[query], above[query]);
            }
        }
    }
}

// The score of one item; the order of the sum is that of `block_score`.
inline float sum_products(const Codes& table, const float* products, int64_t item, int32_t* offsets) {
    compute_offsets(table, item, 1, offsets);
    float sums[4] = {};
    int i = 0;
    for (; i + 4 <= table.num_subspaces; i += 4)
        for (int j = 0; j < 4; j++) sums[j] += products[offsets[i + j]];
    for (; i < table.num_subspaces; i++) sums[0] += products[offsets[i]];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Reads the codes of the items that the mask of `query` allows, or of all items if it has none.
inline void scan_one(const Codes& table, const Queries& queries, int query, Top& top, int32_t* offsets) {
    const float* products =
        queries.lookup_tables + static_cast<size_t>(query) * table.num_subspaces * table.codebook_size;
    float above = top.threshold();
    const auto read = [&](int64_t item) {
        offer(queries, query, sum_products(table, products, item, offsets), item, top, above);
    };
    const uint8_t* mask = queries.allow_masks ? queries.allow_masks[query] : nullptr;
    if (!mask) {
        for (int64_t item = 1; item <= table.num_items; item++) read(item);
        return;
    }
    int64_t allowed[AHEAD];  // their codes are being fetched while those before them are read
    int count = 0;
    const auto read_allowed = [&] {
        for (int i = 0; i < count; i++) read(allowed[i]);
        count = 0;
    };
    for_each_allowed(mask, table.num_items, [&](int64_t item) {
        __builtin_prefetch(table.codes + item * table.code_bytes);
        allowed[count++] = item;
        if (count == AHEAD) read_allowed();
    });
    read_allowed();
}

inline int64_t codes_workspace(const Codes& table) {
    const int64_t subspaces = table.num_subspaces;
    return subspaces * table.codebook_size * SCANNED + (subspaces + 15) / 16 * 16;
}

// How many queries from `first` are scanned together: one if its mask allows few items.
inline int count_together(const Codes& table, const Queries& queries, int first) {
    const auto is_sparse = [&](int query) {
        const uint8_t* mask = queries.allow_masks ? queries.allow_masks[query] : nullptr;
        return mask && count_allowed(mask, table.num_items) * SPARSE < table.num_items;
    };
    if (queries.count <= FEW) return queries.count;
    int end = first;
    while (end < queries.count && end - first < SCANNED && !is_sparse(end)) end++;
    return end > first ? end - first : 1;
}

// Fills scores and items (count, k), best first.
inline void scan_codes(const Codes& table, const Queries& queries, float* work, float* scores, int64_t* items) {
    int32_t* offsets = reinterpret_cast<int32_t*>(work);
    float* products = work + (table.num_subspaces + 15) / 16 * 16;
    for (int first = 0, count; first < queries.count; first += count) {
        count = count_together(table, queries, first);
        Top tops[SCANNED];
        for (int i = 0; i < count; i++) {
            const size_t at = static_cast<size_t>(first + i) * queries.k;
            tops[i] = {scores + at, items + at, queries.k, 0};
        }
        if (count <= FEW)
            for (int i = 0; i < count; i++) scan_one(table, queries, first + i, tops[i], offsets);
        else if (count <= LANES)
            scan_lanes<1>(table, queries, first, count, tops, products, offsets);
        else
            scan_lanes<2>(table, queries, first, count, tops, products, offsets);
        for (int i = 0; i < count; i++) tops[i].sort();
    }
}

}  // namespace
