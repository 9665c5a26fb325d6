"""Queries as text: the few forms that panels and rules are made of."""

WINDOW = "$__rate_interval"
"""Grafana's: at least four scrapes, more where a panel shows days."""
QUANTILES = {0.5: "Median", 0.9: "90th percentile", 0.99: "99th percentile"}


def rate(metric: str, by: str = "", window: str = WINDOW, where: str = "") -> str:
    """Of a counter per second, over all processes of the service, apart by some labels."""
    return f"sum{_by(by)} (rate({metric}{_where(where)}[{window}]))"


def quantile(share: float, histogram: str, by: str = "", window: str = WINDOW, where: str = "") -> str:
    """Of a histogram, estimated from its buckets."""
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, window, where)})"


def mean(histogram: str, by: str = "", window: str = WINDOW) -> str:
    return f"{rate(f'{histogram}_sum', by, window)} / {rate(f'{histogram}_count', by, window)}"


def or_zero(query: str) -> str:
    """A label that was never counted has no series: without this, a healthy service would show "no data"."""
    return f"({query} or vector(0))"


def share(part: str, whole: str) -> str:
    """0 where nothing was asked, which is no trouble: else it would be 0 / 0."""
    return f"{or_zero(part)} / ({whole} > 0) or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
