// Adds a transition memory (models/transitions) to the top k of a scan: the C interface, as in models/native/layout.py.
//
// Compiled once, for all instruction sets: a query reads a few dozen items.
#pragma once

#include <cmath>
#include <cstdint>

#include "scan.h"
#include "top.h"

// `vectors` are (num_items + 1, dim); with `codes` the codebooks (num_subspaces · codebook_size, dim / num_subspaces).
struct Transitions {
    const uint8_t* rows;          // (num_items + 1, row bytes), laid out as in models/transitions/memory.py
    const float* probabilities;   // (256) of each byte
    const float* gate;            // (2, LOOKBACK + FEATURES): followers, repeats
    const float* normalizer_in;   // (units, dim + 1), the bias last
    const float* normalizer_out;  // (2, units + 1)
    const float* vectors;
    const uint8_t* codes;         // (num_items + 1, code_bytes); null: `vectors` is the full table
    int64_t num_items;
    int32_t num_followers, index_bytes, dim, units;
    int32_t num_subspaces, codebook_size, code_bytes, codes_are_packed;
    float count_step, max_exponent, scale, damping;
};

namespace {

constexpr int LOOKBACK = 10, FEATURES = 8, MOST_FOLLOWERS = 64;

// Candidates of one history, each item once, with the sums of their weights.
struct Candidates {
    int64_t items[LOOKBACK * (MOST_FOLLOWERS + 1)];
    float weights[LOOKBACK * (MOST_FOLLOWERS + 1)];
    int count;

    void add(int64_t item, float weight) {
        for (int i = 0; i < count; i++)
            if (items[i] == item) {
                weights[i] += weight;
                return;
            }
        items[count] = item, weights[count++] = weight;
    }

    bool contains(int64_t item) const {
        for (int i = 0; i < count; i++)
            if (items[i] == item) return true;
        return false;
    }
};

inline float dot(const float* a, const float* b, int count) {
    float sums[8] = {};
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) sums[0] += a[i] * b[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Estimates log Z and the largest log-probability of the model.
inline void estimate(const Transitions& memory, const float* hidden, float* estimates) {
    const int inputs = memory.dim, units = memory.units;
    for (int i = 0; i < 2; i++) estimates[i] = memory.normalizer_out[i * (units + 1) + units];
    for (int unit = 0; unit < units; unit++) {
        const float* weights = memory.normalizer_in + static_cast<int64_t>(unit) * (inputs + 1);
        const float value = dot(weights, hidden, inputs) + weights[inputs];
        if (value <= 0) continue;
        for (int i = 0; i < 2; i++) estimates[i] += value * memory.normalizer_out[i * (units + 1) + unit];
    }
}

// Weight of the item at a distance by one row of the gate; 0 below the smallest exponent.
inline float weigh(const Transitions& memory, int row, int distance, const float* features) {
    const float* gate = memory.gate + row * (LOOKBACK + FEATURES);
    float exponent = gate[distance - 1];
    for (int i = 0; i < FEATURES; i++) exponent += gate[LOOKBACK + i] * features[i];
    if (exponent < -memory.max_exponent) return 0;
    return std::exp(exponent > memory.max_exponent ? memory.max_exponent : exponent);
}

// Adds the item at `distance` − 1 events from the end of the history, and its followers.
inline void add_followers(const Transitions& memory, int64_t item, int distance, float certainty, float log_length,
                          Candidates& candidates) {
    const int followers = memory.num_followers, index_bytes = memory.index_bytes;
    const uint8_t* row = memory.rows + item * (followers * (index_bytes + 1) + 1);
    const uint8_t* codes = row + followers * index_bytes;
    float mass = 0;
    for (int i = 0; i < followers; i++) mass += memory.probabilities[codes[i]];
    const float log_count = memory.count_step * codes[followers];
    const float features[FEATURES] = {log_count,
                                      log_count * log_count / 10,
                                      memory.probabilities[codes[0]],
                                      mass,
                                      certainty,
                                      certainty * certainty / 10,
                                      certainty * log_count / 10,
                                      log_length};
    const float repeat_weight = weigh(memory, 1, distance, features);
    if (repeat_weight > 0) candidates.add(item, repeat_weight);
    const float weight = mass > 0 ? weigh(memory, 0, distance, features) : 0;
    if (weight == 0) return;
    for (int i = 0; i < followers; i++) {
        int64_t follower = 0;
        for (int byte = 0; byte < index_bytes; byte++)
            follower |= static_cast<int64_t>(row[byte * followers + i]) << (8 * byte);
        if (!follower || follower > memory.num_items || !codes[i]) continue;
        candidates.add(follower, weight * memory.probabilities[codes[i]]);
    }
}

inline float score_item(const Transitions& memory, int64_t item, const float* hidden) {
    if (!memory.codes) return dot(memory.vectors + item * memory.dim, hidden, memory.dim);
    const int width = memory.dim / memory.num_subspaces;
    const uint8_t* bytes = memory.codes + item * memory.code_bytes;
    float total = 0;
    for (int j = 0; j < memory.num_subspaces; j++) {
        const uint8_t* group = bytes + j / 4 * 3;
        const int code = memory.codes_are_packed
                             ? (group[0] | group[1] << 8 | group[2] << 16) >> (6 * (j % 4)) & 63
                             : bytes[j];
        const float* piece = memory.vectors + (static_cast<int64_t>(j) * memory.codebook_size + code) * width;
        for (int i = 0; i < width; i++) total += piece[i] * hidden[j * width + i];
    }
    return total;
}

// Like is_eligible, for excluded items in any order.
inline bool passes_filter(const Queries& queries, int query, int64_t item) {
    if (queries.allow_masks && queries.allow_masks[query] && !queries.allow_masks[query][item]) return false;
    bool is_excluded = false;
    for (int64_t at = queries.excluded_starts[query]; at < queries.excluded_starts[query + 1]; at++)
        is_excluded |= queries.excluded[at] == item;
    return !is_excluded;
}

// Replaces the top k of one query by that with bonuses; `scores` and `items` (k) are the result, `heap_…` memory.
inline void rerank(const Transitions& memory, const Queries& queries, int query, const int64_t* newest,
                   int64_t length, const float* hidden, float* heap_scores, int64_t* heap_items, float* scores,
                   int64_t* items) {
    float estimates[2];
    estimate(memory, hidden, estimates);
    Candidates candidates;
    candidates.count = 0;
    const float log_length = std::log(static_cast<float>(length < 50 ? length : 50));
    for (int distance = 1; distance <= LOOKBACK; distance++)
        if (newest[distance - 1])
            add_followers(memory, newest[distance - 1], distance, estimates[1], log_length, candidates);
    Top top = {heap_scores, heap_items, queries.k, 0};
    for (int i = 0; i < queries.k; i++)
        if (items[i] && !candidates.contains(items[i])) top.offer(scores[i], items[i]);
    for (int i = 0; i < candidates.count; i++) {
        const int64_t item = candidates.items[i];
        if (!passes_filter(queries, query, item)) continue;
        const float model = score_item(memory, item, hidden);
        const float gain = estimates[0] + std::log(candidates.weights[i]) - memory.damping * memory.scale * model;
        const float most = gain > 0 ? gain : 0;
        top.offer(model + (most + std::log1p(std::exp(-std::fabs(gain)))) / memory.scale, item);
    }
    top.sort();
    for (int i = 0; i < queries.k; i++) scores[i] = heap_scores[i], items[i] = heap_items[i];
}

}  // namespace
