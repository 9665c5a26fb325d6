"""From option classes to a command line: typer parses the words, and the class holds the values."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperArgument, TyperCommand, TyperGroup

from app.cli.arguments import InvalidText, format_suggestion
from app.cli.options import Argument, CommandOptions, Parameter, list_parameters

USAGE_STATUS = 2
Result = TypeVar("Result")


class InvalidValue(Exception):
    """A value that an option rejects; not a ValueError, because pydantic inside typer would reword it."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class CommandParser(TyperCommand):
    """A command whose help shows no Python types, such as `list[str]` and `bool`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _hide_types(super().get_params(ctx))


class GroupParser(TyperGroup):
    """A group of commands whose help shows no Python types; a command may have a name of two words.

    So `nextup items load` is a command, and `nextup items` stays one with an argument.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name = " ".join(args[:2])
        return super().resolve_command(ctx, [name, *args[2:]] if name in self.commands else args)

    def get_params(self, ctx: Any) -> list[Any]:
        return _hide_types(super().get_params(ctx))


def _hide_types(parameters: Iterable[Any]) -> list[Any]:
    """Hide the types of parameters that have no placeholder."""
    listed = list(parameters)
    for parameter in listed:
        if isinstance(parameter, TyperArgument) or parameter.metavar is None:
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005
    return listed


def build_callback(options: type[CommandOptions], handle: Callable[[CommandOptions], Result]) -> Callable[..., Result]:
    """Build the function that typer makes a command from; it calls `handle` with the parsed options."""

    def handle_values(**values: Any) -> Result:
        return handle(options(**values))

    parameters = [build_parameter(each) for each in list_parameters(options)]
    handle_values.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # functions accept it
    return handle_values


def build_parameter(parameter: Parameter) -> inspect.Parameter:
    spec = parameter.spec
    value_type: Any = bool if parameter.is_flag else list[str] if spec.repeat else str
    common: dict[str, Any] = {
        "help": format_help(parameter),
        "metavar": parameter.metavar,
        "rich_help_panel": spec.panel,
        "show_default": False,
        "autocompletion": None if not spec.choices else lambda: list(spec.choices),
    }
    if not parameter.is_flag:
        common["parser"] = bind_parser(parameter)
    info = typer.Argument(**common) if isinstance(spec, Argument) else typer.Option(parameter.declaration, **common)
    return inspect.Parameter(
        parameter.field_name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if parameter.required else parameter.default,
        annotation=Annotated[value_type, info],
    )


def format_help(parameter: Parameter) -> str:
    default = parameter.default_text
    suffix = "" if default is None else f" [dim]{escape(f'[default: {default}]')}[/dim]"
    return f"{escape(parameter.help_text)}{suffix}"


def bind_parser(parameter: Parameter) -> Callable[[Any], Any]:
    """Return the parser of a parameter, whose errors state its name."""
    spec, label = parameter.spec, parameter.label

    def parse(text: Any) -> Any:
        if not isinstance(text, str):  # a default
            return text
        if spec.choices and text not in spec.choices:
            choices = ", ".join(spec.choices)
            hint = format_suggestion(text, spec.choices)
            raise InvalidValue(f"{label} must be one of {choices} (got {text!r}){hint}", USAGE_STATUS)
        try:
            return text if spec.parse is None else spec.parse(text)
        except InvalidText as error:
            raise InvalidValue(f"{label} {error}") from None

    return parse


def describe_mistake(error: typer.TyperException, words: Sequence[str]) -> str:
    """Describe a usage error in one line, with the nearest name and where to look; empty if help was printed."""
    context: typer.Context | None = getattr(error, "ctx", None)
    path = " ".join(["nextup", *words[:1]]) if context is None else context.command_path
    option: str | None = getattr(error, "option_name", None)
    if isinstance(error, typer.BadParameter) and error.param is not None and not error.message:
        message = f"{_get_label(error.param)} is required"
    elif context is not None and option is not None and hasattr(error, "possibilities"):
        names = [name for each in context.command.params for name in (*each.opts, *each.secondary_opts)]
        message = f"no such option: {option}{format_suggestion(option, names)}"
    else:
        message = error.format_message().rstrip(".").replace(". Did you mean", "; did you mean")
        message = message[:1].lower() + message[1:]
    if not message.strip():
        return ""
    return f"{message}; see `{path} --help`"


def format_examples(examples: tuple[str, ...]) -> str | None:
    return "\n".join(["Examples:", *(f"  {escape(each)}" for each in examples)]) if examples else None


def _get_label(parameter: Any) -> str:
    """Name of a parameter of typer, whose classes are private."""
    label: str = parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0]
    return label
