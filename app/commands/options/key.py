"""Options of `nextup key`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app.cli.options import Argument, CommandOptions

Scope = Literal["read", "write", "admin"]
"""The scopes of app/api_keys.py; a test compares them."""


@dataclass(kw_only=True)
class KeyOptions(CommandOptions):
    """A key and its scopes."""

    EXAMPLES = ("nextup key shop-frontend read write", "nextup key operator admin")

    name: Annotated[str, Argument("name of the key in errors and logs", metavar="NAME")]
    scopes: Annotated[list[Scope], Argument("read, write or admin; one or more", metavar="SCOPE", repeat=True)]
