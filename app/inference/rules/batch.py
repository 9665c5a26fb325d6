"""Runs rankings under rules together: one search of the source for what all of them need next."""

from collections.abc import Callable, Sequence

from app.inference.rules.ranking import Ranked, Search, Steps

RunSearches = Callable[[Sequence[tuple[int, Search]]], Sequence[Ranked]]
"""Runs searches, each with the number of its ranking."""


def run_rankings(rankings: Sequence[Steps], run: RunSearches) -> list[Ranked]:
    """Run all rankings to their ends, and return their results in order."""
    answers: list[Ranked | None] = [None] * len(rankings)
    replies: dict[int, Sequence[Ranked] | None] = dict.fromkeys(range(len(rankings)))
    while replies:
        pending: dict[int, list[Search]] = {}
        for number, reply in replies.items():
            try:
                pending[number] = next(rankings[number]) if reply is None else rankings[number].send(reply)
            except StopIteration as finished:
                answers[number] = finished.value
        searches = [(number, search) for number, group in pending.items() for search in group]
        results = iter(run(searches) if searches else ())
        replies = {number: [next(results) for _ in group] for number, group in pending.items()}
    return [answer for answer in answers if answer is not None]
