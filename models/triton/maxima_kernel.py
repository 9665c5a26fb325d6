"""Triton kernel of models/triton/group_maxima.py: one pass over items, products with all queries, group maxima.

Accumulates in float32 (`ieee`), so that scores equal those of plain torch up to rounding. Importing needs Triton.
"""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def load_vectors(
    table: tl.tensor, items: tl.tensor, is_item: tl.tensor, features: tl.tensor, WIDTH: tl.constexpr
) -> tl.tensor:
    """(N,) items → (N, F) rows of a full table."""
    mask = is_item[:, None] & (features < WIDTH)[None, :]
    return tl.load(table + items[:, None] * WIDTH + features[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def decode_vectors(
    codes: tl.tensor,
    codebooks: tl.tensor,
    items: tl.tensor,
    is_item: tl.tensor,
    features: tl.tensor,
    WIDTH: tl.constexpr,
    CENTROID_WIDTH: tl.constexpr,
    CODEBOOK_SIZE: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> tl.tensor:
    """(N,) items → (N, F): code j of an item selects the centroid of its features from j · CENTROID_WIDTH."""
    mask = is_item[:, None] & (features < WIDTH)[None, :]
    subspace = features // CENTROID_WIDTH
    if IS_PACKED:  # four codes of six bits in three bytes, the lowest bits first
        item_codes = codes + items[:, None] * (WIDTH // CENTROID_WIDTH // 4 * 3)
        bit = subspace % 4 * 6
        byte, shift = subspace // 4 * 3 + bit // 8, bit % 8
        low = tl.load(item_codes + byte[None, :], mask=mask, other=0).to(tl.int32)
        spills = mask & (shift > 2)[None, :]
        high = tl.load(item_codes + byte[None, :] + 1, mask=spills, other=0).to(tl.int32)
        code = ((low | (high << 8)) >> shift[None, :]) & 63
    else:
        address = codes + items[:, None] * (WIDTH // CENTROID_WIDTH) + subspace[None, :]
        code = tl.load(address, mask=mask, other=0).to(tl.int32)
    offset = (subspace[None, :] * CODEBOOK_SIZE + code) * CENTROID_WIDTH + (features % CENTROID_WIDTH)[None, :]
    return tl.load(codebooks + offset, mask=mask, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=["rows", "end"])  # type: ignore[untyped-decorator, unused-ignore]
def group_maxima_kernel(
    query: tl.tensor,  # (rows, WIDTH) float32
    table: tl.tensor,  # (end, WIDTH), or the codes, uint8
    codebooks: tl.tensor,
    maxima: tl.tensor,  # (groups, rows) float32
    rows: tl.tensor,
    end: tl.tensor,  # num_items + 1
    WIDTH: tl.constexpr,
    FEATURES: tl.constexpr,  # WIDTH padded with zeros to a power of two
    CENTROID_WIDTH: tl.constexpr,  # 0 for a full table
    CODEBOOK_SIZE: tl.constexpr,
    IS_PACKED: tl.constexpr,
    ITEMS: tl.constexpr,
    GROUP: tl.constexpr,
    QUERIES: tl.constexpr,
) -> None:
    """Compute `ITEMS` items by `QUERIES` queries; the next program has the same items and reads them from cache."""
    query_tiles = tl.cdiv(rows, QUERIES)
    tile = (tl.program_id(0) // query_tiles).to(tl.int64)  # a large table has more cells than int32 counts
    row = tl.program_id(0) % query_tiles * QUERIES + tl.arange(0, QUERIES)
    items, features = tile * ITEMS + tl.arange(0, ITEMS), tl.arange(0, FEATURES)
    is_item, is_row = (items > 0) & (items < end), row < rows
    if CENTROID_WIDTH == 0:
        vectors = load_vectors(table, items, is_item, features, WIDTH)
    else:
        vectors = decode_vectors(
            table, codebooks, items, is_item, features, WIDTH, CENTROID_WIDTH, CODEBOOK_SIZE, IS_PACKED
        )
    mask = (features < WIDTH)[:, None] & is_row[None, :]
    queries = tl.load(query + row[None, :] * WIDTH + features[:, None], mask=mask, other=0.0)
    scores = tl.dot(vectors, queries, input_precision="ieee")
    scores = tl.where(is_item[:, None], scores, float("-inf"))
    largest = tl.max(tl.reshape(scores, (ITEMS // GROUP, GROUP, QUERIES)), axis=1)
    group = tile * (ITEMS // GROUP) + tl.arange(0, ITEMS // GROUP)
    is_group = group * GROUP < end
    tl.store(maxima + group[:, None] * rows + row[None, :], largest, mask=is_group[:, None] & is_row[None, :])
