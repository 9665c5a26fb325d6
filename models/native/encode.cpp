// The C interface: which levels this processor can run, and the hidden vectors of a batch of ragged histories.
//
// Nothing is kept between calls, and nothing is allocated but threads. It knows no file and no Python.

#include <atomic>
#include <thread>
#include <vector>

#include "model.h"

extern const Level level_generic;
#ifdef __x86_64__
extern const Level level_avx2;
extern const Level level_avx512;
#endif

namespace {

// The levels this processor can run, the fastest first, none at the end.
const Level* runnable(int number) {
    const Level* found[4] = {};
    int count = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        found[count++] = &level_avx512;
    if (fma) found[count++] = &level_avx2;
#endif
    found[count] = &level_generic;
    return number >= 0 && number <= count ? found[number] : nullptr;
}

constexpr int NO_LEVEL = 1, BAD_HISTORY = 2, BAD_ITEM = 3;

}  // namespace

extern "C" {

// Bytes of what callers fill in; another number means that caller and library were not made for each other.
int64_t nextup_layout() { return static_cast<int64_t>(sizeof(Model) * 1000 + sizeof(Block)); }

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
}
