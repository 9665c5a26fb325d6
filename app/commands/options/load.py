"""Options of `nextup load`."""

from dataclasses import dataclass

from app.cli.log_options import LogOptions


@dataclass(kw_only=True)
class LoadOptions(LogOptions):
    """The log to load."""

    EXAMPLES = ("nextup load ratings.csv", "nextup load events/ --columns user=customer,item=sku,time=bought_at")
