"""`nextup erase`: delete every key of a user and print how many there were."""

import argparse
import asyncio
import json

from app.settings import Settings
from app.stores.session import open_store, redis_url


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="user id")


def run(arguments: argparse.Namespace) -> int:
    settings = Settings()
    with redis_url(settings) as url:
        removed = asyncio.run(_erase(url, settings, arguments.user))
    print(json.dumps({"user_id": arguments.user, "keys_removed": removed}))
    return 0


async def _erase(url: str, settings: Settings, user_id: str) -> int:
    async with open_store(url, settings) as store:
        return await store.erase(user_id)
