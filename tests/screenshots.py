"""Makes the pictures in the README, of a real study: ``make screenshots HOME_OF_STUDY=results STUDY=name``.

    python -m tests.screenshots STUDY [--home results] [--out docs/pictures]

Each page that the README shows, light and dark; look at them before they are committed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.conftest import CHROMIUM, FLAGS
from tests.support.dashboard import served_dashboard

WIDTH, HEIGHT = 1360, 1320
SHOWN = {"dashboard": "", "study": "study", "prices": "prices"}
"""The name of each picture, and the page that it is of."""


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots")
    parser.add_argument("study")
    parser.add_argument("--home", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    with served_dashboard(options.home.resolve()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme, device_scale_factor=1.5
            )
            for name, page_name in SHOWN.items():
                path = options.out / (f"{name}.png" if scheme == "light" else f"{name}-dark.png")
                _picture(context.new_page(), f"{address}/{page_name}?study={options.study}", path)
                print(path)
        browser.close()


def _picture(page: Page, address: str, path: Path) -> None:
    page.goto(address)
    page.locator(".plot[data-drawn]").first.wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # what fades in has done so
    page.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main()
