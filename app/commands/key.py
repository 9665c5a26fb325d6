"""`nextup key`: create an API key and the NEXTUP_API_KEYS entry that authorizes it."""

import json

from app.api_keys import generate_key
from app.commands.options.key import KeyOptions


def run(arguments: KeyOptions) -> int:
    token, entry = generate_key(arguments.name, arguments.scopes)
    print(f"key (not stored anywhere):  {token}\nNEXTUP_API_KEYS entry:      {entry}")
    print(json.dumps({"name": arguments.name, "key": token, "entry": entry}))
    return 0
