"""How long others take: MLflow to read a study as a pandas table, optuna-dashboard to show one of as many trials.

And Streamlit to show three points by its own means, on a page with nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.errors import RequestError

CHROMIUM = "/usr/bin/chromium"
_MLFLOW = """
import sys, time
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
began = time.perf_counter()
found = mlflow.search_runs(experiment_names=[sys.argv[2]], max_results=200_000)
print(time.perf_counter() - began, len(found))
"""
_OPTUNA = """
import sys
import numpy as np, optuna
runs, checkpoints = int(sys.argv[2]), int(sys.argv[3])
optuna.logging.set_verbosity(optuna.logging.ERROR)
generator = np.random.default_rng(0)
study = optuna.create_study(storage=sys.argv[1], study_name="large", directions=["maximize"])
spaces = {"size": optuna.distributions.IntDistribution(1, 128), "rate": optuna.distributions.FloatDistribution(0, 1)}
study.add_trials([
    optuna.trial.create_trial(
        params={"size": int(generator.integers(1, 129)), "rate": float(generator.uniform())}, distributions=spaces,
        value=float(generator.uniform()),
        intermediate_values={step: float(generator.uniform()) for step in range(checkpoints)},
    )
    for _ in range(runs)
])
"""
_STREAMLIT = """
import plotly.graph_objects as go
import streamlit as st
st.title("Three points")
st.plotly_chart(go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 2, 3])))
"""
_DRAWN = ".js-plotly-plot .main-svg"
VISITS = 5


def measure_mlflow(tracking_uri: str, experiment: str) -> float:
    """Seconds that MLflow's search_runs takes for all runs of an experiment, its import not counted."""
    words = _run(_MLFLOW, tracking_uri, experiment).split()
    return float(words[0])


def measure_optuna_dashboard(runs: int, checkpoints: int) -> float:
    """Seconds until optuna-dashboard, just started, shows the page of a study in a browser."""
    from playwright.sync_api import sync_playwright  # only the tests and this benchmark have it

    with tempfile.TemporaryDirectory(prefix="tracker-optuna-") as folder:
        storage = f"sqlite:///{Path(folder) / 'optuna.db'}"
        _run(_OPTUNA, storage, str(runs), str(checkpoints))
        port = free_port()
        command = [str(Path(sys.executable).with_name("optuna-dashboard")), storage, "--port", str(port)]
        with _served(command, f"http://127.0.0.1:{port}/dashboard/"), sync_playwright() as playwright:
            browser = browser_of(playwright, str(Path(folder) / "profile"))
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/dashboard/studies/1")
            page.wait_for_selector(_DRAWN, timeout=600_000)
            seconds = time.perf_counter() - began
            browser.close()
    return seconds


def measure_streamlit() -> float:
    """Seconds until a browser that was there before shows Streamlit's page of three points, the median of visits."""
    from playwright.sync_api import sync_playwright  # only the tests and this benchmark have it

    with tempfile.TemporaryDirectory(prefix="tracker-streamlit-") as folder:
        script = Path(folder) / "page.py"
        script.write_text(_STREAMLIT)
        port = free_port()
        options = ["--server.headless=true", f"--server.port={port}", "--browser.gatherUsageStats=false"]
        command = [sys.executable, "-m", "streamlit", "run", str(script), *options]
        address, seconds = f"http://127.0.0.1:{port}", []
        with _served(command, f"{address}/_stcore/health"), sync_playwright() as playwright:
            browser = browser_of(playwright, str(Path(folder) / "profile"))
            for _ in range(1 + VISITS):
                page = browser.new_page()
                began = time.perf_counter()
                page.goto(address)
                page.wait_for_selector(_DRAWN, timeout=600_000)
                seconds.append(time.perf_counter() - began)
                page.close()
            browser.close()
    return statistics.median(seconds[1:])


def browser_of(playwright: Any, profile: str) -> Any:
    """A browser with an empty cache, which it keeps in the folder ``profile`` as a person's browser does."""
    return playwright.chromium.launch_persistent_context(
        profile, executable_path=CHROMIUM, args=["--no-sandbox"], viewport={"width": 1280, "height": 1400}
    )


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _served(command: list[str], address: str) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_answered(address, server)
            yield
        finally:
            server.terminate()


def wait_until_answered(address: str, server: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Raises RequestError where a server ends, or gives no answer in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RequestError(f"{address} gave no answer in {seconds:g} s")


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RequestError(f"a baseline failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return done.stdout
