"""tracker nodes: the machines of a cluster, what they cost, what runs on them and what is idle."""

from __future__ import annotations

from typing import Any

import click

from tracker.cli.options import address_option, allow_open_option, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.runner.fleet_machines import connected, greet
from tracker.runner.fleet_table import fleet_table
from tracker.store.home import Home
from tracker.study.spec import EngineSpec


@click.command(short_help="The machines of a Ray cluster: what each costs, runs and has idle.")
@address_option
@allow_open_option
@json_option
@home_option
def nodes(address: str | None, allow_open_cluster: bool, as_json: bool, home: Home) -> None:
    """List the machines of a Ray cluster, with the rate that trials there are billed at.

    What studies of others run there is listed too; the first look at a new machine takes the time that it needs to
    import torch.
    """
    problems: list[str] = []
    with connected(address or EngineSpec().address, allow_open=allow_open_cluster) as fleet:
        rows = fleet_table(fleet, greet(fleet), home.price_book(), problems.append)
    for sentence in problems:
        say(sentence, err=True)
    if as_json:
        print_json({"nodes": rows})
        return
    for row in rows:
        say(_line(row))
    whole, idle = (sum(row[name] or 0.0 for row in rows) for name in ("usd_per_hour", "idle_usd_per_hour"))
    say(f"{len(rows)} machines, ${whole:g} an hour, of which ${idle:g} are idle")


def _line(row: dict[str, Any]) -> str:
    gpus = f" and {row['accelerators']} × {row['accelerator_model'] or 'GPU'}" if row["accelerators"] else ""
    rate = "no rate" if row["sku"] is None else f"{row['sku']} ({row['market']}), ${row['usd_per_hour']:g} an hour"
    going = "" if row["draining_seconds"] is None else f", goes in {row['draining_seconds']:.0f} s"
    busy = "does not answer"
    if row["running"] is not None:
        busy = "runs " + (", ".join(f"{count} of {study}" for study, count in row["running"].items()) or "nothing")
    return f"{row['address']} ({row['node_id'][:8]}) with {row['cores']} cores{gpus}{going}: {rate}; {busy}"
