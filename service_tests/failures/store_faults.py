"""Faults of the store. Each function breaks something and returns when the fault is over."""

import asyncio
import os
import signal

from app.bench.load.json_client import JsonClient
from app.stores.keys import build_user_keys
from service_tests.failures.fault_scene import Scene, wait_for_change

OUTAGE_S = 6.0
FLAPS, FLAP_S = 6, 0.8
STOPPED_SERVER_S = 30.0
"""How long a stopped embedded server may take to be replaced before it continues."""


async def stop_redis(scene: Scene) -> None:
    """Let an external server hang with its connections open, and continue."""
    assert scene.redis is not None
    scene.redis.pause()
    await asyncio.sleep(OUTAGE_S)
    scene.redis.resume()
    scene.mark_repaired()


async def kill_redis(scene: Scene) -> None:
    assert scene.redis is not None
    await asyncio.to_thread(scene.redis.kill)
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(scene.redis.start)
    scene.mark_repaired()


async def flap_redis(scene: Scene) -> None:
    """Let an external server hang and continue, again and again."""
    assert scene.redis is not None
    for _ in range(FLAPS):
        scene.redis.pause()
        await asyncio.sleep(FLAP_S)
        scene.redis.resume()
        await asyncio.sleep(FLAP_S)
    scene.mark_repaired()


async def exhaust_redis_memory(scene: Scene) -> None:
    assert scene.redis is not None
    with scene.redis.connect() as client:
        client.config_set("maxmemory", 1)
        await asyncio.sleep(OUTAGE_S)
        client.config_set("maxmemory", 0)
    scene.mark_repaired()


async def kill_embedded(scene: Scene) -> None:
    await _signal_embedded(scene, signal.SIGKILL)


async def stop_embedded(scene: Scene) -> None:
    await _signal_embedded(scene, signal.SIGSTOP)


async def fill_disk(scene: Scene) -> None:
    assert scene.disk is not None
    await asyncio.to_thread(scene.disk.fill)
    await asyncio.sleep(OUTAGE_S)
    scene.disk.empty()
    scene.mark_repaired()


async def damage_history(scene: Scene) -> None:
    """Damage the stored value of one reader; later erase the user and store the history again, as an operator does."""
    assert scene.redis is not None
    user = next(iter(scene.load.histories))
    with scene.redis.connect() as client:
        client.set(build_user_keys(user).items, b"x")
    await asyncio.sleep(OUTAGE_S)
    client_ = JsonClient([scene.service.port])
    await client_.call("DELETE", f"/users/{user}")
    await scene.load.store_history(user, client_)
    client_.close()
    scene.mark_repaired()


async def _signal_embedded(scene: Scene, number: signal.Signals) -> None:
    pid = scene.find_redis_pid()
    assert pid is not None
    os.kill(pid, number)

    def is_replaced() -> bool:
        return scene.find_redis_pid() not in (None, pid)

    if not await asyncio.to_thread(wait_for_change, is_replaced, STOPPED_SERVER_S):
        os.kill(pid, signal.SIGCONT)
        scene.mark_repaired()
