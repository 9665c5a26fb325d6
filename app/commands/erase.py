"""`nextup erase`: delete every key of a user and print how many there were."""

import asyncio
import json

from app.commands.options.erase import EraseOptions
from app.environment import STORE_SETTINGS, load_settings
from app.settings import Settings
from app.stores.session import open_store, redis_url


def run(arguments: EraseOptions) -> int:
    settings = load_settings(STORE_SETTINGS)
    with redis_url(settings) as url:
        removed = asyncio.run(_erase(url, settings, arguments.user))
    print(json.dumps({"user_id": arguments.user, "keys_removed": removed}))
    return 0


async def _erase(url: str, settings: Settings, user_id: str) -> int:
    async with open_store(url, settings) as store:
        return await store.erase(user_id)
