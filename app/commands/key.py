"""`nextup key`: a new API key, and the entry of NEXTUP_API_KEYS that lets it in."""

import argparse
import json

from app.api_keys import SCOPES, generate_key


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="who will use it; errors and logs tell it")
    parser.add_argument("scopes", nargs="+", choices=SCOPES, metavar="SCOPE", help="read, write, admin")


def run(arguments: argparse.Namespace) -> int:
    token, entry = generate_key(arguments.name, arguments.scopes)
    print(f"key, kept nowhere:         {token}\nentry of NEXTUP_API_KEYS:  {entry}")
    print(json.dumps({"name": arguments.name, "key": token, "entry": entry}))
    return 0
