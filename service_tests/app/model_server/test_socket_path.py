"""Socket of the dedicated model process: invalid settings are rejected before a process starts."""

from pathlib import Path

import pytest

from app.model_server.socket_path import prepare_model_socket
from app.settings import Settings


def test_data_dir_that_is_too_long_for_a_socket_is_rejected(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("x" * 120), model_process="dedicated")
    with pytest.raises(ValueError, match="NEXTUP_DATA_DIR is too long"):
        prepare_model_socket(settings.model_socket_path)
    assert not settings.data_dir.exists()
