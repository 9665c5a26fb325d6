"""Query strings: a route refuses parameters that it does not have, as bodies refuse unknown fields.

A misspelled parameter would otherwise be ignored, and the answer would be that to another question.
"""

from collections.abc import Iterator, Sequence

from fastapi.dependencies.models import Dependant
from starlette.datastructures import QueryParams

from app.errors import InvalidRequest
from app.http.field_problems import MAX_PATH_CHARACTERS, MAX_PROBLEMS, format_detail


def list_parameters(dependant: Dependant) -> tuple[str, ...]:
    """List the names of the query parameters of a route and of its dependencies, each once."""
    return tuple(dict.fromkeys(_iter_parameters(dependant)))


def check_parameters(query: QueryParams, names: Sequence[str]) -> None:
    """Raise InvalidRequest for parameters of a request that are not in `names`, those of its path."""
    unknown = [name for name in query if name not in names][:MAX_PROBLEMS]
    if unknown:
        allowed = f"it has {', '.join(names)}" if names else "it has none"
        problems = [
            {"field": name[:MAX_PATH_CHARACTERS], "detail": f"is no parameter of this path; {allowed}"}
            for name in unknown
        ]
        raise InvalidRequest.for_fields(problems, format_detail(problems))


def _iter_parameters(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _iter_parameters(dependency)
