"""Answers of a servable to queries that must all have one."""

from app.inference import Query
from app.inference.query import TopItems
from app.inference.servable import Servable


def answer(servable: Servable, *queries: Query) -> list[TopItems]:
    """Run queries as one batch and return their items; a query that fails is an AssertionError."""
    answers = servable.run_batch(queries)
    tops = [top for top in answers if isinstance(top, TopItems)]
    assert len(tops) == len(queries), answers
    return tops
