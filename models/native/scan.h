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
