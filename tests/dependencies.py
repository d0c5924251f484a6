"""Looks up the installed packages in the public lists of vulnerabilities, by pip-audit: part of ``make check``.

    python -m tests.dependencies

Ends with 1 where one is known that pyproject.toml does not accept with a reason ([tool.vulnerabilities.accepted]).
Without a network, or where the lists cannot be reached, it says so and ends with 0: a bare machine can be checked too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
MOST_SECONDS = 300
SECONDS_A_REQUEST = 10
COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off"),
    *("--timeout", str(SECONDS_A_REQUEST), "--format", "json"),
)


def accepted(project: Path = PROJECT) -> Mapping[str, str]:
    """The vulnerabilities that are accepted, by their ids, each with its reason."""
    tools = tomllib.loads(project.read_text())["tool"]
    found: Mapping[str, str] = tools.get("vulnerabilities", {}).get("accepted", {})
    return found


def verdict(report: Mapping[str, list[dict]], allowed: Mapping[str, str]) -> tuple[int, str]:
    """The exit code and what to say of pip-audit's report."""
    looked_up = [each for each in report["dependencies"] if "vulns" in each]
    if not looked_up:
        return 0, f"skipped: none of {len(report['dependencies'])} packages could be looked up; is there a network?"
    known = [
        (each["name"], each["version"], {found["id"], *found.get("aliases", ())}, found.get("fix_versions", []))
        for each in looked_up
        for found in each["vulns"]
    ]
    lines = [
        f"{name} {version}: {', '.join(sorted(ids))}; mended in {', '.join(fixes) or 'no version yet'}"
        for name, version, ids, fixes in known
        if not ids & allowed.keys()
    ]
    if lines:
        remedy = "raise the version in constraints.txt, or accept it with a reason in pyproject.toml"
        return 1, "\n".join([*lines, f"known vulnerabilities: {remedy} ([tool.vulnerabilities.accepted])"])
    return 0, f"no vulnerability is known of {len(looked_up)} of {len(report['dependencies'])} packages"


def audit(command: tuple[str, ...] = COMMAND, most_seconds: float = MOST_SECONDS) -> tuple[int, str]:
    """Run pip-audit; the exit code and what to say."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        try:
            done = subprocess.run(
                [*command, "--output", str(path)], capture_output=True, text=True, timeout=most_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return 0, f"skipped: the lists of vulnerabilities did not answer within {most_seconds:g} s"
        if not path.is_file():
            reason = (done.stderr.strip().splitlines() or ["pip-audit wrote no report"])[-1][:200]
            return 0, f"skipped: the lists of vulnerabilities cannot be reached: {reason}"
        return verdict(json.loads(path.read_text()), accepted())


def main() -> None:
    """The command."""
    code, sentence = audit()
    print(f"dependencies: {sentence}")
    sys.exit(code)


if __name__ == "__main__":
    main()
