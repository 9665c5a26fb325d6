"""`nextup key`: create an API key and the NEXTUP_API_KEYS entry that authorizes it."""

import argparse
import json

from app.api_keys import SCOPES, generate_key


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the key in errors and logs")
    parser.add_argument("scopes", nargs="+", choices=SCOPES, metavar="SCOPE", help="read, write or admin; one or more")


def run(arguments: argparse.Namespace) -> int:
    token, entry = generate_key(arguments.name, arguments.scopes)
    print(f"key (not stored anywhere):  {token}\nNEXTUP_API_KEYS entry:      {entry}")
    print(json.dumps({"name": arguments.name, "key": token, "entry": entry}))
    return 0
