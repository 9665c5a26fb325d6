"""Texts of users' files as they may be shown in a terminal: control characters could change what it displays."""

REPLACEMENT = "\ufffd"


def to_printable(text: str) -> str:
    """Replace characters that are not printable, such as escape sequences and line ends, by U+FFFD."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)
