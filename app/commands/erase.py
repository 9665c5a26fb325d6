"""`nextup erase`: erase a user from Redis and the archive, and print what was removed."""

import asyncio
import json
from dataclasses import asdict, replace

from app.archive.erasure import Erasure, erase_user
from app.commands.archive import archive_once
from app.commands.options.erase import EraseOptions
from app.environment import STORE_SETTINGS, load_settings
from app.runtime.erasures import announce_erasure
from app.settings import Settings
from app.stores.log_streams import LogStreams
from app.stores.session import open_store, redis_url


def run(arguments: EraseOptions) -> int:
    settings = load_settings(STORE_SETTINGS)
    with redis_url(settings) as url:
        erasure = asyncio.run(_erase(url, settings, arguments.user))
        announce_erasure(settings.data_dir)
        answer = {"user_id": arguments.user, **asdict(erasure)}
        if arguments.compact:
            _, compaction = asyncio.run(archive_once(url, settings, compact=True))
            assert compaction is not None, "a compaction was requested"
            answer |= asdict(replace(erasure, archive="compacted")) | {"rows_removed": compaction.rows_removed}
    print(json.dumps(answer))
    return 0


async def _erase(url: str, settings: Settings, user_id: str) -> Erasure:
    async with open_store(url, settings) as store:
        return await erase_user(store, LogStreams(store.client), user_id)
