// Random boosts and limits over a random catalogue in blocks: answers obey the limits, and all levels agree.
#pragma once

#include "ruled_search.h"

extern "C" int nextup_rank(const Blocks* table, int number, const Transitions* memory, const RuledBatch* batch,
                           const Rules* const* rules, const Answers* answers, float* work);

namespace {

// Values of some items, up to three each; the last items are not known now and then.
Rules random_rules(Memory& memory, int64_t num_items) {
    Rules rules = {};
    rules.num_items = num_items, rules.num_values = choose({1, 4, 30});
    double* bonuses = memory.take<double>(2);
    bonuses[0] = 0, bonuses[1] = rules.largest = 1.5;
    uint8_t* classes = memory.take<uint8_t>(num_items + 1);
    for (int64_t item = 0; item <= num_items; item++) classes[item] = generator() % 2;
    rules.bonuses = bonuses, rules.classes = generator() % 3 ? classes : nullptr;
    if (!rules.classes) rules.largest = 0;
    int32_t* places = memory.take<int32_t>(num_items + 1);
    int32_t* numbers = memory.take<int32_t>(1 + 4 * num_items);
    int32_t end = 1;
    const int64_t num_known = generator() % 4 ? num_items : num_items / 2;
    places[0] = numbers[0] = 0;
    std::vector<std::vector<uint8_t>> has(rules.num_values, std::vector<uint8_t>(num_items + 1));
    for (int64_t item = 1; item <= num_items; item++) {
        places[item] = item <= num_known ? end : 0;
        if (item > num_known) continue;
        const int count = static_cast<int>(generator() % 4);
        int32_t& length = numbers[end++] = 0;
        for (int i = 0; i < count; i++) {
            const int32_t value = generator() % rules.num_values;
            if (!has[value][item]) has[value][item] = 1, numbers[end++] = value, length++;
        }
    }
    int32_t *fields = memory.take<int32_t>(rules.num_values), *limits = memory.take<int32_t>(2);
    const uint8_t** members = memory.take<const uint8_t*>(rules.num_values);
    for (int value = 0; value < rules.num_values; value++) {
        fields[value] = value % 2;
        uint8_t* mask = generator() % 3 ? memory.take<uint8_t>(num_items + 1) : nullptr;
        if (mask) std::copy(has[value].begin(), has[value].end(), mask);
        members[value] = mask;
    }
    limits[0] = choose({1, 3}), limits[1] = choose({1, 2, 9});
    rules.num_numbers = end, rules.numbers = numbers, rules.fields = fields, rules.limits = limits;
    rules.members = members, rules.places = generator() % 4 ? places : nullptr;
    return rules;
}

// Whether an answer has each item once, in order, and no value more often than its limit.
bool obeys(const Rules& rules, const int64_t* items, const double* scores, int length) {
    std::vector<int> counts(rules.num_values);
    for (int i = 0; i < length; i++) {
        if (items[i] < 1 || items[i] > rules.num_items || (i && scores[i] > scores[i - 1])) return false;
        if (std::find(items, items + i, items[i]) != items + i) return false;
        const int32_t* values = rules.places ? rules.numbers + rules.places[items[i]] : nullptr;
        for (int j = 1; values && j <= values[0]; j++)
            if (++counts[values[j]] > rules.limits[rules.fields[values[j]]]) return false;
    }
    return true;
}

bool answers_obey_rules() {
    Memory memory;
    Blocks table = {};
    table.num_subspaces = choose({2, 4}), table.codebook_size = choose({1, 40, 64}), table.num_blocks = choose({1, 3});
    table.num_items = table.num_blocks * 64 - 7;
    uint8_t* blocks = memory.take<uint8_t>(table.num_blocks * table.num_subspaces * 48);
    for (int64_t i = 0; i < table.num_blocks * table.num_subspaces * 16; i++) {
        uint32_t word = 0;
        for (int j = 0; j < 4; j++) word |= generator() % table.codebook_size << 6 * j;
        for (int j = 0; j < 3; j++) blocks[3 * i + j] = static_cast<uint8_t>(word >> 8 * j);
    }
    table.blocks = blocks;
    const int count = choose({1, 2, 9}), depth = 1 + generator() % 20, largest = choose({1, 5, 20});
    const int last_depth = depth + generator() % (table.num_items - depth);
    const int64_t num_new = choose({0, 1, 30});
    RuledBatch batch = {};
    batch.table_size = table.num_subspaces * table.codebook_size;
    float* products = memory.take<float>(count * batch.table_size);
    for (int i = 0; i < count * batch.table_size; i++) products[i] = static_cast<float>(generator() % 9);
    float* new_scores = memory.take<float>(count * num_new);
    for (int i = 0; i < count * num_new; i++) new_scores[i] = static_cast<float>(generator() % 19);
    int64_t *starts = memory.take<int64_t>(count + 1), *excluded = memory.take<int64_t>(count);
    const uint8_t** masks = memory.take<const uint8_t*>(count);
    const Rules** rules = memory.take<const Rules*>(count);
    int32_t* all_needed = memory.take<int32_t>(count);
    std::vector<Rules> owned;
    for (int i = 0; i < 2; i++) owned.push_back(random_rules(memory, table.num_items + num_new));
    for (int i = 0; i < count; i++) {
        starts[i] = i, excluded[i] = 1 + generator() % (table.num_items + num_new);
        uint8_t* mask = generator() % 2 ? memory.take<uint8_t>(table.num_items + num_new + 1) : nullptr;
        for (int64_t j = 0; mask && j <= table.num_items + num_new; j++) mask[j] = generator() % 2;
        masks[i] = mask, rules[i] = &owned[generator() % 2], all_needed[i] = 1 + generator() % largest;
    }
    starts[count] = count;
    batch.queries = {products, excluded, starts, generator() % 2 ? masks : nullptr, count, last_depth};
    batch.new_scores = new_scores, batch.num_new = num_new, batch.depth = depth, batch.num_searches = choose({1, 2, 4});
    batch.pools = memory.take<int64_t>(count * last_depth);
    const int64_t* first = nullptr;
    for (int level = 0; nextup_level(level); level++) {
        float* work = memory.floats(nextup_blocks_workspace(&table, level, count, 0), 1e20f);
        Answers answers = {};
        answers.items = memory.take<int64_t>(count * largest), answers.scores = memory.take<double>(count * largest);
        answers.used_up = memory.take<int32_t>(count * MOST_USED_UP), answers.lengths = memory.take<int32_t>(count);
        answers.is_whole = memory.take<uint8_t>(count), answers.needed = all_needed;
        answers.count = count, answers.k = largest;
        std::fill_n(answers.items, count * largest, 0);
        std::fill_n(answers.lengths, count, 0), std::fill_n(answers.is_whole, count, 0);
        for (int call = 0; call < 2; call++)  // the second one continues the answers that are not whole
            if (nextup_rank(&table, level, nullptr, &batch, rules, &answers, work)) return false;
        for (int i = 0; i < count; i++) {
            const int64_t* items = answers.items + int64_t{i} * largest;
            if (answers.lengths[i] > all_needed[i]) return false;
            if (!obeys(*rules[i], items, answers.scores + int64_t{i} * largest, answers.lengths[i])) return false;
            for (int j = 0; j < answers.lengths[i]; j++)
                if (items[j] == excluded[i] || !is_allowed(batch.queries, i, items[j])) return false;
        }
        if (first && !std::equal(first, first + count * largest, answers.items)) return false;
        first = first ? first : answers.items;
    }
    return true;
}

}  // namespace
