"""Declarations of command-line options.

The options of a command are a dataclass: each field is an option, annotated with an `Option` or an `Argument`. Commands
that share options inherit them; fields of the last base class come first. The values of a Literal are choices. Modules
that declare options import neither torch nor polars, so that `--help` is fast.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from app.cli.arguments import finite_float, integer, parse_path

Place = Literal["input_file", "item_source", "output_file", "output_folder"]
LIVE_ITEMS = "live"
"""The live catalogue in place of a file of items, whose name would state a format."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option: help text, type and appearance; a field of type bool is a flag.

    `default` describes a default that is not a constant, such as "by the log". `names` replaces the option string that
    follows from the field's name. A path with a `place` is checked before the command begins (app/cli/preflight.py).
    """

    summary: str
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    repeat: bool = False
    default: str | None = None
    panel: str | None = None
    names: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Argument(Option):
    """A positional argument."""


OUTPUT = "Output"


@dataclass(kw_only=True)
class CommandOptions:
    """Options that every command has."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ()

    json: Annotated[bool, Option("print only the JSON result to standard output", panel=OUTPUT)] = False
    quiet: Annotated[bool, Option("print only results, warnings and errors", panel=OUTPUT)] = False
    started_at: float = field(default_factory=time.monotonic)
    """Moment on the monotonic clock at which the command started; not an option."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of an options class, resolved for a parser."""

    field_name: str
    spec: Option
    is_flag: bool
    required: bool
    default: Any

    @property
    def label(self) -> str:
        """The name of the parameter in messages: `--out`, or the metavar of an argument."""
        if isinstance(self.spec, Argument):
            return self.spec.metavar or self.field_name.upper()
        return self.declaration.split("/")[0]

    @property
    def declaration(self) -> str:
        return self.spec.names or f"--{self.field_name.replace('_', '-')}"

    @property
    def metavar(self) -> str:
        """The placeholder of the value, empty for a flag: short choices are listed."""
        if self.is_flag:
            return ""
        choices = "|".join(self.spec.choices)
        return self.spec.metavar or (choices if choices and len(choices) <= MAX_CHOICES else self.field_name.upper())

    @property
    def help_text(self) -> str:
        """The summary, with the choices that the placeholder does not list."""
        choices = self.spec.choices
        if not choices or self.metavar == "|".join(choices):
            return self.spec.summary
        return f"{self.spec.summary}: {', '.join(choices)}"

    @property
    def default_text(self) -> str | None:
        """The default as users write it, None if there is none."""
        if self.spec.default is not None:
            return self.spec.default
        if self.required or self.default in (None, False, [], ()):
            return None
        values = self.default if isinstance(self.default, list) else [self.default]
        return ",".join(f"{each:g}" if isinstance(each, float) else str(each) for each in values)


MAX_CHOICES = 24
"""Longest list of choices that is used as a placeholder."""
PARSERS: dict[Any, Callable[[str], Any]] = {int: integer, float: finite_float, Path: parse_path}


def list_parameters(options: type[CommandOptions]) -> Iterator[Parameter]:
    """List the parameters of an options class in the order of its fields, those that all commands have at the end."""
    hints = get_type_hints(options, include_extras=True)
    common_names = [each.name for each in fields(CommandOptions)]
    for each in sorted(fields(options), key=lambda each: each.name in common_names):
        hint = hints[each.name]
        if get_origin(hint) is not Annotated:
            continue
        value_type, spec = get_args(hint)[:2]
        kind = _get_value_type(value_type)
        if spec.parse is None:
            choices = get_args(kind) if get_origin(kind) is Literal else spec.choices
            spec = replace(spec, choices=choices, parse=PARSERS.get(kind))
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        required = default is MISSING
        yield Parameter(each.name, spec, kind is bool, required, None if required else default)


def _get_value_type(annotation: Any) -> Any:
    """Return T for `T`, `T | None` and `list[T]`."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation
