"""Sphinx configuration: the site is built from the Markdown files of the repository, without network access.

`make docs` runs it with warnings as errors. The source folder is the repository, so links work the same on GitHub.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "nextup"
copyright = "nextup contributors, Apache-2.0"  # noqa: A001 - Sphinx reads this name
version = release = re.findall(r'__version__ = "(.+)"', (ROOT / "app/__init__.py").read_text())[0]

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/LOG.md", "models/results/*.md"]
exclude_patterns = [".*", "var", "dist", "site"]
myst_enable_extensions = ["strikethrough"]
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = "nextup"
html_extra_path = ["site_root"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"

NAVIGATION = {
    "Use": [
        *("getting-started", "tutorial", "page", "api", "client", "versioning", "troubleshooting"),
        *("features", "comparison"),
    ],
    "How to": [
        *("how-to/out-of-stock", "how-to/next-page", "how-to/filters-and-rules"),
        *("how-to/events-from-python", "how-to/events-from-a-stream", "how-to/experiments", "how-to/keys"),
        *("how-to/retrain", "how-to/publish-and-roll-back", "how-to/gpu", "how-to/redis-cluster"),
        *("how-to/backup-and-restore", "how-to/upgrade"),
    ],
    "Models": [
        "models",
        *(f"models/{page}" for page in ("joint-model", "blossom", "sasrec", "blossomrec", "cprec", "lsan")),
    ],
    "Reference": ["reference/cli", "reference/configuration", "reference/rest", "reference/metrics"],
    "Operate": [
        *(f"operations/{page}" for page in ("deployment", "containers", "kubernetes", "ray", "redis", "capacity")),
        *("operations/event-log", "operations/streaming", "operations/experiments"),
        *("promises", "security", "operations/monitoring", "operations/tracing-and-logs", "runbook"),
    ],
    "Train": [
        *("training/logs", "training/event-types", "training/evaluation", "training/distributed"),
        *("training/reports", "training/cold-start", "/models/LOG", "/models/results/README"),
    ],
    "Understand": [
        *("architecture/overview", "architecture/batching-and-admission", "architecture/answer-ladder"),
        *("architecture/history-store", "architecture/event-log", "architecture/redis-cluster"),
        *("architecture/model-lifecycle", "architecture/model-process", "architecture/supervision"),
        *("architecture/scoring", "architecture/native-code", "architecture/live-catalogue", "architecture/telemetry"),
        *("adr/index", "benchmarks/README", "glossary"),
    ],
    "Change": ["/CONTRIBUTING", "/CHANGELOG"],
}
"""Table of contents of the site. Markdown has none, so it is added when the index pages are read."""

CHILDREN = {
    "docs/adr/index": "0*",
    "docs/benchmarks/README": "*",
    "models/results/README": "*",
}
"""Index page → glob of the pages below it."""


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Append the hidden tables of contents."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += format_toctree(pages, f":caption: {caption}\n")
    elif page in CHILDREN:
        source[0] += format_toctree([CHILDREN[page]], ":glob:\n:titlesonly:\n")


def format_toctree(pages: list[str], options: str) -> str:
    return "\n\n```{toctree}\n:hidden:\n" + options + "\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> None:
    # `sphinx -b html docs OUT` takes this folder for the sources, but links lead to other folders of the repository.
    app.srcdir = ROOT
    app.connect("source-read", add_navigation)
