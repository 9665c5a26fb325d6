"""Counts as people write them: 10M items, 50k users, 1500. The one place that reads them."""

UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def count_of(text: str) -> int:
    """`2.5m` is 2,500,000, rounded to a whole number. ValueError for what is no number, or not finite."""
    word = text.strip().lower()
    unit = UNITS.get(word[-1:], 1)
    number = float(word[:-1] if word[-1:] in UNITS else word)
    try:
        return round(number * unit)
    except OverflowError:
        raise ValueError(f"{text!r} is not finite") from None


def counts_of(option: str, text: str) -> list[int]:
    """Numbers by commas, each at least 1; ValueError names the option."""
    try:
        found = [count_of(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--{option} is {text!r}; numbers separated by commas are meant, as in 10k,1m") from None
    if min(found) < 1:
        raise ValueError(f"--{option} is {text!r}; each is at least 1")
    return found


def asked_count(option: str, text: str, least: int, most: int) -> int:
    """One number within bounds; ValueError names the option and the bound."""
    try:
        found = count_of(text)
    except ValueError:
        raise ValueError(f"--{option} is {text!r}; a number is meant, as in 10k or 2.5m") from None
    if not least <= found <= most:
        raise ValueError(f"--{option} is {found:,}; from {least:,} to {most:,} can be planned")
    return found
