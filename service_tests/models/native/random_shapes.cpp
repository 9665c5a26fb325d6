// Runs random models, histories and catalogues through every level of the library, in buffers of exact size.
//
// Built with the address and undefined-behavior sanitizers, which abort at the first error. The program itself only
// checks that all levels agree. Sizes of the C interface are those of models/native/model.h.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "model.h"
#include "scan.h"
#include "transitions.h"

extern "C" {
const char* nextup_level(int number);
int64_t nextup_workspace(const Model* model, int number);
int64_t nextup_codes_workspace(const Codes* table, int number);
int nextup_scan_codes(const Codes* table, int number, const Queries* queries, float* work, float* scores,
                      int64_t* items);
int64_t nextup_blocks_workspace(const Blocks* table, int number, int64_t count, int64_t nprobe);
int nextup_scan_blocks(const Blocks* table, int number, const Queries* queries, const int32_t* lists, int nprobe,
                       float* work, float* scores, int64_t* items);
int nextup_rerank(const Transitions* memory, const Queries* queries, const int64_t* newest, const int64_t* lengths,
                  const float* hidden, float* scores, int64_t* items);
int nextup_encode(const Model* model, int number, const int64_t* items, const uint32_t* times,
                  const uint32_t* request_times, const int64_t* offsets, int64_t count, float* work, int threads,
                  float* out);
}

namespace {

std::mt19937 generator(1);

int choose(std::initializer_list<int> values) { return values.begin()[generator() % values.size()]; }

struct Memory {
    std::vector<std::unique_ptr<void, decltype(&std::free)>> blocks;

    template <typename T>
    T* take(int64_t count) {
        void* at = nullptr;
        if (posix_memalign(&at, 64, static_cast<size_t>(count) * sizeof(T))) std::abort();
        blocks.emplace_back(at, &std::free);
        return static_cast<T*>(at);
    }

    float* floats(int64_t count, float deviation = 0.3f) {
        float* at = take<float>(count);
        std::normal_distribution<float> normal(0.0f, deviation);
        for (int64_t i = 0; i < count; i++) at[i] = normal(generator);
        return at;
    }

