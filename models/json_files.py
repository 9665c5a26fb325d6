"""Reads JSON files that may hold anything: bounded in size, and every failure is a ValueError with one line."""

import json
import stat
from pathlib import Path
from typing import Any

from models.printable import to_printable

MAX_REASON_CHARACTERS = 200


def read_json_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read an object; ValueError, without the path, for another value, a larger file, or none that is regular."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise ValueError("it is not a file")
        if status.st_size > max_bytes:
            raise ValueError(f"it has {status.st_size:,} bytes, at most {max_bytes:,} are read")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("it is missing") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from error
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError("it does not hold a JSON object")
    return content


def shorten_reason(error: Exception, path: Path | None = None) -> str:
    """Return the text of an error as one short, printable line; `path` is shortened to its name."""
    text = " ".join(str(error).replace(str(path), "" if path is None else path.name).split()) or type(error).__name__
    return to_printable(text if len(text) <= MAX_REASON_CHARACTERS else f"{text[:MAX_REASON_CHARACTERS]}…")
