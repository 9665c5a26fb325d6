// Merges the best items of a catalogue with the scores of all items that follow it.
#pragma once

#include <cstdint>

namespace {

// Inserts those of `added` items, from `first`, that are eligible and better than the last of the top k.
//
// Items of the top k have lower indices than `first`, so they precede new items of equal score.
template <typename Eligible>
inline void merge_new(const float* new_scores, int64_t added, int64_t first, const Eligible& is_item_eligible,
                      float* scores, int64_t* items, int k) {
    for (int64_t number = 0; number < added; number++) {
        const float score = new_scores[number];
        if (!(score > scores[k - 1]) || !is_item_eligible(first + number)) continue;
        int at = k - 1;
        for (; at > 0 && scores[at - 1] < score; at--) scores[at] = scores[at - 1], items[at] = items[at - 1];
        scores[at] = score, items[at] = first + number;
    }
}

}  // namespace
