"""Every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator

import click

from docs.generator.markdown import code, plain, table
from tracker.cli.main import tracker


def every_command() -> Iterator[tuple[str, click.Command]]:
    """All commands by what is typed, groups before what is in them: "tracker run", "tracker prices list", …"""
    context = click.Context(tracker)
    for name in tracker.list_commands(context):
        if command := tracker.get_command(context, name):
            yield from _below(f"tracker {name}", command)


def _below(typed: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield typed, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            if below := command.get_command(click.Context(command), name):
                yield from _below(f"{typed} {name}", below)


def commands() -> str:
    """A section a command."""
    return "\n".join(_section(typed, command) for typed, command in every_command())


def _section(typed: str, command: click.Command) -> str:
    context = click.Context(command, info_name=typed)
    usage = " ".join([typed, *command.collect_usage_pieces(context)])
    level = "#" * (len(typed.split()) if not isinstance(command, click.Group) else 2)
    return f"{level} `{typed}`\n\n{_help(command)}\n\n```text\n{usage}\n```\n\n{_options(command)}"


def _help(command: click.Command) -> str:
    lines = (command.help or "").replace("\b", "").split("\n")
    return plain("\n".join(line.strip() for line in lines))


def _options(command: click.Command) -> str:
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            typed = " ".join(filter(None, [", ".join([*option.opts, *option.secondary_opts]), _takes(option)]))
            help_texts = [
                option.help or "",
                "May be given again." if option.multiple and "again" not in (option.help or "") else "",
            ]
            default = f"[default: {option.default}]" if option.show_default else ""
            rows.append([code(typed), plain(" ".join(filter(None, [*help_texts, default])))])
    return table(["option", "meaning"], rows) if rows else ""


def _takes(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return f"[{', '.join(map(str, option.type.choices))}]"
    return option.make_metavar(click.Context(click.Command("tracker")))
