"""Bounds of the versions in memory, and of attempts to change a record."""

import time

from app.errors import ExperimentConflict
from app.inference import Engine
from app.stores.experiment_records import Shadow

MAX_RESIDENTS = 2
"""Versions in memory in addition to the serving one, the shadow version included."""
MAX_ATTEMPTS = 5
"""Most attempts to change a record while others are changed."""


def check_residents(versions: set[str | None], shadow: Shadow | None, engine: Engine) -> None:
    """ExperimentConflict for more versions than processes hold next to the serving one, or a variant as shadow."""
    if shadow is not None and shadow.ends_at > time.time() * 1000:
        if shadow.version in versions:  # its background queries would delay batches of users
            raise ExperimentConflict(f"version {shadow.version} cannot be the shadow and a variant at the same time")
        versions = versions | {shadow.version}
    if (count := len(versions - {None, engine.servable.version})) > MAX_RESIDENTS:
        raise ExperimentConflict(
            f"{count} versions would be in memory next to the serving one, at most {MAX_RESIDENTS} may be; use fewer, "
            "or end the shadow"
        )
