"""What was tried is printed at the end of `make fuzz`."""

from __future__ import annotations

from tests.fuzz.inputs import INPUTS, tried


def pytest_terminal_summary(terminalreporter):
    """How many inputs were tried of each kind."""
    if INPUTS:
        for kind, count in sorted(tried.items()):
            terminalreporter.write_line(f"{count:7,} {kind}")
        terminalreporter.write_line(f"{tried.total():7,} inputs in total")