    Linear linear(int inputs, int outputs) {
        const float deviation = 1.0f / std::sqrt(static_cast<float>(inputs));
        return {floats(int64_t{inputs} * outputs, deviation), floats(outputs), inputs, outputs};
    }
};

Model random_model(Memory& memory) {
    Model m = {};
    m.is_cone = generator() % 2, m.layers = choose({1, 2, 3}) + m.is_cone, m.window = choose({1, 3, 8, 100});
    m.heads = choose({1, 2, 4}), m.dim = choose({16, 32, 64, 128}), m.hidden = choose({16, 48, 256});
    m.max_len = choose({1, 2, 15, 33, 70, 200}), m.num_items = choose({1, 9, 50});
    const int width = m.dim / m.heads, gated = generator() % 2;
    m.value_width = (width + 15) / 16 * 16;
    Block* blocks = memory.take<Block>(m.layers);
    for (int i = 0; i < m.layers; i++) {
        Block& b = blocks[i] = {};
        b.query = memory.linear(m.dim, m.dim), b.key = memory.linear(m.dim, m.dim);
        b.value = memory.linear(m.dim, m.heads * m.value_width), b.out = memory.linear(m.heads * m.value_width, m.dim);
        b.folded = memory.linear(m.heads * m.dim, m.dim);
        if (gated) b.attention_gate = memory.linear(m.dim, m.dim), b.feed_forward_gate = memory.linear(m.dim, m.dim);
        b.wide = memory.linear(m.dim, gated ? 2 * m.hidden : m.hidden), b.narrow = memory.linear(m.hidden, m.dim);
        b.attention_epsilon = b.feed_forward_epsilon = 1e-5f;
    }
    m.blocks = blocks;
    m.cos = memory.floats(m.max_len * width / 2, 1.0f), m.sin = memory.floats(m.max_len * width / 2, 1.0f);
    m.norm_weight = memory.floats(m.dim), m.norm_bias = memory.floats(m.dim), m.norm_epsilon = 1e-5f, m.scale = 2.0f;
    if (generator() % 2) m.intervals = memory.floats(34 * m.dim);
    if (generator() % 2) {
        m.num_periods = choose({1, 2, 3, 64}), m.periods = memory.floats((m.num_periods + 1) * m.dim);
        int64_t* boundaries = memory.take<int64_t>(m.num_periods - 1);
        for (int i = 0; i < m.num_periods - 1; i++) boundaries[i] = (i ? boundaries[i - 1] : 0) + generator() % (1u << 27);
        m.boundaries = boundaries;
        if (generator() % 2) m.request_periods = memory.floats((m.num_periods + 1) * m.dim);
    }
    if (generator() % 2) m.request_intervals = memory.floats(34 * m.dim), m.longest_interval = choose({1, 20, 33});
    if (generator() % 3 == 0) {
        m.vectors = memory.floats((m.num_items + 1) * m.dim);
        return m;
    }
    m.codes_are_packed = generator() % 2, m.codebook_size = m.codes_are_packed ? 64 : choose({1, 100, 256});
    m.num_subspaces = m.codes_are_packed ? choose({4, 8, m.dim / 4}) : choose({1, 2, m.dim / 2});
    m.code_bytes = m.codes_are_packed ? m.num_subspaces / 4 * 3 : m.num_subspaces;
    uint8_t* codes = memory.take<uint8_t>((m.num_items + 1) * m.code_bytes);
    for (int64_t i = 0; i < (m.num_items + 1) * m.code_bytes; i++)
        codes[i] = static_cast<uint8_t>(generator() % (m.codes_are_packed ? 256 : m.codebook_size));
    m.codes = codes, m.vectors = memory.floats(int64_t{m.codebook_size} * m.dim);
    return m;
}

bool levels_agree() {
    Memory memory;
    const Model model = random_model(memory);
    const int count = choose({1, 2, 5});
    int64_t* offsets = memory.take<int64_t>(count + 1);
    offsets[0] = 0;
    for (int i = 0; i < count; i++) offsets[i + 1] = offsets[i] + 1 + generator() % (model.max_len + 3);
    int64_t* items = memory.take<int64_t>(offsets[count]);
    uint32_t* times = generator() % 3 ? memory.take<uint32_t>(offsets[count]) : nullptr;
    uint32_t* request_times = generator() % 2 ? memory.take<uint32_t>(count) : nullptr;
    for (int i = 0; request_times && i < count; i++) request_times[i] = generator() % 3 ? generator() : 0;
    for (int64_t i = 0; i < offsets[count]; i++) {
        items[i] = generator() % (model.num_items + 1);
        if (times) times[i] = generator();
    }
    const float* first = nullptr;
    for (int level = 0; nextup_level(level); level++) {
        const int threads = choose({1, 1, 3});
        const int64_t floats = nextup_workspace(&model, level) * threads;
        float* work = memory.floats(floats, 1e20f);  // the library must write it before reading
        float* out = memory.take<float>(count * model.dim);
        if (nextup_encode(&model, level, items, times, request_times, offsets, count, work, threads, out)) return false;
        for (int i = 0; i < count * model.dim; i++)
            if (!(std::fabs(out[i] - (first ? first[i] : 0.0f)) < (first ? 1e-2f : 1e6f))) return false;
        first = first ? first : out;
    }
    return true;
}

// All levels must return the same items, none of them excluded or outside its mask.
bool scans_agree() {
    Memory memory;
    Codes table = {nullptr, choose({1, 15, 16, 17, 300}), 0, 0, 0, choose({0, 1})};
    table.num_subspaces = table.are_packed ? choose({4, 8, 32}) : choose({1, 3, 8});
    table.codebook_size = table.are_packed ? 64 : choose({1, 7, 256});
    table.code_bytes = table.are_packed ? table.num_subspaces / 4 * 3 : table.num_subspaces;
    uint8_t* codes = memory.take<uint8_t>((table.num_items + 1) * table.code_bytes);
    for (int64_t i = 0; i < (table.num_items + 1) * table.code_bytes; i++)
        codes[i] = static_cast<uint8_t>(generator() % (table.are_packed ? 256 : table.codebook_size));
    table.codes = codes;
    const int count = choose({1, 2, 3, 16, 17, 33, 70}), k = 1 + static_cast<int>(generator() % table.num_items);
    float* products = memory.take<float>(count * table.num_subspaces * table.codebook_size);
    for (int i = 0; i < count * table.num_subspaces * table.codebook_size; i++)
        products[i] = static_cast<float>(generator() % 9);  // whole numbers: sums are exact, and many are equal
    int64_t* starts = memory.take<int64_t>(count + 1);
    for (int i = 0; i <= count; i++) starts[i] = i;
    int64_t* excluded = memory.take<int64_t>(count);
    const uint8_t** allow_masks = memory.take<const uint8_t*>(count);
    for (int i = 0; i < count; i++) {
        excluded[i] = 1 + generator() % table.num_items;
        uint8_t* mask = generator() % 2 ? memory.take<uint8_t>(table.num_items + 1) : nullptr;
        const int rarity = choose({2, 40});
        for (int64_t j = 0; mask && j <= table.num_items; j++) mask[j] = generator() % rarity == 0;
        allow_masks[i] = mask;
    }
    const Queries queries = {products, excluded, starts, generator() % 2 ? allow_masks : nullptr, count, k};
    const int64_t* first = nullptr;
    for (int level = 0; nextup_level(level); level++) {
        float* work = memory.floats(nextup_codes_workspace(&table, level), 1e20f);
        int64_t* items = memory.take<int64_t>(count * k);
        if (nextup_scan_codes(&table, level, &queries, work, memory.take<float>(count * k), items)) return false;
        for (int i = 0; i < count * k; i++) {
            const uint8_t* mask = queries.allow_masks ? allow_masks[i / k] : nullptr;
            if (items[i] == excluded[i / k] || (items[i] && mask && !mask[items[i]])) return false;
            if (first && first[i] != items[i]) return false;
        }
        first = first ? first : items;
    }
    return true;
}

// All levels must return the same items from blocks, with and without lists.
bool blocks_agree() {
    Memory memory;
    const int num_lists = choose({1, 3, 9});
    Blocks table = {};
    table.num_subspaces = choose({2, 4, 32}), table.codebook_size = choose({1, 40, 64, 256}), table.num_lists = num_lists;
    int64_t* starts = memory.take<int64_t>(num_lists + 1);
    starts[0] = 0;
    for (int list = 0; list < num_lists; list++) starts[list + 1] = starts[list] + generator() % 3 + (list == 0);
    table.starts = starts, table.num_blocks = starts[num_lists], table.num_items = table.num_blocks * 64 - 7;
    int32_t* items = memory.take<int32_t>(table.num_blocks * 64);
    for (int64_t i = 0; i < table.num_blocks * 64; i++)
        items[i] = i < table.num_items ? static_cast<int32_t>(table.num_items - i) : 0;
    table.items = generator() % 3 ? items : nullptr;
    uint8_t* blocks = memory.take<uint8_t>(table.num_blocks * table.num_subspaces * 48);
    for (int64_t i = 0; i < table.num_blocks * table.num_subspaces * 16; i++) {  // four codes in three bytes
        uint32_t word = 0;
        for (int j = 0; j < 4; j++) word |= generator() % (table.codebook_size < 64 ? table.codebook_size : 64) << 6 * j;
        for (int j = 0; j < 3; j++) blocks[3 * i + j] = static_cast<uint8_t>(word >> 8 * j);
    }
    table.blocks = blocks;
    if (table.codebook_size > 64) {  // blocks hold groups: any codes of an item are in the groups of its blocks
        uint8_t* groups = memory.take<uint8_t>(table.num_subspaces * 256);
        for (int i = 0; i < table.num_subspaces * 256; i++) groups[i] = static_cast<uint8_t>(i);
        uint8_t* codes = memory.take<uint8_t>((table.num_items + 1) * table.num_subspaces);
        for (int64_t slot = 0; slot < table.num_blocks * 64; slot++) {
            const int64_t item = table.items ? table.items[slot] : slot;
            for (int i = 0; item <= table.num_items && i < table.num_subspaces; i++) {
                const uint8_t* at = blocks + (slot / 64 * table.num_subspaces + i) * 48 + slot % 64 / 4 * 3;
                const uint32_t group = (at[0] | at[1] << 8 | at[2] << 16) >> slot % 4 * 6 & 63;
                codes[item * table.num_subspaces + i] = static_cast<uint8_t>(4 * group + generator() % 4);
            }
        }
        table.groups = groups, table.codes = codes;
    }
    const int count = choose({1, 2, 3, 8, 13, 33}), k = 1 + static_cast<int>(generator() % table.num_items);
    const int nprobe = generator() % 2 ? 1 + static_cast<int>(generator() % num_lists) : 0;
    float* products = memory.take<float>(count * table.num_subspaces * table.codebook_size);
    for (int i = 0; i < count * table.num_subspaces * table.codebook_size; i++)
        products[i] = static_cast<float>(generator() % 9);
    int64_t* excluded_starts = memory.take<int64_t>(count + 1);
    for (int i = 0; i <= count; i++) excluded_starts[i] = i;
    int64_t* excluded = memory.take<int64_t>(count);
    for (int i = 0; i < count; i++) excluded[i] = 1 + generator() % table.num_items;
    int32_t* lists = memory.take<int32_t>(count * (nprobe ? nprobe : 1));
    for (int i = 0; i < count * nprobe; i++)  // `nprobe` consecutive lists, cyclically
        lists[i] = i % nprobe ? (lists[i - 1] + 1) % num_lists : static_cast<int32_t>(generator() % num_lists);
    const Queries queries = {products, excluded, excluded_starts, nullptr, count, k};
    const int64_t* first = nullptr;
    for (int level = 0; nextup_level(level); level++) {
        float* work = memory.floats(nextup_blocks_workspace(&table, level, count, nprobe), 1e20f);
        int64_t* results = memory.take<int64_t>(count * k);
        if (nextup_scan_blocks(&table, level, &queries, nprobe ? lists : nullptr, nprobe, work,
                               memory.take<float>(count * k), results))
            return false;
        for (int i = 0; i < count * k; i++)
            if (results[i] == excluded[i / k] || (first && first[i] != results[i])) return false;
        first = first ? first : results;
    }
    return true;
}

// Random rows of a transition memory, some followers outside the catalogue: the answer is filtered and in order.
bool reranks_in_order() {
    Memory memory;
    const int dim = choose({4, 16, 64}), units = choose({0, 1, 32}), count = choose({1, 3, 8});
    Transitions table = {};
    table.num_items = 1 + generator() % 500, table.num_followers = choose({1, 4, 8, 64});
    table.index_bytes = choose({2, 3, 4}), table.dim = dim, table.units = units;
    const auto fill_bytes = [&](int64_t size) {
        uint8_t* bytes = memory.take<uint8_t>(size);
        for (int64_t i = 0; i < size; i++) bytes[i] = static_cast<uint8_t>(generator() % (i % 3 ? 2 : 256));
        return bytes;
    };
    table.rows = fill_bytes((table.num_items + 1) * (table.num_followers * (table.index_bytes + 1) + 1));
    float* probabilities = memory.take<float>(256);
    for (int i = 0; i < 256; i++) probabilities[i] = static_cast<float>(i) / 256;
    table.probabilities = probabilities, table.gate = memory.floats(2 * (LOOKBACK + FEATURES));
    table.normalizer_in = memory.floats(units * (dim + 1)), table.normalizer_out = memory.floats(2 * (units + 1));
    table.count_step = 0.08f, table.max_exponent = 12, table.scale = 0.7f, table.damping = 0.6f;
    if (generator() % 2) {
        table.codes_are_packed = generator() % 2, table.num_subspaces = 4, table.codebook_size = 64;
        table.code_bytes = table.codes_are_packed ? 3 : 4;
        uint8_t* codes = fill_bytes((table.num_items + 1) * table.code_bytes);
        if (!table.codes_are_packed)
            for (int64_t i = 0; i < (table.num_items + 1) * 4; i++) codes[i] %= 64;
        table.codes = codes, table.vectors = memory.floats(4 * 64 * dim / 4);
    } else {
        table.vectors = memory.floats((table.num_items + 1) * dim);
    }
    const int k = 1 + static_cast<int>(generator() % table.num_items);
    int64_t *items = memory.take<int64_t>(count * k), *newest = memory.take<int64_t>(count * LOOKBACK);
    int64_t *lengths = memory.take<int64_t>(count), *starts = memory.take<int64_t>(count + 1);
    int64_t* excluded = memory.take<int64_t>(count);
    float* scores = memory.take<float>(count * k);
    for (int row = 0; row < count; row++) {
        lengths[row] = 1 + generator() % 80, starts[row] = row, excluded[row] = 1 + generator() % table.num_items;
        for (int i = 0; i < LOOKBACK; i++)
            newest[row * LOOKBACK + i] = i < lengths[row] ? 1 + generator() % table.num_items : 0;
        for (int i = 0; i < k; i++) {
            items[row * k + i] = i + 1 == excluded[row] ? 0 : i + 1;
            scores[row * k + i] = items[row * k + i] ? static_cast<float>(-i) : -INFINITY;
        }
    }
    starts[count] = count;
    const Queries queries = {nullptr, excluded, starts, nullptr, count, k};
    if (nextup_rerank(&table, &queries, newest, lengths, memory.floats(count * dim), scores, items)) return false;
    for (int i = 0; i < count * k; i++) {
        if (items[i] == excluded[i / k] || items[i] < 0 || items[i] > table.num_items) return false;
        if (i % k && scores[i] > scores[i - 1]) return false;
    }
    return true;
}

}  // namespace

#include "random_rules.h"

int main(int count, char** arguments) {
    const int cases = count > 1 ? std::atoi(arguments[1]) : 100;
    for (int i = 0; i < cases; i++) {
        if (levels_agree() && scans_agree() && blocks_agree() && reranks_in_order() && answers_obey_rules()) continue;
        std::printf("case %d: levels disagree\n", i);
        return 1;
    }
    std::printf("%d random models: all levels agree, no sanitizer errors\n", cases);
    return 0;
}
