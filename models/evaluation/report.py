"""What a person reads after training or evaluation: a table for the terminal, a page for the browser.

Knows figures and pictures as bytes; does not know where they come from.
"""

import base64
from html import escape

from models.evaluation.evaluate import CUTOFFS

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;margin:1rem 0}}img{{max-width:100%}}
td,th{{padding:.25rem .9rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child{{text-align:left}}</style>
<h1>{title}</h1>{body}</html>
"""


def format_metrics_table(values: dict[str, float]) -> str:
    """HR, NDCG and MRR by cut-off as lines of text, then what has no cut-off of its own."""
    head = "".join(f"{f'@{k}':>10}" for k in CUTOFFS)
    rows = [
        f"{name.upper():8}" + "".join(f"{values[f'{name}@{k}']:10.4f}" for k in CUTOFFS)
        for name in ("hr", "ndcg", "mrr")
    ]
    return "\n".join([f"{'':8}{head}", *rows, f"coverage@10 {values['coverage@10']:.3f}"])


def render_html_report(title: str, values: dict[str, float], facts: dict[str, str], curve_png: bytes | None) -> str:
    """A page that needs no other file; every text is escaped."""
    cells = "".join(
        f"<tr><td>{name.upper()}</td>" + "".join(f"<td>{values[f'{name}@{k}']:.4f}</td>" for k in CUTOFFS) + "</tr>"
        for name in ("hr", "ndcg", "mrr")
    )
    head = "".join(f"<th>@{k}</th>" for k in CUTOFFS)
    body = f"<table><tr><th></th>{head}</tr>{cells}</table>"
    body += (
        "<table>" + "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in facts.items()) + "</table>"
    )
    if curve_png is not None:
        body += f'<img alt="training curve" src="data:image/png;base64,{base64.b64encode(curve_png).decode()}">'
    return PAGE.format(title=escape(title), body=body)
