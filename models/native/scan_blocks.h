// The best items of a catalogue of six-bit product codes, 64 items at a time, exactly.
//
// The products of a query are rounded to bytes, an item's bytes are added up (models/native/block_sums.h), and only
// items whose sum could still reach the best are scored in floats. Rounding is bounded: what is left out could not have
// got in.
#pragma once

#include "block_sums.h"
#include "scan.h"
#include "top.h"
#include "vector.h"

namespace {

constexpr int GROUP = 8;  // queries that share the reading of a block
constexpr int TILE = 64;  // blocks that stay in the cache while all queries read them

// What a query asks of blocks: its products, rounded, and what a sum of bytes must reach.
struct Reader {
    const float* products;
    const uint8_t* rounded;  // (splits, LOOKUP)
    Top* top;
    float low, step;  // a score is low + step · (sum of bytes), give or take step / 2 per split
    uint16_t least;
    int query;
};

inline void set_least(Reader& reader, int splits) {
    const float above = reader.top->threshold();
    // One more for what floats lose on the way.
    const float least = (above - reader.low) / reader.step - 0.5f * splits - 1.0f;
    reader.least = least > 0.0f ? (least < 65535.0f ? static_cast<uint16_t>(least) : 65535) : 0;
}

inline vec smaller_of(vec a, vec b) { return a < b ? a : b; }

// The least of a split's products, and how far the largest is above it.
inline float least_of(const float* products, int codebook, float& range) {
    vec least = all(products[0]), most = least;
    int code = 0;
    for (; code + LANES <= codebook; code += LANES) {
        const vec some = load(products + code);
        least = smaller_of(some, least), most = greater_of(some, most);
    }
    float low = least[0], high = most[0];
    for (int lane = 1; lane < LANES; lane++)
        low = least[lane] < low ? least[lane] : low, high = most[lane] > high ? most[lane] : high;
    for (; code < codebook; code++)
        low = products[code] < low ? products[code] : low, high = products[code] > high ? products[code] : high;
    range = high - low > range ? high - low : range;
    return low;
}

// `lows` has room for a number per split.
inline void round_products(const float* products, int splits, int codebook, uint8_t* rounded, float* lows,
                           Reader& reader) {
    float low = 0.0f, range = 0.0f;
    for (int split = 0; split < splits; split++)
        low += lows[split] = least_of(products + split * codebook, codebook, range);
    reader.low = low, reader.step = range > 0.0f ? range / MOST : 1.0f;
    const float steps = 1.0f / reader.step;
    for (int split = 0; split < splits; split++) {
        const float* from = products + split * codebook;
        uint8_t* to = rounded + split * LOOKUP;
        for (int code = 0; code < codebook; code++)  // at most MOST + 0.5, but for what floats lose
            to[code] = static_cast<uint8_t>(static_cast<int32_t>((from[code] - lows[split]) * steps + 0.5f));
        for (int code = codebook; code < LOOKUP; code++) to[code] = 0;
    }
    reader.products = products, reader.rounded = rounded;
}

inline float block_score(const Blocks& table, const uint8_t* block, int place, const float* products) {
    float sums[4] = {};
    const int byte = place / 4 * 3, shift = place % 4 * 6;
    for (int split = 0; split < table.splits; split++) {
        const uint8_t* at = block + split * ROW + byte;
        const uint32_t word = at[0] | at[1] << 8 | at[2] << 16;
        sums[split & 3] += products[split * table.codebook + (word >> shift & 63)];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Items of a block that may be among the best, looked at one by one in rising order.
inline void look_closer(const Blocks& table, const Questions& asked, int64_t number, uint64_t found, Reader& reader) {
    const uint8_t* block = table.blocks + number * table.splits * ROW;
    for (; found; found &= found - 1) {
        const int place = __builtin_ctzll(found);
        const int64_t at = number * PLACES + place;
        const int64_t item = table.items ? table.items[at] : at;
        if (item == 0 || item > table.num_items || !is_answerable(asked, reader.query, item)) continue;
        const float score = block_score(table, block, place, reader.products);
        if (!(score >= reader.top->threshold())) continue;
        reader.top->offer(score, item);
        set_least(reader, table.splits);
    }
}

// Blocks [begin, end) for Q readers.
template <int Q>
inline void read_blocks(const Blocks& table, const Questions& asked, int64_t begin, int64_t end,
                        Reader* const* readers) {
    const uint8_t* rounded[Q];
    for (int q = 0; q < Q; q++) rounded[q] = readers[q]->rounded;
    for (int64_t number = begin; number < end; number++) {
        uint16_t least[Q];
        uint64_t found[Q];
        for (int q = 0; q < Q; q++) least[q] = readers[q]->least;
        reaching<Q>(table.blocks + number * table.splits * ROW, table.splits, rounded, least, found);
        for (int q = 0; q < Q; q++)
            if (found[q]) look_closer(table, asked, number, found[q], *readers[q]);
    }
}

inline void read_all(const Blocks& table, const Questions& asked, int64_t begin, int64_t end, Reader** readers,
                     int count) {
    for (; count >= GROUP; count -= GROUP, readers += GROUP) read_blocks<GROUP>(table, asked, begin, end, readers);
    if (count >= 4) read_blocks<4>(table, asked, begin, end, readers), count -= 4, readers += 4;
    if (count >= 2) read_blocks<2>(table, asked, begin, end, readers), count -= 2, readers += 2;
    if (count) read_blocks<1>(table, asked, begin, end, readers);
}

// What a scan writes down while it goes, for `count` queries with `probes` lists each.
struct ReadersMemory {
    Reader* readers;
    Top* tops;
    Reader** order;
    uint8_t* rounded;
    float* lows;
    int64_t* ends;  // (lists + 1): where the readers of each list end in `order`
    int64_t bytes;

    ReadersMemory(const Blocks& table, int64_t count, int64_t probes, uint8_t* at) {
        const uint8_t* begin = at;
        rounded = take<uint8_t>(at, count * table.splits * LOOKUP), lows = take<float>(at, table.splits);
        readers = take<Reader>(at, count), tops = take<Top>(at, count);
        order = take<Reader*>(at, count * (probes > 1 ? probes : 1)), ends = take<int64_t>(at, table.num_lists + 1);
        bytes = at - begin;
    }

   private:
    template <typename T>
    static T* take(uint8_t*& at, int64_t count) {
        T* taken = reinterpret_cast<T*>(at);
        at += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
        return taken;
    }
};

// Everything, a tile at a time.
inline void read_everything(const Blocks& table, const Questions& asked, ReadersMemory& memory) {
    for (int query = 0; query < asked.count; query++) memory.order[query] = memory.readers + query;
    for (int64_t begin = 0; begin < table.num_blocks; begin += TILE) {
        const int64_t end = begin + TILE < table.num_blocks ? begin + TILE : table.num_blocks;
        read_all(table, asked, begin, end, memory.order, asked.count);
    }
}

// `lists` (count, probes), the best first: it is read before the others and alone, because it raises what they must
// reach. Of the others, a list is read once for all queries that want it.
inline void read_lists(const Blocks& table, const Questions& asked, const int32_t* lists, int probes,
                       ReadersMemory& memory) {
    int64_t* ends = memory.ends;
    for (int64_t list = 0; list <= table.num_lists; list++) ends[list] = 0;
    for (int query = 0; query < asked.count; query++) {
        const int32_t* wanted = lists + static_cast<int64_t>(query) * probes;
        Reader* reader = memory.readers + query;
        read_blocks<1>(table, asked, table.starts[wanted[0]], table.starts[wanted[0] + 1], &reader);
        for (int i = 1; i < probes; i++) ends[wanted[i] + 1]++;
    }
    for (int64_t list = 0; list < table.num_lists; list++) ends[list + 1] += ends[list];
    // From where each list begins to where it ends, and so `ends` becomes what it is called.
    for (int query = 0; query < asked.count; query++)
        for (int i = 1; i < probes; i++)
            memory.order[ends[lists[static_cast<int64_t>(query) * probes + i]]++] = memory.readers + query;
    for (int64_t list = 0; list < table.num_lists; list++) {
        const int64_t from = list ? ends[list - 1] : 0;
        const int count = static_cast<int>(ends[list] - from);
        if (count) read_all(table, asked, table.starts[list], table.starts[list + 1], memory.order + from, count);
    }
}

inline int64_t blocks_workspace(const Blocks& table, int64_t count, int64_t probes) {
    return ReadersMemory(table, count, probes, nullptr).bytes / 4;
}

// scores and items (count, k), best first; without `lists` everything is read.
inline void scan_blocks(const Blocks& table, const Questions& asked, const int32_t* lists, int probes, float* work,
                        float* scores, int64_t* items) {
    ReadersMemory memory(table, asked.count, probes, reinterpret_cast<uint8_t*>(work));
    const int pieces = table.splits * table.codebook;
    for (int query = 0; query < asked.count; query++) {
        const int64_t at = static_cast<int64_t>(query) * asked.k;
        memory.tops[query] = {scores + at, items + at, asked.k, 0};
        Reader& reader = memory.readers[query];
        round_products(asked.products + static_cast<int64_t>(query) * pieces, table.splits, table.codebook,
                       memory.rounded + static_cast<int64_t>(query) * table.splits * LOOKUP, memory.lows, reader);
        reader.top = memory.tops + query, reader.query = query;
        set_least(reader, table.splits);
    }
    if (lists) read_lists(table, asked, lists, probes, memory);
    else read_everything(table, asked, memory);
    for (int query = 0; query < asked.count; query++) memory.tops[query].sort();
}

}  // namespace
