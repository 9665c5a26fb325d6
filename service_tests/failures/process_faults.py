"""Faults of the processes of a service. Each function breaks something and returns when the fault is over."""

import asyncio
import signal
import time

from app.model_repository.repository import ModelRepository
from service_tests.failures.fault_scene import Scene, wait_for_change
from service_tests.support.service_processes import MODEL, WORKER
from service_tests.support.versions import corrupt_byte

BEGIN_S = 60.0


async def hang_batch(scene: Scene) -> None:
    await _hang(scene, holding_gil=False)


async def hang_batch_with_gil(scene: Scene) -> None:
    await _hang(scene, holding_gil=True)


async def stop_model(scene: Scene) -> None:
    await _signal_and_wait(scene, MODEL, signal.SIGSTOP)


async def kill_model(scene: Scene) -> None:
    await _signal_and_wait(scene, MODEL, signal.SIGKILL)


async def kill_worker(scene: Scene) -> None:
    await _signal_and_wait(scene, WORKER, signal.SIGKILL)


async def stop_worker(scene: Scene) -> None:
    await _signal_and_wait(scene, WORKER, signal.SIGSTOP)


async def kill_supervisor(scene: Scene) -> None:
    """Kill the parent of all processes, and start the service again immediately."""
    scene.service.kill()
    scene.service.start()
    await asyncio.to_thread(scene.service.wait_until_ready)


async def restart_instances(scene: Scene) -> None:
    """Restart one instance after the other with SIGTERM, as a rolling update does."""
    for instance in scene.instances:
        await asyncio.to_thread(instance.terminate)
        instance.start()
        await asyncio.to_thread(instance.wait_until_ready)


async def replace_workers(scene: Scene) -> None:
    """Replace all workers of one instance with SIGHUP."""
    before = set(scene.find_pids(WORKER))
    scene.service.send_signal(signal.SIGHUP)
    await asyncio.to_thread(wait_for_change, lambda: not before & set(scene.find_pids(WORKER)))


async def break_newest_version(scene: Scene) -> None:
    """Damage the newest version, make it the target, and restart one instance."""
    assert scene.newest_version is not None
    corrupt_byte(scene.newest_version)
    ModelRepository(scene.newest_version.parent).set_target_version(scene.newest_version.name)
    await asyncio.to_thread(scene.service.terminate)
    scene.service.start()
    await asyncio.to_thread(scene.service.wait_until_ready)


async def _hang(scene: Scene, *, holding_gil: bool) -> None:
    assert scene.model is not None
    before = set(scene.find_pids(WORKER))
    scene.model.hang(holding_gil=holding_gil)
    deadline = time.monotonic() + BEGIN_S
    while not scene.model.has_begun and time.monotonic() < deadline:  # noqa: ASYNC110 - another process decides
        await asyncio.sleep(0.01)
    await asyncio.to_thread(wait_for_change, lambda: len(before & set(scene.find_pids(WORKER))) < len(before))


async def _signal_and_wait(scene: Scene, word: bytes, number: signal.Signals) -> None:
    """Send a signal to the first process, and wait until there is another one in its place."""
    before = set(scene.find_pids(word))
    pid = scene.signal_first(word, number)
    await asyncio.to_thread(wait_for_change, lambda: _is_replaced(scene, word, pid, len(before)))


def _is_replaced(scene: Scene, word: bytes, pid: int, count: int) -> bool:
    pids = scene.find_pids(word)
    return pid not in pids and len(pids) >= count
