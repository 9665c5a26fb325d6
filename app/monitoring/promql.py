"""PromQL building blocks for panels and rules."""

WINDOW = "$__rate_interval"
"""Grafana's variable: at least four scrapes, more where a panel spans days."""
QUANTILES = {0.5: "Median", 0.9: "90th percentile", 0.99: "99th percentile"}


def rate(metric: str, by: str = "", window: str = WINDOW, matchers: str = "") -> str:
    """Per-second rate of a counter, summed over all processes of the service and grouped by some labels."""
    return f"sum{_format_by(by)} (rate({metric}{_format_matchers(matchers)}[{window}]))"


def quantile(fraction: float, histogram: str, by: str = "", window: str = WINDOW, matchers: str = "") -> str:
    """Quantile of a histogram, estimated from its buckets."""
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({fraction}, {rate(f'{histogram}_bucket', labels, window, matchers)})"


def mean(histogram: str, by: str = "") -> str:
    """Mean of a histogram over the window of the panel."""
    return f"{rate(f'{histogram}_sum', by)} / {rate(f'{histogram}_count', by)}"


def or_zero(query: str) -> str:
    """Replace a missing series by 0: a label value that was never counted would otherwise show "no data"."""
    return f"({query} or vector(0))"


def ratio(part: str, whole: str) -> str:
    """Share of the whole; 0 rather than 0 / 0 where there is no traffic."""
    return f"{or_zero(part)} / ({whole} > 0) or vector(0)"


def increase(metric: str, by: str, window: str, matchers: str = "") -> str:
    """Growth of a counter within a window, summed over all processes and grouped by some labels."""
    return f"sum{_format_by(by)} (increase({metric}{_format_matchers(matchers)}[{window}]))"


def wilson_bound(successes: str, trials: str, *, upper: bool) -> str:
    """Bound of the 95 % confidence interval of a share, by Wilson's formula; NaN without trials.

    (s + z²/2 ± z √(s (n - s) / n + z²/4)) / (n + z²) with z = 1.96.
    """
    half = f"1.96 * sqrt({successes} * clamp_min({trials} - {successes}, 0) / {trials} + 0.9604)"
    return f"({successes} + 1.9208 {'+' if upper else '-'} {half}) / ({trials} + 3.8416)"


def _format_by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _format_matchers(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
