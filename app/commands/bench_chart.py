"""`nextup bench chart`: a chart of recorded benchmarks."""

import json

from app.bench.chart import render_chart
from app.commands.options.bench_chart import BenchChartOptions


def run(arguments: BenchChartOptions) -> int:
    try:
        picture = render_chart(arguments.folder)
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{arguments.folder} does not contain records of serve and scaling: {error!r}") from error
    arguments.out.write_bytes(picture)
    print(f"{arguments.out}: {len(picture):,} bytes")
    print(json.dumps({"file": str(arguments.out), "bytes": len(picture)}))
    return 0
