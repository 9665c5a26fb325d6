// The functions of the library, compiled for one instruction set (a level), and the levels that this processor can run.
#pragma once

#include "model.h"
#include "scan.h"

struct Level {
    const char* name;
    int64_t (*workspace)(const Model& model);  // floats that one thread needs for a history of max_len
    // The hidden vector (dim) after a history of 1 to max_len items; times may be null.
    void (*encode)(const Model& model, const int64_t* items, const uint32_t* times, uint32_t request_time, int length,
                   float* work, float* out);
    int64_t (*codes_workspace)(const Codes& table);  // floats
    void (*scan_codes)(const Codes& table, const Queries& queries, float* work, float* scores, int64_t* items);
    int64_t (*blocks_workspace)(const Blocks& table, int64_t count, int64_t nprobe);  // floats
    void (*scan_blocks)(const Blocks& table, const Queries& queries, const int32_t* lists, int nprobe, float* work,
                        float* scores, int64_t* items);
};

// Level `number` of those that this processor can run, 0 the fastest; null past the last.
const Level* get_level(int number);
