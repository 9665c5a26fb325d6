// Sums of bytes for 64 items at once, and which of the items reach what a query asks for.
//
// Codes lie in blocks: for 64 items and one split after the other, the 64 codes in 48 bytes, as packing.py packs them.
// A processor with byte permutations (AVX-512 VBMI) looks 64 codes up in a table of 64 bytes with one instruction.
#pragma once

#include <cstdint>

#ifdef __AVX512VBMI__
#include <immintrin.h>
#endif

namespace {

constexpr int PLACES = 64, ROW = 48;  // items of a block, and the bytes of their codes in one split
constexpr int LOOKUP = 64;            // bytes of a split's table
constexpr int MOST = 127;             // of a byte in it: two are added up before they are widened

#ifdef __AVX512VBMI__

// found[q] has a bit for each item whose bytes in `lookups[q]` (splits, 64) add up to `least[q]` or more.
template <int Q>
inline void reaching(const uint8_t* block, int splits, const uint8_t* const* lookups, const uint16_t* least,
                     uint64_t* found) {
    alignas(64) uint8_t spread[PLACES], shifts[PLACES];
    for (int byte = 0; byte < PLACES; byte++) {
        spread[byte] = static_cast<uint8_t>(byte / 8 * 6 + (byte % 8 < 6 ? byte % 8 : 0));
        shifts[byte] = static_cast<uint8_t>(byte % 8 * 6);
    }
    const __m512i spreading = _mm512_load_si512(spread), shifting = _mm512_load_si512(shifts);
    const __mmask64 row = (1ull << ROW) - 1;
    __m512i pairs[Q], odd[Q];  // sums of even items, with 256 times those of odd ones on top of them; and of odd ones
    for (int q = 0; q < Q; q++) pairs[q] = odd[q] = _mm512_setzero_si512();
    for (int split = 0; split < splits; split += 2) {
        const uint8_t* at = block + split * ROW;
        // Above a code's six bits stand two of the next one, which a lookup among 64 does not read.
        const __m512i first = _mm512_multishift_epi64_epi8(
            shifting, _mm512_permutexvar_epi8(spreading, _mm512_maskz_loadu_epi8(row, at)));
        const __m512i second = _mm512_multishift_epi64_epi8(
            shifting, _mm512_permutexvar_epi8(spreading, _mm512_maskz_loadu_epi8(row, at + ROW)));
        for (int q = 0; q < Q; q++) {
            const uint8_t* lookup = lookups[q] + split * LOOKUP;
            const __m512i both =
                _mm512_add_epi8(_mm512_permutexvar_epi8(first, _mm512_load_si512(lookup)),
                                _mm512_permutexvar_epi8(second, _mm512_load_si512(lookup + LOOKUP)));
            pairs[q] = _mm512_add_epi16(pairs[q], both);
            odd[q] = _mm512_add_epi16(odd[q], _mm512_srli_epi16(both, 8));
        }
    }
    for (int q = 0; q < Q; q++) {
        const __m512i asked = _mm512_set1_epi16(static_cast<int16_t>(least[q]));
        const __m512i even = _mm512_sub_epi16(pairs[q], _mm512_slli_epi16(odd[q], 8));
        found[q] = _pdep_u64(_mm512_cmpge_epu16_mask(even, asked), 0x5555555555555555ull) |
                   _pdep_u64(_mm512_cmpge_epu16_mask(odd[q], asked), 0xaaaaaaaaaaaaaaaaull);
    }
}

#else

template <int Q>
inline void reaching(const uint8_t* block, int splits, const uint8_t* const* lookups, const uint16_t* least,
                     uint64_t* found) {
    uint16_t sums[Q][PLACES] = {};
    for (int split = 0; split < splits; split++) {
        uint8_t codes[PLACES];
        for (int four = 0; four < PLACES / 4; four++) {
            const uint8_t* at = block + split * ROW + 3 * four;
            const uint32_t word = at[0] | at[1] << 8 | at[2] << 16;
            for (int j = 0; j < 4; j++) codes[4 * four + j] = word >> 6 * j & 63;
        }
        for (int q = 0; q < Q; q++)
            for (int place = 0; place < PLACES; place++)
                sums[q][place] = static_cast<uint16_t>(sums[q][place] + lookups[q][split * LOOKUP + codes[place]]);
    }
    for (int q = 0; q < Q; q++) {
        found[q] = 0;
        for (int place = 0; place < PLACES; place++)
            found[q] |= static_cast<uint64_t>(sums[q][place] >= least[q]) << place;
    }
}

#endif

}  // namespace
