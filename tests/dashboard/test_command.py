"""The command ``tracker dashboard``: what it serves, and to whom."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import re

import psutil
import pytest
import torch
from click.testing import CliRunner

from dashboard import login
from dashboard.command import dashboard, streamlit_command
from tests.support.dashboard import served_dashboard
from tracker.training.meeting import meet_here

AUTH = """
[auth]
redirect_uri = "https://costs.example.org/oauth2callback"
cookie_secret = "random"
client_id = "id"
client_secret = "secret"
server_metadata_url = "https://login.example.org/.well-known/openid-configuration"
"""


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    """The only secrets file there is, not written yet."""
    path = tmp_path / "secrets.toml"
    monkeypatch.setattr(login, "SECRETS", (path,))
    return path


@pytest.fixture
def started(monkeypatch):
    """The command lines that this process would have become."""
    lines = []
    monkeypatch.setattr(os, "execve", lambda program, line, environment: lines.append(line))
    return lines


def test_the_app_is_served_to_this_machine_only_and_counts_nobody():
    command = " ".join(streamlit_command(8600, headless=True))
    for option in (
        "--server.address 127.0.0.1",
        "--server.port 8600",
        "--server.headless true",
        "--browser.gatherUsageStats false",
    ):
        assert option in command
    assert "--server.port" not in streamlit_command(None, headless=False)


def test_an_impossible_port_is_refused():
    result = CliRunner().invoke(dashboard, ["--port", "70000"])
    assert result.exit_code == 2
    assert "70000" in result.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "costs.example.org"])
def test_another_address_without_a_login_is_refused_with_how_to_set_one_up(secrets, started, host):
    result = CliRunner().invoke(dashboard, ["--host", host])
    assert result.exit_code == 2
    assert started == []
    said = re.sub(r"\s+", " ", result.output)
    assert f"--host {host}: there is no login" in said
    assert "[auth] in .streamlit/secrets.toml" in said


def test_half_a_login_is_refused_with_what_it_lacks(secrets, started):
    secrets.write_text(AUTH.replace("client_secret", "other"))
    result = CliRunner().invoke(dashboard, ["--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert "the login lacks client_secret" in re.sub(r"\s+", " ", result.output)
    secrets.write_text("[auth")
    assert f"'{secrets}' cannot be read" in login.login_problem()
    for text in ("auth = 3\n", "auth = 'yes'\n"):
        secrets.write_text(text)
        assert "there is no login" in login.login_problem()
    assert started == []


def test_with_a_login_it_is_served_elsewhere_and_this_machine_needs_none(secrets, started):
    for host in ("127.0.0.1", "localhost", "::1"):
        assert CliRunner().invoke(dashboard, ["--host", host]).exit_code == 0
    secrets.write_text(AUTH)
    assert login.login_problem() == ""
    assert CliRunner().invoke(dashboard, ["--host", "0.0.0.0"]).exit_code == 0
    assert [line[line.index("--server.address") + 1] for line in started] == [
        "127.0.0.1",
        "localhost",
        "::1",
        "0.0.0.0",
    ]


def test_what_is_served_listens_on_this_machine_alone(tmp_path):
    with served_dashboard(tmp_path) as address:
        port = int(address.rpartition(":")[2])
        listening = [each for each in psutil.net_connections("inet") if each.status == psutil.CONN_LISTEN]
        assert {each.laddr.ip for each in listening if each.laddr.port == port} == {"127.0.0.1"}


def test_processes_that_train_one_model_listen_on_this_machine_alone(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        places = [(rank, tmp_path / "a?b#c %20 meeting") for rank in range(2)]
        found = [address for addresses in pool.starmap(_met, places) for address in addresses]
    assert found and all(ipaddress.ip_address(address).is_loopback for address in found)


def _met(rank, meeting):
    """The addresses that a process of a trial has sockets on once it has met the other one."""
    meet_here(rank, 2, torch.device("cpu"), meeting)
    torch.distributed.all_reduce(torch.ones(1))
    connections = psutil.Process().net_connections("inet")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    return [each.laddr.ip for each in connections]
