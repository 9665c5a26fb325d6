"""Requests that name the version which has to answer: it is in memory, or the request fails."""

from app.errors import VersionNotInMemory
from app.inference import Engine, TopItems


def check_version(engine: Engine, version: str | None) -> None:
    """VersionNotInMemory names the versions in memory if this one is not among them; None is always valid."""
    if version is not None and version != engine.servable.version and version not in engine.residents:
        raise _describe_absence(engine, f"version {version!r} is not in memory")


def check_answer(engine: Engine, version: str | None, top: TopItems) -> None:
    """VersionNotInMemory if the model of another version answered: this one has failed or left memory meanwhile."""
    if version is not None and top.source == "model" and top.version != version:
        raise _describe_absence(engine, f"version {version!r} did not answer")


def _describe_absence(engine: Engine, problem: str) -> VersionNotInMemory:
    versions = ", ".join(sorted({engine.servable.version, *engine.residents}))
    return VersionNotInMemory(
        f"{problem}; in memory: {versions}. An experiment or a shadow version brings others into memory"
    )
