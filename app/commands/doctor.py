"""`nextup doctor`: check the machine, the installation and the settings; state what is wrong and how to mend it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from app.cli.diagnosis.check import Check, run_check
from app.cli.diagnosis.machine import CHECKS
from app.commands.options.doctor import DoctorOptions


def run(arguments: DoctorOptions) -> int:
    results = []
    for subject, check in _iter_checks(arguments):
        results.append(run_check(subject, check))
        print(format_check(results[-1]), flush=True)
    failed = [each for each in results if each.status == "failed"]
    print(f"{len(failed)} of {len(results)} checks failed" if failed else f"{len(results)} checks passed")
    print(json.dumps({"checks": [asdict(each) for each in results], "passed": not failed}))
    return 1 if failed else 0


def _iter_checks(arguments: DoctorOptions) -> Iterator[tuple[str, Callable[[], Check]]]:
    yield from CHECKS.items()
    try:
        service_checks = _list_service_checks(arguments)
    except Exception as error:  # wrong settings, or a package that is missing: the checks that need them are left out
        yield "settings", _raise_later(error)
    else:
        yield from service_checks.items()


def _list_service_checks(arguments: DoctorOptions) -> Mapping[str, Callable[[], Check]]:
    from app.cli.diagnosis.service import list_service_checks  # imports redis, whose absence is a finding
    from app.environment import load_settings

    overrides: dict[str, Any] = {"artifact": arguments.artifact, "port": arguments.port}
    return list_service_checks(load_settings(**{name: value for name, value in overrides.items() if value is not None}))


def _raise_later(error: Exception) -> Callable[[], Check]:
    def raise_error() -> Check:
        raise error

    return raise_error


def format_check(check: Check) -> str:
    action = "" if check.action is None else f"\n{'':22}→ {check.action}"
    return f"{check.status:<8} {check.subject:<12} {check.finding}{action}"
