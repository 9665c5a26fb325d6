"""One pass over the items: vectors read or put together from codes, multiplied by all queries, largest of each group.

Sums are float32 (`ieee`), so that a score is what plain torch finds to rounding. Importing this needs Triton; what it
is for stands in models/triton/group_maxima.py.
"""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def stored_vectors(
    table: tl.tensor, items: tl.tensor, is_item: tl.tensor, features: tl.tensor, WIDTH: tl.constexpr
) -> tl.tensor:
    """(N,) items → (N, F): rows of a table as they lie."""
    mask = is_item[:, None] & (features < WIDTH)[None, :]
    return tl.load(table + items[:, None] * WIDTH + features[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def coded_vectors(
    kept: tl.tensor,
    pieces: tl.tensor,
    items: tl.tensor,
    is_item: tl.tensor,
    features: tl.tensor,
    WIDTH: tl.constexpr,
    PIECE: tl.constexpr,
    CODEBOOK: tl.constexpr,
    IS_PACKED: tl.constexpr,
) -> tl.tensor:
    """(N,) items → (N, F): code j of an item names the piece that holds its features j · PIECE and on."""
    mask = is_item[:, None] & (features < WIDTH)[None, :]
    split = features // PIECE
    if IS_PACKED:  # four codes of six bits in three bytes, the lowest bits first
        of_item = kept + items[:, None] * (WIDTH // PIECE // 4 * 3)
        bit = split % 4 * 6
        byte, shift = split // 4 * 3 + bit // 8, bit % 8
        low = tl.load(of_item + byte[None, :], mask=mask, other=0).to(tl.int32)
        spills = mask & (shift > 2)[None, :]
        high = tl.load(of_item + byte[None, :] + 1, mask=spills, other=0).to(tl.int32)
        code = ((low | (high << 8)) >> shift[None, :]) & 63
    else:
        code = tl.load(kept + items[:, None] * (WIDTH // PIECE) + split[None, :], mask=mask, other=0).to(tl.int32)
    place = (split[None, :] * CODEBOOK + code) * PIECE + (features % PIECE)[None, :]
    return tl.load(pieces + place, mask=mask, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=["rows", "end"])  # type: ignore[untyped-decorator, unused-ignore]
def group_maxima_kernel(
    query: tl.tensor,  # (rows, WIDTH) float32
    table: tl.tensor,  # (end, WIDTH), or the codes, uint8
    pieces: tl.tensor,
    found: tl.tensor,  # (groups, rows) float32
    rows: tl.tensor,
    end: tl.tensor,  # num_items + 1
    WIDTH: tl.constexpr,
    FEATURES: tl.constexpr,  # WIDTH and zeros up to a power of two
    PIECE: tl.constexpr,  # 0: the table is stored
    CODEBOOK: tl.constexpr,
    IS_PACKED: tl.constexpr,
    ITEMS: tl.constexpr,
    GROUP: tl.constexpr,
    QUERIES: tl.constexpr,
) -> None:
    """One program: `ITEMS` items by `QUERIES` queries. Its neighbour has the same items, and finds them in cache."""
    query_tiles = tl.cdiv(rows, QUERIES)
    tile = (tl.program_id(0) // query_tiles).to(tl.int64)  # a large table has more cells than int32 counts
    row = tl.program_id(0) % query_tiles * QUERIES + tl.arange(0, QUERIES)
    items, features = tile * ITEMS + tl.arange(0, ITEMS), tl.arange(0, FEATURES)
    is_item, is_row = (items > 0) & (items < end), row < rows
    if PIECE == 0:
        vectors = stored_vectors(table, items, is_item, features, WIDTH)
    else:
        vectors = coded_vectors(table, pieces, items, is_item, features, WIDTH, PIECE, CODEBOOK, IS_PACKED)
    mask = (features < WIDTH)[:, None] & is_row[None, :]
    queries = tl.load(query + row[None, :] * WIDTH + features[:, None], mask=mask, other=0.0)
    scores = tl.dot(vectors, queries, input_precision="ieee")
    scores = tl.where(is_item[:, None], scores, float("-inf"))
    largest = tl.max(tl.reshape(scores, (ITEMS // GROUP, GROUP, QUERIES)), axis=1)
    group = tile * (ITEMS // GROUP) + tl.arange(0, ITEMS // GROUP)
    is_group = group * GROUP < end
    tl.store(found + group[:, None] * rows + row[None, :], largest, mask=is_group[:, None] & is_row[None, :])
