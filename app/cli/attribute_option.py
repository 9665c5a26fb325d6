"""The option that names attributes of items."""

from app.cli.arguments import InvalidText
from models.data.attribute_names import Attributes, is_attribute_name

AUTO, NONE = "auto", "none"


def parse_attributes(text: str) -> Attributes:
    """Parse `auto`, `none` or names separated by commas."""
    if text == AUTO:
        return None
    names = () if text == NONE else tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    wrong = [name for name in names if not is_attribute_name(name)]
    if wrong:
        raise InvalidText(f"must be auto, none, or names of attributes separated by commas (got {wrong[0]!r})")
    return names
