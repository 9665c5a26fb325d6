"""Write the generated files of the client from the OpenAPI document of the service.

python client/generate.py           write the files
python client/generate.py --check   exit with status 1 if a file differs
"""

import argparse
import os
import sys
from pathlib import Path

for variable in [name for name in os.environ if name.startswith("NEXTUP_") or name == "PROMETHEUS_MULTIPROC_DIR"]:
    del os.environ[variable]
CLIENT = Path(__file__).parent
sys.path[:0] = [str(CLIENT.parent), str(CLIENT)]

from codegen.outputs import build_files, read_document  # noqa: E402 - after the environment is clean


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated files of the client from the OpenAPI document.")
    parser.add_argument("--check", action="store_true", help="compare the files with the service and write nothing")
    arguments = parser.parse_args()
    stale = []
    for name, text in build_files(read_document()).items():
        path = CLIENT / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
    if stale and arguments.check:
        print(f"the client is stale: {', '.join(stale)}; run `python client/generate.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
