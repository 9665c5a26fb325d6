"""Supervisor: invalid settings are rejected before a process starts."""

from pathlib import Path

import pytest

from app.model_server.supervisor import supervise_model_process
from app.settings import Settings


def test_data_dir_that_is_too_long_for_a_socket_is_rejected(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("x" * 120), model_process="dedicated")
    with pytest.raises(ValueError, match="NEXTUP_DATA_DIR is too long"), supervise_model_process(settings):
        pass
    assert not settings.data_dir.exists()
