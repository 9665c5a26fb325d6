"""`nextup serve` creates the folder of shared metrics before the metrics library is imported."""

import subprocess
import sys

import pytest


@pytest.mark.process
def test_serve_command_does_not_import_the_metrics_library() -> None:
    """The library decides at its import whether counters are shared, and the supervisor has counters."""
    code = "import sys, app.commands.serve; assert 'prometheus_client' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
