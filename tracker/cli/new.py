"""tracker new: a study and its training code from a template that runs as it is."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

import click

from tracker.cli.output import say
from tracker.errors import RequestError

TEMPLATES = files("tracker.cli") / "templates"
NAMES = {"study.toml": "{name}.toml", "workload.py": "{name}.py"}


@click.command(short_help="A study and its training code from a template that runs as it is.")
@click.argument("name")
@click.option("--in", "folder", type=click.Path(path_type=Path), default=Path(), help="The folder to write them to.")
def new(name: str, folder: Path) -> None:
    """Write NAME.toml and NAME.py: a small PyTorch training with everything that a study needs.

    Existing files are not overwritten.
    """
    if not name.isidentifier():
        raise RequestError(
            f"name '{name}' is not a valid name for a Python file; allowed: letters, digits and _, no digit first"
        )
    targets = {template: folder / pattern.format(name=name) for template, pattern in NAMES.items()}
    if taken := [str(path) for path in targets.values() if path.exists()]:
        raise RequestError(f"{', '.join(taken)} already exists; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    for template, path in targets.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8").replace("NAME", name)
        path.write_text(text, encoding="utf-8")
        say(f"wrote {path}")
    study, code = targets["study.toml"], targets["workload.py"]
    say(f"try it:   tracker run {shlex.quote(str(study))} --smoke", err=True)
    say(f"check it: tracker check-workload {shlex.quote(f'{code}:train')}", err=True)
