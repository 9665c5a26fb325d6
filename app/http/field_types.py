"""Field types that several bodies share. They know no use case."""

from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints


def _integer_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_integer_as_text), StringConstraints(min_length=1, max_length=128)]
"""An id of a user or an item: 1 to 128 characters; an integer is read as text."""
