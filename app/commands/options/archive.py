"""Options of `nextup archive`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class ArchiveOptions(CommandOptions):
    """How often to archive, and whether to compact."""

    EXAMPLES = ("nextup archive", "nextup archive --once --compact")

    once: Annotated[bool, Option("archive what the log has now, and exit")] = False
    compact: Annotated[bool, Option("also remove the rows of erased users and join small files, once, and exit")] = (
        False
    )
