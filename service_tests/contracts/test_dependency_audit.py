"""`make audit` fails for known vulnerabilities, and says so when nothing could be compared."""

import json

import pytest

from service_tests.support.dependency_audit import list_requirements, read_report

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}]}


def test_finding_names_package_advisory_and_fixed_versions() -> None:
    result = read_report(json.dumps({"dependencies": [CLEAN, SKIPPED, VULNERABLE]}))
    assert result.findings == ["c 2: PYSEC-1, fixed in 2.1, 3.0"]
    assert result.describe().startswith("audited 2 packages, 1 known vulnerabilities; 1 packages are NOT AUDITED")


@pytest.mark.parametrize("text", ["", "Traceback", "[]", "{}", json.dumps({"dependencies": [SKIPPED, SKIPPED]})])
def test_audit_without_the_database_is_no_clean_result(text: str) -> None:
    result = read_report(text)
    assert (result.findings, result.audited) == ([], 0)
    assert result.describe().startswith("NOT AUDITED")


def test_local_labels_are_removed_and_the_package_itself_is_left_out() -> None:
    packages = [("torch", "2.13.0+cpu"), ("nextup", "0.1"), ("redis", "8.1.0"), ("redis", "8.1.0")]
    assert list_requirements(packages) == ["redis==8.1.0", "torch==2.13.0"]
