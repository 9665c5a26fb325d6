// Answers of a batch under boosts and limits: searches whole pools, and picks from them, until the answers are full.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "level.h"
#include "merge.h"
#include "rules.h"
#include "transitions.h"

// A batch of queries: `queries.k` is the depth of the last search, and allow masks are over trained and new items.
struct RuledBatch {
    Queries queries;
    const int64_t* newest;    // as for nextup_rerank; null without a memory
    const int64_t* lengths;
    const float* hidden;      // (count, dim)
    const float* new_scores;  // (count, num_new): scores of the items behind the catalogue
    int64_t* pools;           // (count, k): the last pool of each query
    int64_t num_new;
    int32_t table_size;       // floats of a lookup table
    int32_t depth;            // of the searches before the last one, at most k
    int32_t num_searches;     // at most so many per query
};

namespace {

// The queries whose answers are not whole, side by side, with their own masks.
class OpenQueries {
  public:
    explicit OpenQueries(const RuledBatch& batch) : batch_(batch), masks_(batch.queries.count) {}

    const Queries& gather(const std::vector<int64_t>& rows, int depth) {
        const Queries& all = batch_.queries;
        tables_.clear(), excluded_.clear(), starts_.assign(1, 0), addresses_.clear();
        for (const int64_t row : rows) {
            const float* table = all.lookup_tables + row * batch_.table_size;
            tables_.insert(tables_.end(), table, table + batch_.table_size);
            excluded_.insert(excluded_.end(), all.excluded + all.excluded_starts[row],
                             all.excluded + all.excluded_starts[row + 1]);
            starts_.push_back(static_cast<int64_t>(excluded_.size()));
            addresses_.push_back(get_mask(row));
        }
        queries_ = {tables_.data(),    excluded_.data(), starts_.data(),
                    addresses_.data(), static_cast<int32_t>(rows.size()), depth};
        return queries_;
    }

    // Excludes the items of an answer, and those with a value that is used up, as far as these are known.
    void restrict(int64_t row, const Rules& rules, const Answers& answers) {
        std::vector<uint8_t>& mask = masks_[row];
        const size_t size = rules.num_items + 1;
        if (mask.empty()) {
            if (const uint8_t* allowed = get_mask(row)) mask.assign(allowed, allowed + size);
            else mask.assign(size, 1);
        }
        for (int i = 0; i < answers.lengths[row]; i++) mask[answers.items[row * answers.k + i]] = 0;
        const int32_t* used_up = answers.used_up + row * MOST_USED_UP;
        for (int i = 0; i < MOST_USED_UP && used_up[i] >= 0; i++) {
            const uint8_t* members = rules.members[used_up[i]];
            for (size_t item = 0; members && item < size; item++) mask[item] &= members[item] ^ 1;
        }
    }

  private:
    const uint8_t* get_mask(int64_t row) const {
        if (!masks_[row].empty()) return masks_[row].data();
        return batch_.queries.allow_masks ? batch_.queries.allow_masks[row] : nullptr;
    }

    const RuledBatch& batch_;
    std::vector<std::vector<uint8_t>> masks_;
    std::vector<float> tables_;
    std::vector<int64_t> excluded_, starts_;
    std::vector<const uint8_t*> addresses_;
    Queries queries_;
};

// Fills answers that are not whole. One stays as it is after a pool with an item whose values are not known.
inline void rank_batch(const Level& level, const Blocks& table, const Transitions* memory, const RuledBatch& batch,
                       const Rules* const* rules, const Answers& answers, float* work) {
    const int k = batch.queries.k;
    std::vector<int64_t> rows, items(static_cast<size_t>(batch.queries.count) * k), heap_items(k);
    std::vector<float> scores(items.size()), heap_scores(k);
    std::vector<Scored> scored(k);
    std::vector<int32_t> counts;
    OpenQueries open(batch);
    for (int64_t row = 0; row < answers.count; row++) {
        if (answers.is_whole[row]) continue;
        rows.push_back(row);
        if (answers.lengths[row]) open.restrict(row, *rules[row], answers);
    }
    for (int search = 0; search < batch.num_searches && !rows.empty(); search++) {
        const int depth = search + 1 < batch.num_searches ? batch.depth : k;
        const Queries& queries = open.gather(rows, depth);
        level.scan_blocks(table, queries, nullptr, 0, work, scores.data(), items.data());
        std::vector<int64_t> rest;
        for (int query = 0; query < queries.count; query++) {
            const int64_t row = rows[query];
            int64_t* pool = items.data() + static_cast<int64_t>(query) * depth;
            float* pool_scores = scores.data() + static_cast<int64_t>(query) * depth;
            if (memory)
                rerank(*memory, queries, query, batch.newest + row * LOOKBACK, batch.lengths[row],
                       batch.hidden + row * memory->dim, heap_scores.data(), heap_items.data(), pool_scores, pool);
            merge_new(batch.new_scores + row * batch.num_new, batch.num_new, table.num_items + 1,
                      [&](int64_t item) { return is_eligible(queries, query, item); }, pool_scores, pool, depth);
            std::copy(pool, pool + depth, batch.pools + row * k);
            if (!std::all_of(pool, pool + depth, [&](int64_t item) { return !item || is_known(*rules[row], item); }))
                continue;
            pick(*rules[row], pool, pool_scores, depth, row, answers, scored.data(), counts);
            if (answers.is_whole[row]) continue;
            open.restrict(row, *rules[row], answers);
            rest.push_back(row);
        }
        rows.swap(rest);
    }
}

}  // namespace
