// A query's lookup table for blocks: upper bounds of groups of codes, and entries rounded to bytes.
#pragma once

#include "block_sums.h"
#include "scan.h"
#include "top.h"
#include "vector.h"

namespace {

constexpr int GROUP_CODES = 4;  // codes of a group

// State of one query: its table, the rounded table and the threshold of a sum of bytes.
struct Reader {
    const float* products;
    const uint8_t* rounded;  // (num_subspaces, LOOKUP)
    Top* top;
    float low, step;  // a score is at most low + step · (sum of bytes) + step / 2 per subspace
    uint16_t least;
    int query;
};

inline void set_least(Reader& reader, int num_subspaces) {
    const float above = reader.top->threshold();
    // One more step for float rounding.
    const float least = (above - reader.low) / reader.step - 0.5f * num_subspaces - 1.0f;
    reader.least = least > 0.0f ? (least < 65535.0f ? static_cast<uint16_t>(least) : 65535) : 0;
}

inline vec smaller_of(vec a, vec b) { return a < b ? a : b; }

// Returns the smallest entry of a subspace's table, and raises `range` to the distance of its largest one.
inline float find_range(const float* products, int codebook_size, float& range) {
    vec least = all(products[0]), most = least;
    int code = 0;
    for (; code + LANES <= codebook_size; code += LANES) {
        const vec some = load(products + code);
        least = smaller_of(some, least), most = greater_of(some, most);
    }
    float low = least[0], high = most[0];
    for (int lane = 1; lane < LANES; lane++)
        low = least[lane] < low ? least[lane] : low, high = most[lane] > high ? most[lane] : high;
    for (; code < codebook_size; code++)
        low = products[code] < low ? products[code] : low, high = products[code] > high ? products[code] : high;
    range = high - low > range ? high - low : range;
    return low;
}

// Takes the largest of the products in each group: (num_subspaces, LOOKUP) upper bounds.
inline void bound_groups(const Blocks& table, const float* products, float* bounds) {
    const uint8_t* codes = table.groups;
    for (int subspace = 0; subspace < table.num_subspaces; subspace++, products += table.codebook_size)
        for (int group = 0; group < LOOKUP; group++, codes += GROUP_CODES) {
            const float first = products[codes[0]], second = products[codes[1]];
            const float third = products[codes[2]], fourth = products[codes[3]];
            const float left = first > second ? first : second, right = third > fourth ? third : fourth;
            *bounds++ = left > right ? left : right;
        }
}

// `lows`: buffer of one number per subspace.
inline void round_products(const float* products, int num_subspaces, int codebook_size, uint8_t* rounded, float* lows,
                           Reader& reader) {
    float low = 0.0f, range = 0.0f;
    for (int subspace = 0; subspace < num_subspaces; subspace++)
        low += lows[subspace] = find_range(products + subspace * codebook_size, codebook_size, range);
    reader.low = low, reader.step = range > 0.0f ? range / MAX_BYTE : 1.0f;
    const float steps = 1.0f / reader.step;
    for (int subspace = 0; subspace < num_subspaces; subspace++) {
        const float* from = products + subspace * codebook_size;
        uint8_t* to = rounded + subspace * LOOKUP;
        for (int code = 0; code < codebook_size; code++)  // at most MAX_BYTE + 0.5, up to float rounding
            to[code] = static_cast<uint8_t>(static_cast<int32_t>((from[code] - lows[subspace]) * steps + 0.5f));
        for (int code = codebook_size; code < LOOKUP; code++) to[code] = 0;
    }
    reader.rounded = rounded;
}

}  // namespace
