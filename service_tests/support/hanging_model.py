"""Real processes whose model hangs on request: the next batch of any of them claims the request and never ends."""

from pathlib import Path

from service_tests.support.patched_processes import patch_processes

_PATCH = """
import ctypes, os, time

REQUEST = {request!r}


def patch(module):
    run_batch = module.Servable.run_batch

    def run_or_hang(self, queries):
        claim = f"{{REQUEST}}-{{os.getpid()}}"
        try:
            os.rename(REQUEST, claim)
        except FileNotFoundError:
            return run_batch(self, queries)
        if open(claim).read() == "gil":
            ctypes.PyDLL(None).sleep(70)  # unlike time.sleep, this holds the GIL
        time.sleep(70)
        return run_batch(self, queries)

    module.Servable.run_batch = run_or_hang
"""


class HangingModel:
    """`environment` is for the service; `hang` lets the next batch of one of its processes hang for 70 s."""

    def __init__(self, folder: Path) -> None:
        self._request = folder / "hang"
        patch = _PATCH.format(request=str(self._request))
        self.environment = patch_processes(folder, "app.inference.servable", patch)

    def hang(self, *, holding_gil: bool = False) -> None:
        partial = self._request.with_suffix(".partial")
        partial.write_text("gil" if holding_gil else "sleep")
        partial.rename(self._request)

    @property
    def has_begun(self) -> bool:
        """Whether a batch hangs or has hung since the last `hang`."""
        return not self._request.exists()

    def find_process(self) -> int:
        """Process id of the only batch that has hung."""
        (claim,) = self._request.parent.glob(f"{self._request.name}-*")
        return int(claim.name.rpartition("-")[2])
