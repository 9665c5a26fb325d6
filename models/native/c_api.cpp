// The C interface: hidden vectors of a batch of ragged histories, top-k scans over a catalogue of codes, and answers
// under rules.
//
// Calls are stateless and return no memory.

#include <atomic>
#include <initializer_list>
#include <thread>
#include <vector>

#include "level.h"
#include "ruled_search.h"
#include "transitions.h"

namespace {

constexpr int NO_LEVEL = 1, BAD_HISTORY = 2, BAD_ITEM = 3;

}  // namespace

extern "C" {

// Fingerprint of the structure sizes; a caller with another value was built from other headers.
int64_t nextup_layout() {
    uint64_t total = 0;
    for (const size_t size : {sizeof(Model), sizeof(Block), sizeof(Codes), sizeof(Queries), sizeof(Blocks),
                              sizeof(Transitions), sizeof(Rules), sizeof(Answers), sizeof(RuledBatch)})
        total = (total * 1000 + size) % 1000000000000007;
    return static_cast<int64_t>(total);
}

// The name of level `number`, 0 for the fastest that this processor can run; null past the last.
const char* nextup_level(int number) {
    const Level* level = get_level(number);
    return level ? level->name : nullptr;
}

// Floats of memory per thread; 0 for an unknown level.
int64_t nextup_workspace(const Model* model, int number) {
    const Level* level = get_level(number);
    return level ? level->workspace(*model) : 0;
}

// Encodes history i, items[offsets[i]] to items[offsets[i + 1] − 1], into row i of `out` (count, dim).
//
// The newest max_len items count. `times` has one value per item, `request_times` one per history; both may
// be null, and a value of 0 is unknown. `work` holds the workspaces of `threads`
// threads. Returns 0, or without computing anything NO_LEVEL, BAD_HISTORY (empty) or BAD_ITEM (not in the catalogue).
int nextup_encode(const Model* model, int number, const int64_t* items, const uint32_t* times,
                  const uint32_t* request_times, const int64_t* offsets, int64_t count, float* work, int threads,
                  float* out) {
    const Level* level = get_level(number);
    if (!level) return NO_LEVEL;
    for (int64_t row = 0; row < count; row++)
        if (offsets[row + 1] <= offsets[row]) return BAD_HISTORY;
    for (int64_t at = offsets[0]; at < offsets[count]; at++)
        if (items[at] < 0 || items[at] > model->num_items) return BAD_ITEM;
    const int64_t floats = level->workspace(*model);
    std::atomic<int64_t> next{0};
    const auto run_thread = [&](int thread) {
        for (int64_t row = next++; row < count; row = next++) {
            const int64_t whole = offsets[row + 1] - offsets[row];
            const int64_t length = whole < model->max_len ? whole : model->max_len;
            const int64_t from = offsets[row + 1] - length;
            level->encode(*model, items + from, times ? times + from : nullptr, request_times ? request_times[row] : 0,
                          static_cast<int>(length), work + thread * floats, out + row * model->dim);
        }
    };
    std::vector<std::thread> workers;
    for (int thread = 1; thread < threads && thread < count; thread++) workers.emplace_back(run_thread, thread);
    run_thread(0);
    for (std::thread& worker : workers) worker.join();
    return 0;
}

// Floats of memory for a scan of codes; 0 for an unknown level.
int64_t nextup_codes_workspace(const Codes* table, int number) {
    const Level* level = get_level(number);
    return level ? level->codes_workspace(*table) : 0;
}

// Finds the top k of each query, ties by rising item: scores and items (count, k).
int nextup_scan_codes(const Codes* table, int number, const Queries* queries, float* work, float* scores,
                      int64_t* items) {
    const Level* level = get_level(number);
    if (!level) return NO_LEVEL;
    level->scan_codes(*table, *queries, work, scores, items);
    return 0;
}

// Floats of memory for a scan of blocks; 0 for an unknown level.
int64_t nextup_blocks_workspace(const Blocks* table, int number, int64_t count, int64_t nprobe) {
    const Level* level = get_level(number);
    return level ? level->blocks_workspace(*table, count, nprobe) : 0;
}

// Like nextup_scan_codes, over the lists (count, nprobe) of each query, its best first; over all blocks without lists.
int nextup_scan_blocks(const Blocks* table, int number, const Queries* queries, const int32_t* lists, int nprobe,
                       float* work, float* scores, int64_t* items) {
    const Level* level = get_level(number);
    if (!level) return NO_LEVEL;
    level->scan_blocks(*table, *queries, lists, nprobe, work, scores, items);
    return 0;
}

// Adds bonuses of a transition memory to the top k of each query, in place: scores and items (count, k).
//
// `newest` (count, LOOKBACK) are the newest items of each history, the newest first, 0 past its start; `lengths`
// (count) are at least 1, and `hidden` (count, dim). Excluded items may be in any order; lookup tables are not read.
// Returns 0, or without computing anything BAD_HISTORY or BAD_ITEM.
int nextup_rerank(const Transitions* memory, const Queries* queries, const int64_t* newest, const int64_t* lengths,
                  const float* hidden, float* scores, int64_t* items) {
    for (int64_t at = 0; at < int64_t{queries->count} * LOOKBACK; at++)
        if (newest[at] < 0 || newest[at] > memory->num_items) return BAD_ITEM;
    for (int query = 0; query < queries->count; query++)
        if (lengths[query] < 1) return BAD_HISTORY;
    std::vector<float> heap_scores(queries->k);
    std::vector<int64_t> heap_items(queries->k);
    prefetch_rows(*memory, newest);
    for (int query = 0; query < queries->count; query++) {
        const int64_t at = int64_t{query} * queries->k;
        if (query + 1 < queries->count) prefetch_rows(*memory, newest + (query + 1) * LOOKBACK);
        rerank(*memory, *queries, query, newest + query * LOOKBACK, lengths[query],
               hidden + int64_t{query} * memory->dim, heap_scores.data(), heap_items.data(), scores + at, items + at);
    }
    return 0;
}

// Fills the answers of a batch that are not whole, as far as its searches and what its rules know of items allow.
//
// `rules` has those of each query, and `memory` may be null. Returns 0, or without computing anything NO_LEVEL,
// BAD_HISTORY or BAD_ITEM.
int nextup_rank(const Blocks* table, int number, const Transitions* memory, const RuledBatch* batch,
                const Rules* const* rules, const Answers* answers, float* work) {
    const Level* level = get_level(number);
    if (!level) return NO_LEVEL;
    for (int row = 0; row < answers->count; row++) {
        if (memory && batch->lengths[row] < 1) return BAD_HISTORY;
        if (rules[row]->num_items != table->num_items + batch->num_new) return BAD_ITEM;
        for (int i = 0; memory && i < LOOKBACK; i++) {
            const int64_t item = batch->newest[int64_t{row} * LOOKBACK + i];
            if (item < 0 || item > memory->num_items) return BAD_ITEM;
        }
        for (int i = 0; i < answers->lengths[row]; i++)
            if (!is_known(*rules[row], answers->items[int64_t{row} * answers->k + i])) return BAD_ITEM;
    }
    rank_batch(*level, *table, memory, *batch, rules, *answers, work);
    return 0;
}
}
