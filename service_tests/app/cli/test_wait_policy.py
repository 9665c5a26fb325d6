"""Threads sleep after a short spin, unless the environment says otherwise."""

import pytest

from app.cli.wait_policy import USER_SETTINGS, set_wait_policy


def test_threads_sleep_by_default() -> None:
    environment: dict[str, str] = {}
    set_wait_policy(environment)
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert int(environment["GOMP_SPINCOUNT"]) <= 10_000


@pytest.mark.parametrize("name", USER_SETTINGS)
def test_setting_of_the_user_is_kept(name: str) -> None:
    environment = {name: "7"}
    set_wait_policy(environment)
    assert environment == {name: "7"}
