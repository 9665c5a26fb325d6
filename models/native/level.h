// One level of the library, compiled for one kind of processor, and which of them run here.
#pragma once

#include "model.h"
#include "scan.h"

struct Level {
    const char* name;
    int64_t (*workspace)(const Model& model);  // floats that one thread needs for a history of max_len
    // The hidden vector (dim) after a history of 1 to max_len items; times may be null.
    void (*encode)(const Model& model, const int64_t* items, const uint32_t* times, int length, float* work,
                   float* out);
    int64_t (*scan_workspace)(const Codes& table);  // floats
    void (*scan_codes)(const Codes& table, const Questions& asked, float* work, float* scores, int64_t* items);
    int64_t (*blocks_workspace)(const Blocks& table, int64_t count, int64_t probes);  // floats
    void (*scan_blocks)(const Blocks& table, const Questions& asked, const int32_t* lists, int probes, float* work,
                        float* scores, int64_t* items);
};

// The levels this processor can run, the fastest first; null behind the last.
const Level* runnable(int number);
