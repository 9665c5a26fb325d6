// A catalogue of product codes, and what is asked of it: the C interface of scans, as models/native/layout.py has it.
#pragma once

#include <cstdint>

// Item i, from 1 on, has its codes at codes + i · code_bytes: a byte each, or packed four in three bytes.
struct Codes {
    const uint8_t* codes;
    int64_t num_items;
    int32_t splits, codebook, code_bytes, are_packed;
};

// The k best items for each of `count` queries.
struct Questions {
    const float* products;         // (count, splits · codebook): a query by every piece
    const int64_t* denied;         // items that are not answered, rising for each query
    const int64_t* denied_starts;  // (count + 1): which of them are whose
    const uint8_t* const* allowed; // (count) masks of num_items + 1 bytes, null for everything; or null
    int32_t count, k;
};

// The same catalogue by blocks of 64 items: models/native/scan_blocks.h says how they lie.
struct Blocks {
    const uint8_t* blocks;  // (num_blocks, splits, 48)
    const int32_t* items;   // (num_blocks · 64): which item stands where, 0 for none; or null, and place i is item i
    const int64_t* starts;  // (num_lists + 1): the first block of each list; or null
    int64_t num_items, num_blocks, num_lists;
    int32_t splits, codebook;
};

namespace {

inline bool is_answerable(const Questions& asked, int query, int64_t item) {
    if (asked.allowed && asked.allowed[query] && !asked.allowed[query][item]) return false;
    int64_t low = asked.denied_starts[query], high = asked.denied_starts[query + 1];
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (asked.denied[middle] == item) return false;
        if (asked.denied[middle] < item) low = middle + 1;
        else high = middle;
    }
    return true;
}

}  // namespace
