// Top k of a stream of scored items: a heap with the worst on top, in the caller's arrays.
//
// Ties are ordered by item, the lower first, in whatever order items arrive.
#pragma once

#include <cstdint>

namespace {

struct Top {
    float* scores;
    int64_t* items;
    int k, count;

    // Score that an item must reach to enter; if items arrive in rising order, it must exceed it.
    float threshold() const { return count < k ? -__builtin_inff() : scores[0]; }

    void offer(float score, int64_t item) {
        if (count < k) {
            int at = count++;
            for (; at > 0 && worse(score, item, (at - 1) / 2); at = (at - 1) / 2) put(at, (at - 1) / 2);
            scores[at] = score, items[at] = item;
        } else if (!worse(score, item, 0)) {
            sink(score, item, count);
        }
    }

    // Sorts the heap by falling score; unused entries get item 0 and −inf.
    void sort() {
        for (int last = count - 1; last > 0; last--) {
            const float score = scores[last];
            const int64_t item = items[last];
            put(last, 0);
            sink(score, item, last);
        }
        for (int at = count; at < k; at++) scores[at] = -__builtin_inff(), items[at] = 0;
    }

   private:
    bool worse(float score, int64_t item, int than) const {
        return score < scores[than] || (score == scores[than] && item > items[than]);
    }

    void put(int at, int from) { scores[at] = scores[from], items[at] = items[from]; }

    // Replaces the top among the first `size` entries.
    void sink(float score, int64_t item, int size) {
        int at = 0;
        for (int child = 1; child < size; child = 2 * at + 1) {
            if (child + 1 < size && worse(scores[child + 1], items[child + 1], child)) child++;
            if (worse(score, item, child)) break;  // the worst of the three
            put(at, child), at = child;
        }
        scores[at] = score, items[at] = item;
    }
};

}  // namespace
