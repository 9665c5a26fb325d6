"""Draw the pictures of the model pages as SVG: `python docs/draw_pictures.py`; `--check` compares only.

Each picture has its own light background, so that its text is readable on light and dark pages. This file is longer
than 250 lines because the pictures share their shapes and colors.
"""

import sys
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent / "pictures"
INK, MUTED, PAPER = "#1f2933", "#4a5560", "#fbfbf9"
BLUE, GREEN, ORANGE, VIOLET, GREY = "#d3e4f7", "#d5efdc", "#fde3c8", "#e6dcfa", "#e4e7eb"
LINE = "#7b8794"
CHARACTER = 0.56
"""Width of a character as a share of the font size: an upper estimate for most texts in sans-serif fonts."""


class Picture:
    def __init__(self, name: str, width: int, height: int, description: str) -> None:
        self.name, self.width, self.height = name, width, height
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' role="img" font-family="system-ui, sans-serif">',
            f"<title>{escape(description)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{GREY}"/>',
        ]

    def write(self, x: float, y: float, text: str, size: int = 13, anchor: str = "middle", color: str = INK) -> None:
        room = {"middle": 2 * min(x, self.width - x), "start": self.width - x, "end": x}[anchor]
        assert len(text) * size * CHARACTER <= room, f"{self.name}: {text!r} leaves the picture"
        attributes = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{color}"'
        self.parts.append(f"<text {attributes}>{escape(text)}</text>")

    def fill(self, x: float, y: float, width: float, height: float, color: str, radius: int = 5) -> None:
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self.parts.append(f'<rect {place} rx="{radius}" fill="{color}" stroke="{LINE}"/>')

    def box(self, x: float, y: float, width: float, height: float, color: str, *lines: str) -> None:
        """Draw a box with centered lines, the first one larger."""
        self.fill(x, y, width, height, color)
        top = y + height / 2 - 8 * (len(lines) - 1) + 4
        for number, line in enumerate(lines):
            size = 11 if number else 13
            assert len(line) * size * CHARACTER <= width, f"{self.name}: {line!r} is wider than its box"
            self.write(x + width / 2, top + 16 * number, line, size, color=MUTED if number else INK)

    def cells(self, x: float, y: float, texts: list[str], colors: list[str], width: float = 30) -> None:
        for number, (text, color) in enumerate(zip(texts, colors, strict=True)):
            self.fill(x + number * width, y, width, 26, color, 2)
            self.write(x + (number + 0.5) * width, y + 17, text, 11)

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(
            f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{LINE}" fill="none" marker-end="url(#tip)"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{LINE}" fill="none"/>')

    def format(self) -> str:
        return "\n".join([*self.parts, "</svg>", ""])


def draw_blossom() -> Picture:
    picture = Picture("blossom", 760, 250, "Parts of blossom from a history to the top k")
    picture.cells(20, 40, ["P-30", "P-6", "P-31"], [GREY] * 3, 42)
    picture.write(83, 30, "history, oldest first", 11, color=MUTED)
    picture.box(20, 95, 126, 46, BLUE, "codes", "32 per item")
    picture.box(20, 165, 126, 46, ORANGE, "intervals", "time since the last")
    picture.arrow(83, 66, 83, 94)
    picture.box(190, 120, 120, 60, VIOLET, "lower block", "dense, causal", "at few positions")
    picture.box(340, 120, 120, 60, VIOLET, "top block", "static mask,", "the cone")
    picture.box(490, 130, 70, 40, GREY, "hidden")
    picture.box(595, 60, 145, 60, BLUE, "tied head", "one product per code,", "a sum per item")
    picture.box(595, 160, 145, 60, GREEN, "transition memory", "8 followers of each", "newest item")
    picture.arrow(146, 118, 189, 140)
    picture.arrow(146, 188, 189, 160)
    for start, end in ((310, 339), (460, 489)):
        picture.arrow(start, 150, end, 150)
    picture.arrow(560, 145, 594, 100)
    picture.arrow(667, 120, 667, 159)
    picture.write(667, 239, "mixed into the top k", 11, color=MUTED)
    return picture


def draw_codes() -> Picture:
    picture = Picture(
        "codes", 760, 240, "An item has one code per subspace, and each code selects a piece of its vector"
    )
    picture.write(20, 36, "codes of P-7", 13, "start")
    picture.cells(120, 18, ["41", "7", "63", "0", "…", "12"], [BLUE, GREEN, ORANGE, VIOLET, GREY, BLUE], 100)
    for number, color in enumerate((BLUE, GREEN, ORANGE, VIOLET, GREY, BLUE)):
        center = 170 + number * 100
        picture.arrow(center, 44, center, 78)
        for row in range(4):
            picture.fill(center - 34, 80 + row * 16, 68, 16, color if row == (number * 3 + 1) % 4 else PAPER, 0)
        picture.arrow(center, 146, center, 180)
    picture.write(20, 115, "codebooks,", 13, "start")
    picture.write(20, 131, "shared", 13, "start")
    picture.cells(120, 182, ["ψ", "ψ", "ψ", "ψ", "…", "ψ"], [BLUE, GREEN, ORANGE, VIOLET, GREY, BLUE], 100)
    picture.write(20, 200, "vector", 13, "start")
    picture.write(420, 230, "a row of 24 or 32 bytes in place of 64 numbers of 4 bytes", 11, color=MUTED)
    return picture


def draw_cone() -> Picture:
    picture = Picture("cone", 760, 250, "The last output depends on few positions of the block below")
    length, left, step = 33, 50, 20.0
    distances = {0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32}
    last = left + (length - 0.5) * step
    for position in range(length):
        x = left + position * step
        picture.fill(x, 180, step, 24, BLUE, 2)
        picture.fill(x, 110, step, 24, VIOLET if length - 1 - position in distances else PAPER, 2)
        if length - 1 - position in distances:
            picture.line(last, 64, x + step / 2, 109)
    for target in (0, 8, 16):
        picture.line(left + 16.5 * step, 135, left + (target + 0.5) * step, 179)
    picture.box(last - 40, 28, 80, 36, ORANGE, "output")
    picture.write(left, 40, "top block: reads 11 of 33 positions", 12, "start")
    picture.write(left + 350, 160, "lower block: dense, computed at these 11 only", 12, "start")
    picture.write(left, 226, "oldest event", 11, "start", MUTED)
    picture.write(left + length * step, 226, "newest event", 11, "end", MUTED)
    return picture


def draw_intervals() -> Picture:
    picture = Picture("intervals", 760, 180, "Events on a time line and the class of each interval")
    picture.arrow(30, 70, 735, 70)
    events = [(80, "", "0"), (200, "same second", "1"), (320, "40 s", "2 + 5"), (480, "3 hours", "2 + 13")]
    previous = 0
    for x, gap, number in [*events, (660, "9 days", "2 + 19")]:
        picture.fill(x - 7, 63, 14, 14, BLUE, 7)
        picture.box(x - 42, 100, 84, 44, ORANGE, number, "class")
        picture.arrow(x, 78, x, 99)
        picture.write((x + previous) / 2 if previous else x, 50, gap, 12)
        previous = x
    picture.write(
        380, 168, "each class has a vector, added to that of the item; 2 + n is 2^n seconds or more", 11, color=MUTED
    )
    return picture


def draw_transitions() -> Picture:
    picture = Picture("transitions", 760, 230, "Scores of the model and followers of the newest items are mixed")
    picture.cells(20, 40, ["P-30", "P-6", "P-31"], [GREY] * 3, 46)
    picture.write(89, 30, "newest items", 11, color=MUTED)
    rows = [("P-31", "P-32 .61  P-7 .22  …"), ("P-6", "P-7 .58  P-31 .20  …"), ("P-30", "P-31 .60  P-6 .19  …")]
    for number, (item, followers) in enumerate(rows):
        picture.box(20, 84 + number * 44, 60, 34, GREY, item)
        picture.box(86, 84 + number * 44, 170, 34, GREEN, followers)
    picture.box(320, 40, 170, 44, VIOLET, "model", "m(i) from the hidden vector")
    picture.box(320, 128, 170, 44, GREEN, "memory", "w(i), by distance and count")
    picture.arrow(256, 150, 319, 150)
    picture.box(
        540, 76, 200, 60, ORANGE, "p ∝ m + w · m^(1 − β)", "β = 1 adds, β = 0 multiplies", "never lowers a score"
    )
    picture.arrow(490, 62, 539, 94)
    picture.arrow(490, 150, 539, 120)
    picture.write(640, 160, "top k: the best of both", 11, color=MUTED)
    return picture


def draw_sasrec() -> Picture:
    picture = Picture("sasrec", 760, 230, "Causal attention: every position reads itself and all before it")
    for row in range(6):
        for column in range(6):
            color = VIOLET if column <= row else PAPER
            picture.fill(60 + column * 26, 34 + row * 26, 26, 26, color, 0)
    picture.write(138, 210, "keys: positions, oldest first", 11, color=MUTED)
    picture.write(138, 24, "a query per row reads the shaded keys", 11, color=MUTED)
    for number, (color, *lines) in enumerate(
        [
            (BLUE, "full table", "a vector per item"),
            (VIOLET, "2 blocks", "attention, network"),
            (BLUE, "tied head", "the same table"),
        ]
    ):
        picture.box(320 + number * 145, 90, 120, 50, color, *lines)
        if number:
            picture.arrow(295 + number * 145, 115, 319 + number * 145, 115)
    return picture


def draw_blossomrec() -> Picture:
    picture = Picture("blossomrec", 760, 260, "Selected blocks and a fixed short-term mask, mixed by gates")
    left, step = 40, 13.0
    query = 47
    for position in range(query + 1):
        selected = position // 8 in (0, 3) or position // 8 == query // 8
        near = query - position < 8 or (query - position).bit_count() == 1 or position == 0
        picture.fill(left + position * step, 50, step, 22, BLUE if selected else PAPER, 0)
        picture.fill(left + position * step, 130, step, 22, ORANGE if near else PAPER, 0)
    picture.write(left, 40, "long term: the best blocks by the summaries of their keys, and the own block", 12, "start")
    picture.write(
        left, 120, "short term: the newest positions, distances that are powers of two, and the oldest", 12, "start"
    )
    for block in range(6):
        picture.write(left + (block * 8 + 4) * step, 88, f"block {block}", 11, color=MUTED)
    picture.box(500, 190, 220, 44, VIOLET, "gate · long + gate · short", "a gate per head, from the input")
    picture.line(664, 61, 700, 61)
    picture.arrow(700, 61, 700, 189)
    picture.arrow(600, 154, 600, 189)
    return picture


def draw_cprec() -> Picture:
    picture = Picture("cprec", 760, 240, "Popular items have the full rank, rare ones less; two blocks share weights")
    picture.write(40, 30, "items by popularity", 12, "start")
    for y, height, rank, label in (
        (40, 24, 192, "10 %: rank 64"),
        (68, 56, 144, "40 %: rank 48"),
        (128, 70, 96, "50 %: rank 32"),
    ):
        picture.fill(40, y, rank, height, BLUE, 0)
        picture.write(240, y + height / 2 + 4, label, 12, "start")
    picture.write(40, 220, "E, 8 bits a number, fixed", 11, "start", MUTED)
    picture.box(345, 90, 90, 60, GREEN, "P", "learned", "to width 64")
    picture.box(475, 50, 120, 44, VIOLET, "block 1")
    picture.box(475, 146, 120, 44, VIOLET, "block 2")
    picture.arrow(305, 116, 344, 118)
    picture.arrow(435, 110, 474, 80)
    picture.arrow(535, 94, 535, 145)
    picture.write(608, 124, "the same weights,", 12, "start")
    picture.write(608, 140, "their own norms", 12, "start")
    return picture


def draw_lsan() -> Picture:
    picture = Picture(
        "lsan", 760, 250, "An item is a sum of base rows weighted by context; convolution next to attention"
    )
    for number, color in enumerate((BLUE, GREEN, ORANGE, GREY)):
        picture.box(24, 34 + number * 44, 110, 34, color, f"table {number + 1}" if number < 3 else "… 20 tables")
        picture.arrow(134, 51 + number * 44, 189, 100)
    picture.box(190, 76, 130, 56, VIOLET, "Σ α · row", "α from the context:", "categories, hour")
    picture.box(190, 165, 130, 44, ORANGE, "context r", "network on [h ; r]")
    picture.arrow(255, 164, 255, 133)
    picture.box(370, 40, 140, 50, GREEN, "convolution", "5 newest, near")
    picture.box(370, 140, 140, 50, VIOLET, "attention", "all before, distant")
    picture.arrow(320, 96, 369, 68)
    picture.arrow(320, 110, 369, 160)
    picture.box(570, 88, 150, 56, BLUE, "concatenated", "network 128 → 256 → 64,", "added to its input")
    picture.arrow(510, 66, 569, 104)
    picture.arrow(510, 164, 569, 128)
    return picture


PICTURES = (
    *(draw_blossom, draw_codes, draw_cone, draw_intervals, draw_transitions),
    *(draw_sasrec, draw_blossomrec, draw_cprec, draw_lsan),
)


def main() -> int:
    stale = []
    for picture in (draw() for draw in PICTURES):
        path = FOLDER / f"{picture.name}.svg"
        if "--check" not in sys.argv:
            path.write_text(picture.format(), encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != picture.format():
            stale.append(path.name)
    if stale:
        print(f"{', '.join(stale)} differ from their drawing; run python docs/draw_pictures.py", file=sys.stderr)
    return len(stale) > 0


if __name__ == "__main__":
    sys.exit(main())
