"""Field types that several request bodies share."""

from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints


def _convert_integer(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_convert_integer), StringConstraints(min_length=1, max_length=128)]
"""An id of a user or an item: 1 to 128 characters; an integer is converted to text."""
