"""`nextup monitoring`: write the Grafana dashboards and Prometheus rules of this version."""

from app.commands.options.monitoring import MonitoringOptions
from app.monitoring.files import render_files


def run(arguments: MonitoringOptions) -> int:
    for name, text in render_files().items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
    return 0
