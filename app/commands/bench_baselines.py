"""`nextup bench baselines`: data sets × splits × baselines in one table, without training a model."""

import json
import shlex
import sys
from collections.abc import Sequence

from app.commands.options.bench_baselines import BenchBaselinesOptions
from models.baselines.registry import BASELINES
from models.benchmarks.accuracy import BenchmarkLog
from models.benchmarks.baselines import format_baseline_table, measure_baselines
from models.data.interactions import read_interactions
from models.data.time_split import SPLITS
from models.progress import print_line


def run(arguments: BenchBaselinesOptions) -> int:
    _check_names("--baselines", arguments.baselines, list(BASELINES))
    _check_names("--splits", arguments.splits, list(SPLITS))
    logs = [BenchmarkLog.parse(text) for text in arguments.data]
    _check_names("--keep-seen", arguments.keep_seen, [log.name for log in logs])
    rows, skipped = [], []
    for log in logs:
        events = read_interactions([log.log]).events
        for split in arguments.splits:
            try:
                rows += measure_baselines(
                    log.name,
                    events,
                    split=split,
                    keep_seen=log.name in arguments.keep_seen,
                    max_users=arguments.users,
                    min_item_events=arguments.min_item_events,
                    names=arguments.baselines,
                )
            except ValueError as error:
                print_line(f"{log.name}, {split}: {error}")
                skipped.append({"data": log.name, "split": split, "reason": str(error)})
    command = shlex.join(["nextup", *sys.argv[1:]])
    table = format_baseline_table(rows, command)
    if arguments.table is not None:
        arguments.table.with_suffix(".md").write_text(table)
        record = {"command": command, "rows": rows, "skipped": skipped}
        arguments.table.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(table)
    print(json.dumps({"rows": rows, "skipped": skipped, "passed": bool(rows)}))
    return 0 if rows else 1


def _check_names(option: str, names: Sequence[str], known_names: list[str]) -> None:
    if unknown := [name for name in names if name not in known_names]:
        raise ValueError(f"{option} must be of {', '.join(known_names)} (got {unknown[0]!r})")
