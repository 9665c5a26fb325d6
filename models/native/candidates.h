// Candidates of one history for a transition memory: a hash table in fixed arrays, so that nothing is allocated.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

constexpr int LOOKBACK = 10, MOST_FOLLOWERS = 64;
constexpr int MOST_CANDIDATES = LOOKBACK * (MOST_FOLLOWERS + 1), MOST_SLOTS = 2048;
static_assert(MOST_SLOTS > MOST_CANDIDATES);

// Candidates of one history, each item once, with the sums of their weights, in a hash table with linear probing.
struct Candidates {
    int64_t items[MOST_CANDIDATES];
    float weights[MOST_CANDIDATES];
    int16_t slots[MOST_SLOTS];  // positions in `items`, −1 where there is none
    int count, mask;

    void clear(int most) {
        count = 0;
        int size = 64;
        while (size < 2 * most && size < MOST_SLOTS) size *= 2;
        mask = size - 1;
        std::memset(slots, -1, size * sizeof(slots[0]));
    }

    // Slot of an item, or the one where it belongs.
    int16_t& locate(int64_t item) {
        uint32_t at = static_cast<uint32_t>(item) * 2654435761u >> 16 & mask;
        while (slots[at] >= 0 && items[slots[at]] != item) at = (at + 1) & mask;
        return slots[at];
    }

    void add(int64_t item, float weight) {
        int16_t& slot = locate(item);
        if (slot >= 0) {
            weights[slot] += weight;
        } else {
            slot = static_cast<int16_t>(count);
            items[count] = item, weights[count++] = weight;
        }
    }
};

}  // namespace
