"""Lists of ids are validated like single ids, although their integers are converted together."""

from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from app.http.field_types import FIRST_PROBLEM, FROM_INTEGERS, MAX_ID_CHARACTERS, MAX_IDS, Id, Ids

ID = TypeAdapter[str](Id)
LIST = TypeAdapter[list[str]](Annotated[Ids, Field(max_length=MAX_IDS), FIRST_PROBLEM, FROM_INTEGERS])
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=3),
    st.sampled_from([True, None, 1.5, [], {}, "x" * (MAX_ID_CHARACTERS + 1), "7"]),
)


def validate_each(values: list[Any]) -> list[str] | int:
    """Return the ids, or the position of the first value that is none."""
    ids = []
    for index, value in enumerate(values):
        try:
            ids.append(ID.validate_python(value))
        except ValidationError:
            return index
    return ids


@given(st.lists(st.one_of(st.integers(), st.text(min_size=1, max_size=3))) | st.lists(VALUES))
def test_list_of_ids_has_the_ids_and_the_first_problem_of_single_ids(values: list[Any]) -> None:
    try:
        result: list[str] | int | str = LIST.validate_python(values)
    except ValidationError as error:
        (problem,) = error.errors()
        result = problem["loc"][0]
    assert result == validate_each(values)
