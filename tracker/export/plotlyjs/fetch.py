"""Fetches the plotly.js that reports carry, by npm, and checks it: `make plotlyjs`."""

from __future__ import annotations

import base64
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE, VERSION = "plotly.js-basic-dist-min", "4.1.1"
INTEGRITY = "sha512-1oNF8PeQx2hv/y7tqEVWKD3JGwn/MGEMQ8mL9HUwsaqG9FGy/OU5FHUHvzqbqxN4mnwZGI9abTiE775C4kkjMQ=="
FOLDER = Path(__file__).parent


def fetch() -> None:
    """Put the library and its licence into this folder. Raises SystemExit where the package is not the one noted."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True)
        package = next(Path(folder).glob("*.tgz"))
        found = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            sys.exit(f"{package.name} has the hash {found}; expected {INTEGRITY}")
        with tarfile.open(package) as archive:
            files = {name: archive.extractfile(f"package/{name}") for name in ("plotly-basic.min.js", "LICENSE")}
            texts = {name: file.read() for name, file in files.items() if file is not None}
    (FOLDER / "LICENSE").write_bytes(texts["LICENSE"])
    (FOLDER / "plotly-basic.min.js.gz").write_bytes(gzip.compress(texts["plotly-basic.min.js"], 9, mtime=0))


if __name__ == "__main__":
    fetch()
