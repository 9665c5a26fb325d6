// Exact top k of a catalogue of product-quantization codes, 64 items at a time.
//
// Blocks hold six bits per subspace: a code, or a group of codes, whose table entry is the largest one of its codes.
// A query's lookup table is rounded to bytes, an item's bytes are summed (models/native/block_sums.h), and only items
// whose sum can still reach the top k are scored in floats. The rounding error is bounded, so no skipped item can be in
// the top k.
#pragma once

#include "block_sums.h"
#include "scan.h"
#include "scan_tables.h"
#include "top.h"

namespace {

constexpr int GROUP = 8;  // queries that share one read of a block
constexpr int TILE = 64;  // blocks that stay in the cache while all queries read them

inline float block_score(const Blocks& table, const uint8_t* block, int slot, int64_t item, const float* products) {
    float sums[4] = {};
    if (table.groups) {
        const uint8_t* codes = table.codes + item * table.num_subspaces;
        for (int subspace = 0; subspace < table.num_subspaces; subspace++)
            sums[subspace & 3] += products[subspace * table.codebook_size + codes[subspace]];
        return (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    const int byte = slot / 4 * 3, shift = slot % 4 * 6;
    for (int subspace = 0; subspace < table.num_subspaces; subspace++) {
        const uint8_t* at = block + subspace * ROW_BYTES + byte;
        const uint32_t word = at[0] | at[1] << 8 | at[2] << 16;
        sums[subspace & 3] += products[subspace * table.codebook_size + (word >> shift & 63)];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Scores the hits of a block one by one in rising order.
inline void score_hits(const Blocks& table, const Queries& queries, int64_t number, uint64_t hits, Reader& reader) {
    const uint8_t* block = table.blocks + number * table.num_subspaces * ROW_BYTES;
    for (; hits; hits &= hits - 1) {
        const int slot = __builtin_ctzll(hits);
        const int64_t at = number * BLOCK_ITEMS + slot;
        const int64_t item = table.items ? table.items[at] : at;
        // A mask that allows few items keeps the threshold low: most hits are of items that it does not allow.
        if (item == 0 || item > table.num_items || !is_allowed(queries, reader.query, item)) continue;
        // Most hits fail this comparison, and a search among excluded items would take longer than the score.
        const float score = block_score(table, block, slot, item, reader.products);
        if (!(score >= reader.top->threshold()) || !is_eligible(queries, reader.query, item)) continue;
        reader.top->offer(score, item);
        set_least(reader, table.num_subspaces);
    }
}

// Scans blocks [begin, end) for Q readers.
template <int Q>
inline void read_blocks(const Blocks& table, const Queries& queries, int64_t begin, int64_t end,
                        Reader* const* readers) {
    const uint8_t* rounded[Q];
    for (int q = 0; q < Q; q++) rounded[q] = readers[q]->rounded;
    for (int64_t number = begin; number < end; number++) {
        uint16_t least[Q];
        uint64_t hits[Q];
        for (int q = 0; q < Q; q++) least[q] = readers[q]->least;
        const uint8_t* block = table.blocks + number * table.num_subspaces * ROW_BYTES;
        find_hits<Q>(block, table.num_subspaces, rounded, least, hits);
        for (int q = 0; q < Q; q++)
            if (hits[q]) score_hits(table, queries, number, hits[q], *readers[q]);
    }
}

inline void read_all(const Blocks& table, const Queries& queries, int64_t begin, int64_t end, Reader** readers,
                     int count) {
    for (; count >= GROUP; count -= GROUP, readers += GROUP) read_blocks<GROUP>(table, queries, begin, end, readers);
    if (count >= 4) read_blocks<4>(table, queries, begin, end, readers), count -= 4, readers += 4;
    if (count >= 2) read_blocks<2>(table, queries, begin, end, readers), count -= 2, readers += 2;
    if (count) read_blocks<1>(table, queries, begin, end, readers);
}

// Working memory of a scan of `count` queries with `nprobe` lists each.
struct ReadersMemory {
    Reader* readers;
    Top* tops;
    Reader** order;
    uint8_t* rounded;
    float *lows, *bounds;
    int64_t* ends;  // (lists + 1): where the readers of each list end in `order`
    int64_t bytes;

    ReadersMemory(const Blocks& table, int64_t count, int64_t nprobe, uint8_t* at) {
        const uint8_t* begin = at;
        rounded = take<uint8_t>(at, count * table.num_subspaces * LOOKUP), lows = take<float>(at, table.num_subspaces);
        bounds = take<float>(at, table.groups ? table.num_subspaces * LOOKUP : 0);
        readers = take<Reader>(at, count), tops = take<Top>(at, count);
        order = take<Reader*>(at, count * (nprobe > 1 ? nprobe : 1)), ends = take<int64_t>(at, table.num_lists + 1);
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

// Reads all blocks, a tile at a time.
inline void read_everything(const Blocks& table, const Queries& queries, ReadersMemory& memory) {
    for (int query = 0; query < queries.count; query++) memory.order[query] = memory.readers + query;
    for (int64_t begin = 0; begin < table.num_blocks; begin += TILE) {
        const int64_t end = begin + TILE < table.num_blocks ? begin + TILE : table.num_blocks;
        read_all(table, queries, begin, end, memory.order, queries.count);
    }
}

// Reads `lists` (count, nprobe), the best first. A query's best list is read first and alone, because it raises the
// threshold for the remaining ones, each of which is then read once for all queries that probe it.
inline void read_lists(const Blocks& table, const Queries& queries, const int32_t* lists, int nprobe,
                       ReadersMemory& memory) {
    int64_t* ends = memory.ends;
    for (int64_t list = 0; list <= table.num_lists; list++) ends[list] = 0;
    for (int query = 0; query < queries.count; query++) {
        const int32_t* query_lists = lists + static_cast<int64_t>(query) * nprobe;
        Reader* reader = memory.readers + query;
        read_blocks<1>(table, queries, table.starts[query_lists[0]], table.starts[query_lists[0] + 1], &reader);
        for (int i = 1; i < nprobe; i++) ends[query_lists[i] + 1]++;
    }
    for (int64_t list = 0; list < table.num_lists; list++) ends[list + 1] += ends[list];
    // Filling `order` moves each entry of `ends` from the list's begin to its end.
    for (int query = 0; query < queries.count; query++)
        for (int i = 1; i < nprobe; i++)
            memory.order[ends[lists[static_cast<int64_t>(query) * nprobe + i]]++] = memory.readers + query;
    for (int64_t list = 0; list < table.num_lists; list++) {
        const int64_t from = list ? ends[list - 1] : 0;
        const int count = static_cast<int>(ends[list] - from);
        if (count) read_all(table, queries, table.starts[list], table.starts[list + 1], memory.order + from, count);
    }
}

inline int64_t blocks_workspace(const Blocks& table, int64_t count, int64_t nprobe) {
    return ReadersMemory(table, count, nprobe, nullptr).bytes / 4;
}

// Fills scores and items (count, k), best first; without `lists` all blocks are read.
inline void scan_blocks(const Blocks& table, const Queries& queries, const int32_t* lists, int nprobe, float* work,
                        float* scores, int64_t* items) {
    ReadersMemory memory(table, queries.count, nprobe, reinterpret_cast<uint8_t*>(work));
    const int64_t table_size = static_cast<int64_t>(table.num_subspaces) * table.codebook_size;
    for (int query = 0; query < queries.count; query++) {
        const int64_t at = static_cast<int64_t>(query) * queries.k;
        memory.tops[query] = {scores + at, items + at, queries.k, 0};
        Reader& reader = memory.readers[query];
        uint8_t* rounded = memory.rounded + static_cast<int64_t>(query) * table.num_subspaces * LOOKUP;
        reader.products = queries.lookup_tables + query * table_size;
        if (table.groups) bound_groups(table, reader.products, memory.bounds);
        round_products(table.groups ? memory.bounds : reader.products, table.num_subspaces,
                       table.groups ? LOOKUP : table.codebook_size, rounded, memory.lows, reader);
        reader.top = memory.tops + query, reader.query = query;
        set_least(reader, table.num_subspaces);
    }
    if (lists) read_lists(table, queries, lists, nprobe, memory);
    else read_everything(table, queries, memory);
    for (int query = 0; query < queries.count; query++) memory.tops[query].sort();
}

}  // namespace
