"""The `nextup` command line.

Parsing imports only the options of the requested command, and running imports the command, so that `--help` loads
neither torch nor polars.
"""

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple

import typer
from typer.main import get_command

from app import __version__
from app.cli.options import CommandOptions
from app.cli.output import is_output_closed, redirect_output
from app.cli.parser import CommandParser, GroupParser, InvalidValue, build_callback, describe_mistake, format_examples
from app.cli.wait_policy import set_wait_policy
from app.commands.registry import BENCH_SUMMARY, BENCHMARKS, COMMANDS, SUBCOMMANDS, Command, format_description
from app.redaction import redact_text
from models.printable import to_printable

MAX_LENGTH = 1_200
"""Characters of an error, which may quote a long value."""
COMPLETION_VARIABLE = "_NEXTUP_COMPLETE"
"""Set by a shell that asks for completions; they need the options of all commands."""
TRACEBACK_VARIABLE = "NEXTUP_TRACEBACK"


class Invocation(NamedTuple):
    """A command with its parsed options."""

    command: Command
    options: CommandOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Mistakes and errors of the system are one line on standard error and status 1; usage errors have status 2. Only a
    fault of the program ends in a traceback, and any error does with NEXTUP_TRACEBACK=1.
    """
    started_at = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    set_wait_policy()
    try:
        invocation = parse(words)
        if isinstance(invocation, int):
            return invocation
        invocation.options.started_at = started_at
        _prepare(invocation)
        options = invocation.options
        with redirect_output(json_only=options.json, quiet=options.quiet):
            status = invocation.command.run(options)
        sys.stdout.flush()
        return status
    except typer.TyperException as error:
        return _fail(describe_mistake(error, words), error.exit_code)
    except InvalidValue as error:
        return _fail(str(error), error.status)
    except KeyboardInterrupt:
        print("nextup: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and is_output_closed():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if (message := _describe(error)) is None:
            raise
        return _fail(message, 1)


def parse(words: list[str]) -> Invocation | int:
    """Parse the words of a command line; return a status for words that only print, such as `--help`.

    TyperException or InvalidValue for mistakes.
    """
    parsed: Invocation | int = get_command(build_app(words)).main(args=words, prog_name="nextup", standalone_mode=False)
    return parsed


def build_app(words: list[str]) -> typer.Typer:
    """Build the command line; only commands that the words contain get their options."""
    is_completing = COMPLETION_VARIABLE in os.environ
    # Group options import pydantic whenever they are parsed, even if they are absent.
    has_command = words[:1] == ["bench"] or any(words[:1] == [name] for name in COMMANDS)
    has_benchmark = any(words[1:2] == [name] for name in BENCHMARKS)
    app = typer.Typer(
        help="Online next-item recommendation.",
        epilog="`nextup COMMAND --help` shows the options of a command, `nextup bench --help` the benchmarks.",
        cls=GroupParser,
        context_settings={"help_option_names": ["--help", "-h"]},
        rich_markup_mode="rich",
        no_args_is_help=True,
        add_completion=is_completing or not has_command,
        add_help_option=not has_command,
    )
    app.callback()(_accept_global_options)
    for name, command in COMMANDS.items():
        _add_command(app, name, command, with_options=is_completing or name in words)
    for name, command in SUBCOMMANDS.items():
        _add_command(app, name, command, with_options=is_completing or words[:2] == name.split(), is_hidden=True)
    bench = typer.Typer(
        cls=GroupParser,
        help=format_description(BENCH_SUMMARY),
        no_args_is_help=True,
        add_help_option=not has_benchmark,
    )
    for name, command in BENCHMARKS.items():
        _add_command(bench, name, command, with_options=is_completing or ("bench" in words and name in words))
    app.add_typer(bench, name="bench", hidden=True)
    return app


def _print_version(is_requested: bool) -> None:
    if is_requested:
        print(f"nextup {__version__}")
        raise typer.Exit


def _accept_global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Accept options in front of the command."""


def _add_command(app: typer.Typer, name: str, command: Command, *, with_options: bool, is_hidden: bool = False) -> None:
    options = command.load_options() if with_options else CommandOptions
    app.command(
        name,
        cls=CommandParser,
        help=command.description,
        short_help=command.summary,
        epilog=format_examples(options.EXAMPLES),
        rich_help_panel=command.group,
        hidden=is_hidden,
    )(build_callback(options, partial(Invocation, command)))


def _describe(error: Exception) -> str | None:
    from app.cli.failures import describe_failure  # imports pydantic, which no help needs

    return None if os.environ.get(TRACEBACK_VARIABLE) else describe_failure(error)


def _prepare(invocation: Invocation) -> None:
    """Check the paths that the command reads and writes, and name variables that no setting reads.

    `nextup serve` names them in the format of its log.
    """
    from app.cli.preflight import check_places
    from app.environment import find_unknown_variables

    if invocation.command is not COMMANDS["serve"]:
        for line in find_unknown_variables():
            print(f"nextup: warning: {line}", file=sys.stderr)
    check_places(invocation.options)


def _fail(message: str, status: int) -> int:
    if message:
        text = to_printable(redact_text(message))
        print(f"nextup: error: {text if len(text) <= MAX_LENGTH else f'{text[:MAX_LENGTH]}…'}", file=sys.stderr)
    return status


if __name__ == "__main__":  # `torchrun -m` starts it this way
    sys.exit(main())
