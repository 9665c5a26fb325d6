"""`nextup monitoring`: write the Grafana dashboards and Prometheus rules of this version."""

import json

from app.commands.options.monitoring import MonitoringOptions
from app.monitoring.files import render_files
from app.monitoring.rules import Runbook


def run(arguments: MonitoringOptions) -> int:
    paths = []
    for name, text in render_files(Runbook(arguments.runbook_url)).items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
        paths.append(str(path))
    if arguments.json:  # otherwise a list of paths, one per line
        print(json.dumps({"files": paths}))
    return 0
