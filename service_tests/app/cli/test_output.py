"""Streams of --json and --quiet."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.output import redirect_output


def print_both() -> None:
    print("a table")
    print("warning: few users", file=sys.stderr)
    print("note", file=sys.stderr)
    print('{"users": 3}')


@pytest.mark.parametrize(
    ("json_only", "quiet", "output", "errors"),
    [
        (False, False, 'a table\n{"users": 3}\n', "warning: few users\nnote\n"),
        (True, False, '{"users": 3}\n', "warning: few users\nnote\na table\n"),
        (False, True, 'a table\n{"users": 3}\n', "warning: few users\n"),
        (True, True, '{"users": 3}\n', "warning: few users\n"),
    ],
)
def test_lines_go_where_options_say(
    json_only: bool, quiet: bool, output: str, errors: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redirect_output(json_only=json_only, quiet=quiet):
        print_both()
    assert capsys.readouterr() == (output, errors)


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))), st.integers(1, 9))
def test_last_line_is_the_only_line_of_json_output_however_it_is_written(lines: list[str], step: int) -> None:
    text = "\n".join([*lines, json.dumps({"lines": len(lines)})]) + "\n"
    with pytest.MonkeyPatch.context() as patch:
        output, notes = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", output)
        patch.setattr(sys, "stderr", notes)
        with redirect_output(json_only=True, quiet=False):
            for start in range(0, len(text), step):
                sys.stdout.write(text[start : start + step])
    assert json.loads(output.getvalue()) == {"lines": len(lines)}
    assert output.getvalue().count("\n") == 1
    assert notes.getvalue() == "".join(f"{line}\n" for line in lines)


def test_output_before_an_error_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    def print_half() -> None:
        print("read 3 rows")
        raise ValueError

    with pytest.raises(ValueError), redirect_output(json_only=True, quiet=False):
        print_half()
    assert capsys.readouterr() == ("", "read 3 rows\n")


@pytest.mark.parametrize("line", ["2026-11-28 02:28:22,123 WARNING nextup: store down", '{"level": "warning"}'])
def test_quiet_commands_print_log_lines(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_output(json_only=False, quiet=True):
        print(line, file=sys.stderr)
    assert capsys.readouterr().err == f"{line}\n"
