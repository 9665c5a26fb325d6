// Picks items of answers under boosts and limits from the best items of a search: the C interface, as in layout.py.
//
// Compiled once, for all instruction sets: a query reads a few dozen items.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

// Rules of one query. The values of item i are at numbers + places[i]: how many there are, then the number of each.
struct Rules {
    const uint8_t* classes;  // (num_items + 1): class of boosts of each item; null: the best items come in order
    const double* bonuses;   // (classes), at least one
    const int32_t* places;   // (num_items + 1), 0 for an item whose values are not there; null without limits
    const int32_t* numbers;
    const int32_t* fields;   // (num_values): field of each value
    const int32_t* limits;   // (fields): most items of an answer per value, at least 1
    const uint8_t* const* members;  // (num_values): mask (num_items + 1) of the items with each value, null if unknown
    double largest;          // bonus
    int64_t num_items;
    int32_t num_values, num_numbers;  // items whose place is behind `numbers` are not known
};

// Answers of a batch, each with room for k items, of which it has `lengths` and needs `needed`.
struct Answers {
    int64_t* items;         // (count, k)
    double* scores;         // (count, k)
    int32_t* used_up;       // (count, MOST_USED_UP): values of which it has enough, as far as there is room, then −1
    int32_t* lengths;       // (count)
    const int32_t* needed;  // (count), at most k
    uint8_t* is_whole;      // (count): whether it has all items that it needs, or all that are eligible
    int32_t count, k;
};

namespace {

constexpr int MOST_USED_UP = 32;

struct Scored {
    double score;
    int64_t item;
};

// Counts of the values of one answer; all are zero between two answers.
class ValueCounts {
  public:
    ValueCounts(const Rules& rules, std::vector<int32_t>& counts) : rules_(rules), counts_(counts) {
        if (rules.places && counts.size() < static_cast<size_t>(rules.num_values)) counts.resize(rules.num_values);
    }

    bool allows(int64_t item) const {
        if (!rules_.places) return true;
        const int32_t* values = rules_.numbers + rules_.places[item];
        for (int i = 1; i <= values[0]; i++)
            if (is_used_up(values[i])) return false;
        return true;
    }

    void add(int64_t item) {
        if (!rules_.places) return;
        const int32_t* values = rules_.numbers + rules_.places[item];
        for (int i = 1; i <= values[0]; i++) counts_[values[i]]++;
    }

    // Writes the values of an answer that are used up, and sets all counts to zero.
    void clear(const int64_t* items, int length, int32_t* used_up) {
        int size = 0;
        for (int at = 0; rules_.places && at < length; at++) {
            const int32_t* values = rules_.numbers + rules_.places[items[at]];
            for (int i = 1; i <= values[0]; i++) {
                if (is_used_up(values[i]) && size < MOST_USED_UP) used_up[size++] = values[i];
                counts_[values[i]] = 0;
            }
        }
        for (; size < MOST_USED_UP; size++) used_up[size] = -1;
    }

  private:
    bool is_used_up(int32_t value) const { return counts_[value] >= rules_.limits[rules_.fields[value]]; }

    const Rules& rules_;
    std::vector<int32_t>& counts_;
};

// Whether the rules have what they must have of an item.
inline bool is_known(const Rules& rules, int64_t item) {
    if (item < 1 || item > rules.num_items) return false;
    return !rules.places || (rules.places[item] > 0 && rules.places[item] < rules.num_numbers);
}

// Adds the items of a pool to an answer, best first, unless an item behind the pool may be better.
//
// The pool has `depth` items, 0 past the last eligible one, which the rules know; `scored` has room for all of them.
inline void pick(const Rules& rules, const int64_t* pool_items, const float* pool_scores, int depth, int64_t row,
                 const Answers& answers, Scored* scored, std::vector<int32_t>& counts) {
    int64_t* items = answers.items + row * answers.k;
    double* scores = answers.scores + row * answers.k;
    int32_t& length = answers.lengths[row];
    ValueCounts values(rules, counts);
    for (int i = 0; i < length; i++) values.add(items[i]);
    int size = 0;
    for (; size < depth && pool_items[size]; size++) {
        const double bonus = rules.bonuses[rules.classes ? rules.classes[pool_items[size]] : 0];
        scored[size] = {pool_scores[size] + bonus, pool_items[size]};
    }
    if (rules.classes)
        std::sort(scored, scored + size, [](const Scored& a, const Scored& b) {
            return a.score > b.score || (a.score == b.score && a.item < b.item);
        });
    const bool has_bound = rules.classes && size == depth;
    const double bound = has_bound ? pool_scores[depth - 1] + rules.largest : 0;
    for (int i = 0; i < size && length < answers.needed[row]; i++) {
        if (has_bound && !(scored[i].score > bound)) break;
        if (!values.allows(scored[i].item)) continue;
        values.add(scored[i].item);
        items[length] = scored[i].item, scores[length++] = scored[i].score;
    }
    answers.is_whole[row] = length == answers.needed[row] || size < depth;
    values.clear(items, length, answers.used_up + row * MOST_USED_UP);
}

}  // namespace
