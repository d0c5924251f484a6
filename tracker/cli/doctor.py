"""tracker doctor: what this machine is, can do, and would be billed as."""

from __future__ import annotations

from dataclasses import asdict

import click

from tracker.cli.options import MARKETS, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.engine.forkserver import Forkserver
from tracker.errors import PriceBookError
from tracker.pricing.price_book import PriceBook
from tracker.records import Hardware, Market
from tracker.store.home import Home
from tracker.training.hardware import can_compile, describe_hardware


@click.command(short_help="What this machine is, can do, and would be billed as.")
@click.option("--market", type=MARKETS, default=Market.ON_DEMAND.value, show_default=True, help="Its rate is shown.")
@click.option(
    "--compile/--no-compile", "try_compile", default=True, help="Also try torch.compile, which may take a minute."
)
@json_option
@home_option
def doctor(market: str, try_compile: bool, as_json: bool, home: Home) -> None:
    """Inspect this machine: every precision and torch.compile is tried, not guessed."""
    forkserver = Forkserver()
    hardware = forkserver.call(describe_hardware)
    compile_problems = {device: forkserver.call(can_compile, device) for device in hardware.devices if try_compile}
    billing = {device: _billing(home.price_book(), hardware, device, Market(market)) for device in hardware.devices}
    if as_json:
        print_json({**asdict(hardware), "compile_problems": compile_problems, "billed_as": billing})
        return
    say(f"cpu        {hardware.cpu_model} ({hardware.architecture}), {hardware.cores} cores to use")
    say(f"memory     {hardware.memory_bytes / 2**30:.1f} GiB")
    if hardware.accelerator_count:
        memory = hardware.accelerator_memory_bytes / 2**30
        say(f"gpu        {hardware.accelerator_count} × {hardware.accelerator}, {memory:.0f} GiB each")
    else:
        say("gpu        none that torch can use")
    say(f"torch      {hardware.torch_version}")
    for device in hardware.devices:
        say(f"on {device}:")
        say(f"  precisions that work  {', '.join(hardware.precisions[device])}")
        if try_compile:
            say(f"  torch.compile         {compile_problems[device] or 'works'}")
        say(f"  billed as             {_billing_line(billing[device])}")


def _billing(book: PriceBook, hardware: Hardware, device: str, market: Market) -> dict[str, object]:
    try:
        point = book.cheapest_for(hardware, device, market)
    except PriceBookError as error:
        return {"problem": str(error)}
    return {
        "sku": point.sku,
        "market": point.market,
        "usd_per_hour": point.usd_per_hour,
        "region": point.region,
        "source": point.source,
        "effective_from": point.effective_from.isoformat(),
    }


def _billing_line(billing: dict[str, object]) -> str:
    if "problem" in billing:
        return f"nothing: {billing['problem']}"
    place = [str(billing["market"]), str(billing["region"])]
    return (
        f"{billing['sku']} ({', '.join(filter(None, place))}), ${billing['usd_per_hour']:g} an hour "
        f"for the whole machine\n                        on {billing['effective_from']}, from {billing['source']}"
    )
