// The C interface: the hidden vectors of a batch of ragged histories, and the best items of a catalogue of codes.
//
// Nothing is kept between calls, and nothing is allocated but threads. It knows no file and no Python.

#include <atomic>
#include <initializer_list>
#include <thread>
#include <vector>

#include "level.h"

namespace {

constexpr int NO_LEVEL = 1, BAD_HISTORY = 2, BAD_ITEM = 3;

}  // namespace

extern "C" {

// Bytes of what callers fill in; another number means that caller and library were not made for each other.
int64_t nextup_layout() {
    int64_t found = 0;
    for (const size_t size : {sizeof(Model), sizeof(Block), sizeof(Codes), sizeof(Questions), sizeof(Blocks)})
        found = found * 1000 + static_cast<int64_t>(size);
    return found;
}

// The name of level `number`, 0 the fastest that runs here; null behind the last.
const char* nextup_level(int number) {
    const Level* level = runnable(number);
    return level ? level->name : nullptr;
}

// Floats of memory per thread, 0 for no such level.
int64_t nextup_workspace(const Model* model, int number) {
    const Level* level = runnable(number);
    return level ? level->workspace(*model) : 0;
}

// Row i of `out` (count, dim) after items[offsets[i]] to items[offsets[i + 1] − 1], the newest max_len of them.
//
// `times` go along with the items, or are null. `work` has the workspaces of `threads` threads. The answer is 0, or
// what is wrong: the level, an empty history, an item outside the catalogue; nothing is computed then.
int nextup_encode(const Model* model, int number, const int64_t* items, const uint32_t* times, const int64_t* offsets,
                  int64_t count, float* work, int threads, float* out) {
    const Level* level = runnable(number);
    if (!level) return NO_LEVEL;
    for (int64_t row = 0; row < count; row++)
        if (offsets[row + 1] <= offsets[row]) return BAD_HISTORY;
    for (int64_t at = offsets[0]; at < offsets[count]; at++)
        if (items[at] < 0 || items[at] > model->num_items) return BAD_ITEM;
    const int64_t floats = level->workspace(*model);
    std::atomic<int64_t> next{0};
    const auto share = [&](int thread) {
        for (int64_t row = next++; row < count; row = next++) {
            const int64_t whole = offsets[row + 1] - offsets[row];
            const int64_t length = whole < model->max_len ? whole : model->max_len;
            const int64_t from = offsets[row + 1] - length;
            level->encode(*model, items + from, times ? times + from : nullptr, static_cast<int>(length),
                          work + thread * floats, out + row * model->dim);
        }
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads && thread < count; thread++) others.emplace_back(share, thread);
    share(0);
    for (std::thread& other : others) other.join();
    return 0;
}

// Floats of memory for a scan, 0 for no such level.
int64_t nextup_scan_workspace(const Codes* table, int number) {
    const Level* level = runnable(number);
    return level ? level->scan_workspace(*table) : 0;
}

// The k best items of each question, by falling score and then rising item: scores and items (count, k).
int nextup_scan_codes(const Codes* table, int number, const Questions* asked, float* work, float* scores,
                      int64_t* items) {
    const Level* level = runnable(number);
    if (!level) return NO_LEVEL;
    level->scan_codes(*table, *asked, work, scores, items);
    return 0;
}

// Floats of memory for a scan of blocks, 0 for no such level.
int64_t nextup_blocks_workspace(const Blocks* table, int number, int64_t count, int64_t probes) {
    const Level* level = runnable(number);
    return level ? level->blocks_workspace(*table, count, probes) : 0;
}

// As nextup_scan_codes, of the lists (count, probes) of each question, its best first; without lists of everything.
int nextup_scan_blocks(const Blocks* table, int number, const Questions* asked, const int32_t* lists, int probes,
                       float* work, float* scores, int64_t* items) {
    const Level* level = runnable(number);
    if (!level) return NO_LEVEL;
    level->scan_blocks(*table, *asked, lists, probes, work, scores, items);
    return 0;
}
}
