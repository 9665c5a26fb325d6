// Product-quantization codes and queries over them: the C interface of scans, as in models/native/layout.py.
#pragma once

#include <cstdint>

// Item i, from 1, has its codes at codes + i · code_bytes: a byte each, or four packed in three bytes.
struct Codes {
    const uint8_t* codes;
    int64_t num_items;
    int32_t num_subspaces, codebook_size, code_bytes, are_packed;
};

// A search for the top k of each of `count` queries.
struct Queries {
    const float* lookup_tables;         // (count, num_subspaces · codebook_size): query by centroid
    const int64_t* excluded;            // items to filter out, rising within each query
    const int64_t* excluded_starts;     // (count + 1): where the items of each query begin
    const uint8_t* const* allow_masks;  // (count) masks of num_items + 1 bytes, null to allow all; or null
    int32_t count, k;
};

// The same catalogue in blocks of 64 items, laid out as described in models/native/scan_blocks.h.
//
// A codebook of more than 64 centroids is cut into 64 groups of four: blocks hold groups of items, `codes` the codes.
struct Blocks {
    const uint8_t* blocks;  // (num_blocks, num_subspaces, 48)
    const int32_t* items;   // (num_blocks · 64): the item in each slot, 0 for none; null if slot i holds item i
    const int64_t* starts;  // (num_lists + 1): the first block of each list; or null
    const uint8_t* codes;   // (num_items + 1, num_subspaces), with `groups` only
    const uint8_t* groups;  // (num_subspaces, 64, 4): codes of each group, some more than once; or null
    int64_t num_items, num_blocks, num_lists;
    int32_t num_subspaces, codebook_size;
};

namespace {

inline bool is_allowed(const Queries& queries, int query, int64_t item) {
    return !queries.allow_masks || !queries.allow_masks[query] || queries.allow_masks[query][item];
}

inline int64_t count_allowed(const uint8_t* mask, int64_t num_items) {
    int64_t count = 0;
    for (int64_t item = 1; item <= num_items; item++) count += mask[item];
    return count;
}

// Calls `visit` with the items that a mask allows, in rising order; skips eight at a time.
template <typename Visit>
inline void for_each_allowed(const uint8_t* mask, int64_t num_items, const Visit& visit) {
    int64_t item = 1;
    for (; item + 8 <= num_items + 1; item += 8) {
        uint64_t word;
        __builtin_memcpy(&word, mask + item, 8);
        if (!word) continue;
        for (int i = 0; i < 8; i++)
            if (mask[item + i]) visit(item + i);
    }
    for (; item <= num_items; item++)
        if (mask[item]) visit(item);
}

inline bool is_eligible(const Queries& queries, int query, int64_t item) {
    if (!is_allowed(queries, query, item)) return false;
    int64_t low = queries.excluded_starts[query], high = queries.excluded_starts[query + 1];
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (queries.excluded[middle] == item) return false;
        if (queries.excluded[middle] < item) low = middle + 1;
        else high = middle;
    }
    return true;
}

}  // namespace
