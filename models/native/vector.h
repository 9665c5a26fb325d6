// A vector of floats as wide as the processor's registers, and its basic operations.
//
// LANES (floats in a register) and ROWS (rows of a matrix tile) come from the build, which compiles the library once
// per instruction set. This header and all that include it use an anonymous namespace and no templates of the standard
// library: the linker may merge functions with external linkage, and a copy compiled for a newer processor would crash
// on an older one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float unaligned_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

inline vec load(const float* from) { return *reinterpret_cast<const unaligned_vec*>(from); }

inline void store(float* to, vec value) { *reinterpret_cast<unaligned_vec*>(to) = value; }

inline vec all(float value) { return vec{} + value; }

inline vec greater_of(vec a, vec b) { return a > b ? a : b; }

// By quarters of four, then across: one chain of LANES additions would stall the pipeline.
inline float sum(vec value) {
    typedef float four __attribute__((vector_size(16)));
    four parts[LANES / 4];
    __builtin_memcpy(parts, &value, sizeof parts);
    for (int step = LANES / 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) parts[i] += parts[i + step];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

}  // namespace
