"""Nothing leaves the machine: a study, its report and its model's prices open no connection to anywhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.command import ROOT
from tests.support.studies import digits

WATCH = """
import os, sys

def audit(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "urllib.Request"):
        address = arguments[0] if event in ("socket.getaddrinfo", "urllib.Request") else arguments[1]
        with open(os.environ["WATCHED"], "a") as file:
            print(event, repr(address), file=file)

sys.addaudithook(audit)
"""
HERE = ("'127.0.0.1'", "'localhost'", "'::1'")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Runs a command in which every process of Python tells where it connects to; the addresses outside."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sitecustomize.py").write_text(WATCH)
    log = folder / "connections.txt"

    def run(*command):
        log.write_text("")
        environment = {
            name: value for name, value in os.environ.items() if not name.endswith(("_TELEMETRY", "DO_NOT_TRACK"))
        }
        environment |= {"PYTHONPATH": str(folder), "WATCHED": str(log), "TRACKER_HOME": str(folder / "home")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        lines = log.read_text().splitlines()
        return [line for line in lines if not any(here in line for here in HERE) and "socket.connect '/" not in line]

    return run


def test_the_watch_sees_a_connection(watched):
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))"
    assert watched(sys.executable, "-c", code) == ["socket.connect ('192.0.2.1', 9)"]


def test_a_study_its_frontier_and_its_report_connect_to_nowhere(watched, tmp_path):
    study = tmp_path / "digits.json"
    study.write_text(json.dumps(digits(budget={"trials": 2}, settings={"processes": 2})))
    code = (
        "import json, sys\nfrom tracker import run_study\n"
        "study = run_study(json.load(open(sys.argv[1])))\nstudy.frontier()\nstudy.report()\n"
    )
    assert watched(sys.executable, "-c", code, str(study)) == []
