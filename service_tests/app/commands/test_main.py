"""The command line: what is printed where, statuses, suggestions, and what `--help` imports."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.options import Argument, list_parameters
from app.commands.main import Invocation, main, parse
from app.commands.options.train import TrainOptions
from app.commands.registry import BENCHMARKS, COMMANDS, SUBCOMMANDS, Command

ALL = COMMANDS | SUBCOMMANDS | {f"bench {name}": command for name, command in BENCHMARKS.items()}
HEAVY = ("torch", "polars", "numpy", "fastapi", "pydantic", "redis", "uvicorn", "httpx", "matplotlib", "models.build")
TRAIN = ["train", "log.csv", "--out", "model"]


def parse_train(*words: str) -> TrainOptions:
    invocation = parse([*TRAIN, *words])
    assert isinstance(invocation, Invocation)
    assert isinstance(invocation.options, TrainOptions)
    return invocation.options


@pytest.mark.process
def test_help_of_every_command_imports_no_heavy_module() -> None:
    code = (
        "import io, sys, contextlib\n"
        "from app.commands.main import main\n"
        "for words in [line.split() for line in sys.stdin]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        assert main([*words, '--help']) == 0, words\n"
        "    assert 'Usage: nextup' in text.getvalue(), words\n"
        f"    heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    assert not heavy, f'nextup {words} --help imports {heavy}'\n"
    )
    lines = "\n".join(["", "bench", *ALL])
    result = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ALL)
def test_help_shows_every_option_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    options = ALL[name].load_options()
    for parameter in list_parameters(options):
        assert parameter.label in text
        assert parameter.help_text
    assert options.EXAMPLES
    assert "Examples:" in text


@pytest.mark.parametrize("name", ALL)
def test_examples_parse(name: str) -> None:
    for example in ALL[name].load_options().EXAMPLES:
        program, *words = shlex.split(example)
        assert program == "nextup"
        assert words[: len(name.split())] == name.split()
        assert isinstance(parse(words), Invocation)


@pytest.mark.parametrize("command", ALL.values(), ids=list(ALL))
def test_defaults_are_values_that_the_option_accepts(command: Command) -> None:
    for parameter in list_parameters(command.load_options()):
        if parameter.spec.choices and not parameter.required and not isinstance(parameter.spec, Argument):
            assert parameter.default is None or parameter.default in parameter.spec.choices


def test_top_help_groups_commands_and_leaves_benchmarks_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line.split()[1] for line in lines if line.startswith("╭─")]
    assert titles == ["Options", "Data", "Model", "Service"]
    first_words = [line.split()[1] for line in lines if line.startswith("│ ") and not line.startswith("│  ")]
    assert [word for word in first_words if not word.startswith("--")] == list(COMMANDS)


@pytest.mark.parametrize("words", [["-h"], ["train", "-h"], ["bench", "-h"], ["bench", "serve", "-h"]])
def test_short_option_prints_the_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "Usage: nextup" in capsys.readouterr().out


def test_version_is_printed_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nextup ")


def test_values_keep_their_types_and_repeated_options_their_order() -> None:
    options = parse_train(
        "--option", "a.b=1", "--seed=3", "--no-intervals", "--option", "c.d=2", "--max-minutes", "1.5"
    )
    assert options.interactions == [Path("log.csv")]
    assert options.out == Path("model")
    assert options.option == ["a.b=1", "c.d=2"]
    assert (options.seed, options.intervals, options.max_minutes, options.epochs) == (3, False, 1.5, None)


def test_defaults_are_not_shared_between_runs() -> None:
    parse_train().option.append("changed")
    assert parse_train().option == []


def test_options_may_stand_between_arguments() -> None:
    invocation = parse(["load", "a.csv", "--strict", "b.csv"])
    assert isinstance(invocation, Invocation)
    assert vars(invocation.options)["interactions"] == [Path("a.csv"), Path("b.csv")]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["trian"], 2, "no such command 'trian'; did you mean 'train'?; see `nextup --help`"),
        (["bench", "scor"], 2, "no such command 'scor'; did you mean 'score'?; see `nextup bench --help`"),
        ([*TRAIN, "--epoch", "3"], 2, "no such option: --epoch; did you mean '--epochs'?; see `nextup train --help`"),
        (["train", "log.csv"], 2, "--out is required; see `nextup train --help`"),
        (["train", "--out", "model"], 2, "INTERACTIONS is required; see `nextup train --help`"),
        (["train", "log.csv", "--out"], 2, "option '--out' requires an argument; see `nextup train --help`"),
        (["erase", "1", "2"], 2, "got unexpected extra argument(s) (2); see `nextup erase --help`"),
        (["key", "shop", "reed"], 2, "SCOPE must be one of read, write, admin (got 'reed'); did you mean 'read'?"),
        ([*TRAIN, "--device", "gpu"], 2, "--device must be one of auto, cpu, cuda (got 'gpu')"),
        ([*TRAIN, "--epochs", "0"], 1, "--epochs must be at least 1 (got 0)"),
        ([*TRAIN, "--seed", "one"], 1, "--seed must be a whole number (got 'one')"),
        (["bench", "serve", "--min-rps", "fast"], 1, "--min-rps must be a finite number (got 'fast')"),
        (["bench", "serve", "--filter", "cheap"], 1, "--filter must be a JSON object (got 'cheap')"),
        (["bench", "serve", "--filter", '{"all": []}'], 1, "filter.all: must be a list of filters with at least one"),
        (
            ["bench", "scaling", "--steps", "10k"],
            1,
            "--steps takes values separated by commas, and each must be ITEMS@",
        ),
        (
            ["bench", "score", "--forms", "code"],
            1,
            "--forms takes values separated by commas, and each must be one of full, codes, byte-codes, adaptive "
            "(got 'code'); "
            "did you mean 'codes'?",
        ),
        ([*TRAIN, "--split-at", "noon"], 1, "--split-at must be Unix seconds or RFC 3339 (got 'noon')"),
    ],
)
def test_mistakes_are_one_line_with_status(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"nextup: error: {message}")
    assert output.err.count("\n") == 1


def test_json_prints_only_the_result_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "shop", "read", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["name"] == "shop"
    assert output.out.count("\n") == 1
    assert output.err.startswith("key (not stored anywhere):")


def test_paths_are_the_result_of_monitoring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "--out", str(tmp_path)]) == 0
    paths = capsys.readouterr().out.splitlines()
    assert all(Path(path).is_file() for path in paths)
    assert main(["monitoring", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": paths}


@pytest.mark.process
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_into_a_pipe_that_closes_is_silent(unbuffered: str) -> None:
    code = "import sys; from app.commands.main import main; sys.exit(main(sys.argv[1:]))"
    command = shlex.join([sys.executable, "-c", code, "key", "shop", "read", "write"])
    shell = f"set -o pipefail; {{ sleep 1; {command}; }} | true"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    result = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


def test_no_command_prints_the_help_with_the_status_of_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert "Usage: nextup" in output.out
    assert output.err == ""


@pytest.mark.process
def test_shell_completes_commands_options_and_choices() -> None:
    def complete(words: str) -> list[str]:
        environment = {"_NEXTUP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        command = [sys.executable, "-c", "from app.commands.main import main; main()"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.stderr == ""
        return result.stdout.split()

    assert complete("nextup tr") == ["train"]
    assert "--max-minutes" in complete("nextup train --max-")
    assert complete("nextup train --preset bloss") == ["blossom", "blossomrec"]
