"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest
from alembic.script import ScriptDirectory

from tests.support.mlflow_database import put_mlflow_database
from tracker.engine import forkserver

ROOT = Path(__file__).parents[1]
# However slow the machine is, that fails nothing.
hypothesis.settings.register_profile("any", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
LONGEST = (
    *("engine/test_ray_fleet.py", "runner/test_simulated_fleet.py"),
    *("docs/test_shown.py", "dashboard/test_every_page.py", "runner/test_team_servers.py"),
    *("contracts/test_workloads.py", "runner/test_audit.py", "runner/test_detached.py", "faults/test_faults.py"),
    *("cli/test_commands.py", "runner/test_frontier_strategy.py", "runner/test_studies.py"),
    *("runner/test_study_lookup.py", "runner/test_first_contact.py", "runner/test_any_steps.py"),
    *("runner/test_pausing.py", "dashboard/test_launch_page.py", "dashboard/test_launch_browser.py"),
    *("dashboard/test_study_page.py", "runner/test_command_studies.py", "runner/test_confirm.py"),
    *("cli/test_confirm.py", "training/test_hardware.py", "test_privacy.py"),
)
"""Files that take longest, the longest first."""


# Threads of OpenMP that wait for each other keep their cores busy, which other processes of tests have a use for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items):
    """The longest files come first: files run side by side, and everyone would wait for a long one at the end."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory):
    """Cores are reserved by files in the temporary folder: a study that runs on this machine is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_processes():
    """Workers begin with what any test's training imports, and every process with what the one before compiled.

    A process has one forkserver, which imports the training of the first study: later ones would import in each worker.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver, "_PRELOAD", (*forkserver._PRELOAD, "tests.support.preloaded"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once():
    """Optuna and MLflow ask for their newest schema whenever they open a database: a third of a small study's work.

    What Alembic answers is the same as long as their migration scripts are.
    """

    def once(asked):
        answers = {}

        def answer(scripts):
            if scripts.dir not in answers:
                answers[scripts.dir] = asked(scripts)
            return answers[scripts.dir]

        return answer

    with pytest.MonkeyPatch.context() as patch:
        for name in ("get_heads", "get_current_head"):
            patch.setattr(ScriptDirectory, name, once(getattr(ScriptDirectory, name)))
        yield


@pytest.fixture(scope="session")
def new_home(tmp_path_factory):
    """Makes a home that MLflow was used in before: to make its database takes MLflow seconds."""
    return lambda: put_mlflow_database(tmp_path_factory.mktemp("home")).parent


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """A person's own homes and servers are never touched by a test; every process finds the tests' own workloads.

    (gpuhunt installs a package of the name "tests" too.)
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("TRACKER_HOME", "TRACKER_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, driven by playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()
