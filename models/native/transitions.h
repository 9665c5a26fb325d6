// Adds a transition memory (models/transitions) to the top k of a scan: the C interface, as in models/native/layout.py.
//
// Compiled once, for all instruction sets: a query reads a few dozen items.
#pragma once

#include <cmath>
#include <cstdint>

#include "candidates.h"
#include "scan.h"
#include "top.h"
#include "transition_scores.h"

namespace {

constexpr int FEATURES = 8;
// Relative error that scorers and this code may have against each other, and a share of a weight above its rounding.
constexpr float SCORE_ERROR = 1e-4f, WEIGHT_SHARE = 0.999f;
constexpr float LOG_2 = 0.7f;  // rounded up: the largest value of log(1 + exp(−x)) for x ≥ 0

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

// Sets the weights of filtered candidates to 0. Excluded items are looked up among the candidates, which are fewer.
inline void drop_filtered(const Queries& queries, int query, Candidates& candidates) {
    for (int64_t at = queries.excluded_starts[query]; at < queries.excluded_starts[query + 1]; at++) {
        const int16_t position = candidates.locate(queries.excluded[at]);
        if (position >= 0) candidates.weights[position] = 0;
    }
    if (!queries.allow_masks || !queries.allow_masks[query]) return;
    for (int i = 0; i < candidates.count; i++)
        if (!queries.allow_masks[query][candidates.items[i]]) candidates.weights[i] = 0;
}

// Score of an item with a weight, or −inf if that is certainly less than `threshold`.
inline float raise(const Transitions& memory, float log_normalizer, float model, float weight, float threshold) {
    const float gain = log_normalizer + std::log(weight) - memory.damping * memory.scale * model;
    const float most = gain > 0 ? gain : 0;
    if (model + (most + LOG_2) / memory.scale < threshold) return -__builtin_inff();
    return model + (most + std::log1p(std::exp(-std::fabs(gain)))) / memory.scale;
}

// Weight below which an item cannot reach `threshold`, if the model scores it at most `worst`; 0 if it always can.
inline float find_least_weight(const Transitions& memory, float log_normalizer, float worst, float threshold) {
    worst += SCORE_ERROR * (1 + std::fabs(worst));
    if (memory.damping > 1 || threshold <= worst) return 0;  // the score must grow with that of the model
    const float scale = memory.scale;
    const float exponent = scale * (threshold - (1 - memory.damping) * worst) - log_normalizer;
    return WEIGHT_SHARE * std::exp(exponent) * -std::expm1(scale * (worst - threshold));
}

// Replaces the top k of one query by that with bonuses; `scores` and `items` (k) are the result, `heap_…` memory.
//
// The model scores the other items at most as high as the last of a full top k, which excludes most followers.
inline void rerank(const Transitions& memory, const Queries& queries, int query, const int64_t* newest,
                   int64_t length, const float* hidden, float* heap_scores, int64_t* heap_items, float* scores,
                   int64_t* items) {
    float estimates[2];
    estimate(memory, hidden, estimates);
    Candidates candidates;
    candidates.clear(LOOKBACK * (memory.num_followers + 1));
    const float log_length = std::log(static_cast<float>(length < 50 ? length : 50));
    for (int distance = 1; distance <= LOOKBACK; distance++)
        if (newest[distance - 1])
            add_followers(memory, newest[distance - 1], distance, estimates[1], log_length, candidates);
    for (int i = 0; i < candidates.count; i++) prefetch_item(memory, candidates.items[i]);
    drop_filtered(queries, query, candidates);
    Top top = {heap_scores, heap_items, queries.k, 0};
    const bool is_full = items[queries.k - 1] != 0;
    const float worst = scores[queries.k - 1];
    for (int i = 0; i < queries.k; i++) {
        if (!items[i]) continue;
        const int16_t at = candidates.locate(items[i]);
        if (at < 0 || candidates.weights[at] == 0) {
            top.offer(scores[i], items[i]);
        } else {
            top.offer(raise(memory, estimates[0], scores[i], candidates.weights[at], top.threshold()), items[i]);
            candidates.weights[at] = 0;
        }
    }
    float least_weight = is_full ? find_least_weight(memory, estimates[0], worst, top.threshold()) : 0;
    for (int i = 0; i < candidates.count; i++) {
        const int64_t item = candidates.items[i];
        const float weight = candidates.weights[i];
        if (weight <= least_weight) continue;
        const float score = raise(memory, estimates[0], score_item(memory, item, hidden), weight, top.threshold());
        if (score < top.threshold()) continue;
        top.offer(score, item);
        if (is_full) least_weight = find_least_weight(memory, estimates[0], worst, top.threshold());
    }
    top.sort();
    for (int i = 0; i < queries.k; i++) scores[i] = heap_scores[i], items[i] = heap_items[i];
}

}  // namespace
