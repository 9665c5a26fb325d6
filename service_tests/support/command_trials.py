"""Run many command lines in one child process, because starting Python and torch for each would take minutes.

    python -m service_tests.support.command_trials < trials.json

Reads a list of trials and writes one JSON line per trial. A trial that does not end within `TRIAL_S` has the status
None.
"""

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service_tests.support.nextup_process import make_environment

TRIAL_S = 60
"""The first trial also imports torch and polars, which takes most of 20 s on two busy cores."""


@dataclass(frozen=True)
class Trial:
    """A command line and the variables of its environment."""

    words: list[str]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    status: int | None
    out: str
    err: str


class TrialTimeout(BaseException):
    """Not an Exception, so that no command handles it."""


def run_trials(trials: Sequence[Trial], data_dir: Path) -> list[Outcome]:
    """Run the trials in order, in a child process with an empty data folder."""
    process = subprocess.run(
        [sys.executable, "-m", "service_tests.support.command_trials"],
        input=json.dumps([asdict(trial) for trial in trials]),
        capture_output=True,
        text=True,
        check=False,
        env=make_environment(data_dir),
        timeout=TRIAL_S * len(trials),
    )
    outcomes = [Outcome(**json.loads(line)) for line in process.stdout.splitlines()]
    assert len(outcomes) == len(trials), process.stderr
    return outcomes


def run_trial(trial: Trial) -> Outcome:
    from app.commands.main import main

    environment = dict(os.environ)
    os.environ.update(trial.variables)
    out, err = io.StringIO(), io.StringIO()
    status: int | None = None
    signal.signal(signal.SIGALRM, raise_timeout)
    signal.alarm(TRIAL_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(trial.words)
            except SystemExit as error:  # as the process of a command would
                status = error.code if isinstance(error.code, int) else 1
            except TrialTimeout:
                err.write("this trial did not end")
            except Exception:
                traceback.print_exc()
    finally:
        signal.alarm(0)
        os.environ.clear()
        os.environ.update(environment)
        logging.getLogger().handlers.clear()
    return Outcome(status, out.getvalue(), err.getvalue())


def raise_timeout(*_: object) -> None:
    raise TrialTimeout


if __name__ == "__main__":
    for trial in json.loads(sys.stdin.read()):
        print(json.dumps(asdict(run_trial(Trial(**trial)))), flush=True)
