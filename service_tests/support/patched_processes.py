"""Real processes in which one module is changed from outside, through a `sitecustomize` module on their path."""

from pathlib import Path

from service_tests.support.nextup_process import ROOT

_FINDER = """
import sys
from importlib.machinery import PathFinder


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = execute_and_patch
        return spec


sys.meta_path.insert(0, Finder())
"""


def patch_processes(folder: Path, module: str, patch: str) -> dict[str, str]:
    """Return the environment of processes that call the function `patch` of the code `patch` with that module."""
    site = folder / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(patch + _FINDER.format(module=module))
    return {"PYTHONPATH": f"{site}:{ROOT}"}
