"""Makes the pictures in the documents, of a real study: ``make screenshots STUDY=name``.

    python -m tests.screenshots STUDY [--home results] [--out docs/pictures] [--chart NAME]

The dashboard's pages and the report's page, light and dark; look at them before you commit them. With ``--chart`` it is
one picture, the report's chart of quality against price, under that name.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.conftest import CHROMIUM, FLAGS
from tests.support.dashboard import served_dashboard
from tracker import Study
from tracker.store.home import Home

WIDTH, HEIGHT = 1360, 1320
CHART = "#chart-frontier"
"""The report's chart of quality against price."""
SHOWN = {"dashboard": "", "study": "study", "prices": "prices"}
"""The name of each picture of the dashboard, and the page that it is of."""


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots")
    parser.add_argument("study")
    parser.add_argument("--home", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--chart")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.nullcontext("") if options.chart else served_dashboard(options.home.resolve()) as address,
        sync_playwright() as playwright,
    ):
        Study(options.study, Home.find(options.home)).report(folder, formats=["html"])
        report = (Path(folder) / "report.html").as_uri()
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme, device_scale_factor=1.5
            )
            pages = {name: f"{address}/{page}?study={options.study}" for name, page in SHOWN.items()}
            pictures = {options.chart: report} if options.chart else {**pages, "report": report}
            for name, at in pictures.items():
                path = options.out / (f"{name}.png" if scheme == "light" else f"{name}-dark.png")
                _picture(context.new_page(), at, path, CHART if options.chart else None)
                print(path)
        browser.close()


def _picture(page: Page, address: str, path: Path, part: str | None) -> None:
    page.goto(address)
    if address.startswith("http"):
        page.locator(".plot[data-drawn]").first.wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    else:
        page.locator(".main-svg").first.wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # what fades in has done so
    (page.locator(part) if part else page).screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main()
