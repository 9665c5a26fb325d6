"""`make sanitize`: random shapes through the native library under the address and undefined-behavior sanitizers."""

import subprocess
import sys
import tempfile
from pathlib import Path

from models.native.build import compile_sanitized, find_compiler

PROGRAM = Path(__file__).with_name("random_shapes.cpp")
CASES = 200


def main() -> int:
    if find_compiler() is None:
        print("no C++ compiler found: nothing to check")
        return 0
    with tempfile.TemporaryDirectory(prefix="nextup-sanitize-") as folder:
        target = Path(folder) / "random_shapes"
        try:
            compile_sanitized(PROGRAM, target)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr)
            return 1
        return subprocess.run([str(target), str(CASES)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
