"""Compare installed packages with the advisory database of PyPI, by pip-audit in its own environment (`make audit`).

    python -m service_tests.support.dependency_audit .audit-venv/bin/pip-audit

Ends with status 1 if a package has a known vulnerability. Without the database, as without network, nothing is known:
the last line says NOT AUDITED, and the status is 0.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT_S = 300
OWN_PACKAGE = "nextup"


class AuditResult(NamedTuple):
    """Lines about packages with a known vulnerability, and the numbers of packages that were compared and were not."""

    findings: list[str]
    audited: int
    skipped: int

    def describe(self) -> str:
        """State the result in one line."""
        if not self.audited:
            return "NOT AUDITED: the advisory database could not be read, so nothing is known about any package"
        unknown = f"; {self.skipped} packages are NOT AUDITED: the database has no entry" if self.skipped else ""
        return f"audited {self.audited} packages, {len(self.findings)} known vulnerabilities{unknown}"


def list_requirements(packages: Iterable[tuple[str, str]]) -> list[str]:
    """List name==version without local labels such as +cpu, which the database does not have."""
    return sorted(
        {f"{name}=={version.partition('+')[0]}" for name, version in packages if name and name != OWN_PACKAGE}
    )


def read_report(text: str) -> AuditResult:
    """Read the JSON that pip-audit prints; a text that is none, as after an error of the network, has no package."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return AuditResult([], 0, 0)
    findings, audited = [], 0
    for package in dependencies:
        if "skip_reason" in package:
            continue
        audited += 1
        for advisory in package["vulns"]:
            fixed = ", ".join(advisory.get("fix_versions", [])) or "no version"
            findings.append(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    return AuditResult(findings, audited, len(dependencies) - audited)


def run_audit(program: str) -> AuditResult:
    """Run pip-audit on the packages of this environment."""
    packages = [(package.metadata["Name"], package.version) for package in distributions()]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(list_requirements(packages)) + "\n")
        options = ["--requirement", str(requirements), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        try:
            result = subprocess.run(
                [program, *options, "--format", "json"],
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return AuditResult([], 0, 0)
    return read_report(result.stdout)


def main(program: str) -> int:
    result = run_audit(program)
    for finding in result.findings:
        print(finding)
    print(result.describe())
    return int(bool(result.findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
