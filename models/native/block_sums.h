// Sums of bytes for 64 items in parallel, and which of the items reach a query's threshold.
//
// A block holds the codes of 64 items, subspace by subspace: 64 codes in 48 bytes, as packing.py packs them. With byte
// permutation (AVX-512 VBMI) one instruction looks up 64 codes in a table of 64 bytes.
#pragma once

#include <cstdint>

#ifdef __AVX512VBMI__
#include <immintrin.h>
#endif

namespace {

constexpr int BLOCK_ITEMS = 64, ROW_BYTES = 48;  // items of a block, and the bytes of their codes in one subspace
constexpr int LOOKUP = 64;                       // bytes of a subspace's table
constexpr int MAX_BYTE = 127;                    // largest entry: two are added before they are widened

#ifdef __AVX512VBMI__

// Sets in hits[q] the bit of each item whose bytes in `lookups[q]` (num_subspaces, 64) sum to least[q] or more.
template <int Q>
inline void find_hits(const uint8_t* block, int num_subspaces, const uint8_t* const* lookups, const uint16_t* least,
                     uint64_t* hits) {
    alignas(64) uint8_t spread[BLOCK_ITEMS], shifts[BLOCK_ITEMS];
    for (int byte = 0; byte < BLOCK_ITEMS; byte++) {
        spread[byte] = static_cast<uint8_t>(byte / 8 * 6 + (byte % 8 < 6 ? byte % 8 : 0));
        shifts[byte] = static_cast<uint8_t>(byte % 8 * 6);
    }
    const __m512i spreading = _mm512_load_si512(spread), shifting = _mm512_load_si512(shifts);
    const __mmask64 row = (1ull << ROW_BYTES) - 1;
    __m512i pairs[Q], odd[Q];  // sums of even items plus 256 times those of odd ones; and sums of odd items
    for (int q = 0; q < Q; q++) pairs[q] = odd[q] = _mm512_setzero_si512();
    for (int subspace = 0; subspace < num_subspaces; subspace += 2) {
        const uint8_t* at = block + subspace * ROW_BYTES;
        // The two bits above a code belong to the next one; a lookup among 64 ignores them.
        const __m512i first = _mm512_multishift_epi64_epi8(
            shifting, _mm512_permutexvar_epi8(spreading, _mm512_maskz_loadu_epi8(row, at)));
        const __m512i second = _mm512_multishift_epi64_epi8(
            shifting, _mm512_permutexvar_epi8(spreading, _mm512_maskz_loadu_epi8(row, at + ROW_BYTES)));
        for (int q = 0; q < Q; q++) {
            const uint8_t* lookup = lookups[q] + subspace * LOOKUP;
            const __m512i both =
                _mm512_add_epi8(_mm512_permutexvar_epi8(first, _mm512_load_si512(lookup)),
                                _mm512_permutexvar_epi8(second, _mm512_load_si512(lookup + LOOKUP)));
            pairs[q] = _mm512_add_epi16(pairs[q], both);
            odd[q] = _mm512_add_epi16(odd[q], _mm512_srli_epi16(both, 8));
        }
    }
    for (int q = 0; q < Q; q++) {
        const __m512i threshold = _mm512_set1_epi16(static_cast<int16_t>(least[q]));
        const __m512i even = _mm512_sub_epi16(pairs[q], _mm512_slli_epi16(odd[q], 8));
        hits[q] = _pdep_u64(_mm512_cmpge_epu16_mask(even, threshold), 0x5555555555555555ull) |
                   _pdep_u64(_mm512_cmpge_epu16_mask(odd[q], threshold), 0xaaaaaaaaaaaaaaaaull);
    }
}

#else

template <int Q>
inline void find_hits(const uint8_t* block, int num_subspaces, const uint8_t* const* lookups, const uint16_t* least,
                     uint64_t* hits) {
    uint16_t sums[Q][BLOCK_ITEMS] = {};
    for (int subspace = 0; subspace < num_subspaces; subspace++) {
        uint8_t codes[BLOCK_ITEMS];
        for (int four = 0; four < BLOCK_ITEMS / 4; four++) {
            const uint8_t* at = block + subspace * ROW_BYTES + 3 * four;
            const uint32_t word = at[0] | at[1] << 8 | at[2] << 16;
            for (int j = 0; j < 4; j++) codes[4 * four + j] = word >> 6 * j & 63;
        }
        for (int q = 0; q < Q; q++)
            for (int slot = 0; slot < BLOCK_ITEMS; slot++)
                sums[q][slot] = static_cast<uint16_t>(sums[q][slot] + lookups[q][subspace * LOOKUP + codes[slot]]);
    }
    for (int q = 0; q < Q; q++) {
        hits[q] = 0;
        for (int slot = 0; slot < BLOCK_ITEMS; slot++)
            hits[q] |= static_cast<uint64_t>(sums[q][slot] >= least[q]) << slot;
    }
}

#endif

}  // namespace
