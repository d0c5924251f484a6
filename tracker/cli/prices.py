"""tracker prices: the price book, its history, and the source of each rate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from tracker.cli.options import MARKETS, day_option, home_option, json_option, print_json
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import CatalogueError, PriceBookError, RequestError
from tracker.pricing.catalogues import CATALOGUES
from tracker.pricing.catalogues.update import update_price_table
from tracker.pricing.price_book import PriceBook, load_price_book
from tracker.pricing.price_point import QUALITIES, PricePoint
from tracker.pricing.price_table import read_price_table
from tracker.records import Market
from tracker.report.price_tables import bars, history_figure, rates_document
from tracker.report.style import PLOTLY_CONFIG
from tracker.report.words import several
from tracker.store.home import Home


@click.group(short_help="The price book: rates with their sources, dates and history.")
def prices() -> None:
    """Look up rates, their sources and their history; check and update them."""


@prices.command("list")
@click.option("--provider", default="", help="Only this seller.")
@click.option("--accelerator", default="", help="Only with this accelerator, such as H100.")
@click.option("--region", default="", help="Only in this region.")
@click.option("--market", type=MARKETS, help="Only in this market.")
@day_option("--on", "The rates of that day.  [default: today]")
@json_option
@home_option
def list_(
    provider: str, accelerator: str, region: str, market: str | None, on: date | None, as_json: bool, home: Home
) -> None:
    """List the rates of each SKU, region and market, today or on a day."""
    book = home.price_book()
    chosen = Market(market) if market else None
    offers = book.offers(on, provider=provider, accelerator=accelerator, region=region, market=chosen)
    if as_json:
        print_json(rates_document(book, offers, on))
        return
    columns = ["SKU ", "market ", "region ", "$ an hour", "accelerators ", "vCPU", "GiB", "since", "quality "]
    print_table(columns, [_offer(point) for point in offers])
    say(f"{several(len(offers), 'rate')}, price book {book.version}", err=True)


@prices.command()
@click.argument("sku")
@json_option
@home_option
def show(sku: str, as_json: bool, home: Home) -> None:
    """Show SKU: its machine, its newest rates, and the source of each figure."""
    book = home.price_book()
    machine = book.machine(sku)
    offers = [point for point in book.offers() if point.sku == sku]
    if as_json:
        print_json(rates_document(book, offers))
        return
    say(sku)
    say(f"  machine   {_machine(machine)}; from {machine.spec_source or 'an unverified source'}")
    for point in offers:
        where = f" in {point.region}" if point.region else ""
        until = f" until {point.effective_to}" if point.effective_to else ""
        say(f"  {point.market}{where}: ${point.usd_per_hour:.10g} an hour from {point.effective_from}{until}")
        if point.energy_usd_per_hour or point.maintenance_usd_per_hour:
            parts = f"${point.energy_usd_per_hour:.4g} electricity, ${point.maintenance_usd_per_hour:.4g} upkeep"
            say(f"            of it {parts}")
        say(f"            {point.source} ({point.date_kind}); {QUALITIES[point.quality]}")
        say(f"            licence {point.licence or 'none needed'}")


@prices.command()
@click.argument("sku")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Also write a chart to this HTML file.")
@json_option
@home_option
def history(sku: str, plot: Path | None, as_json: bool, home: Home) -> None:
    """Print every dated rate of SKU with bars; with --plot also write a chart."""
    book = home.price_book()
    rates = book.history(sku)
    if plot is not None:
        _write_chart(plot, sku, rates)
    if as_json:
        print_json(rates_document(book, rates))
        return
    drawn = bars([point.usd_per_hour for point in rates])
    rows = [_dated(point, bar) for point, bar in zip(rates, drawn, strict=True)]
    print_table(["market ", "region ", "from", "$ an hour", "", "quality ", "source "], rows)
    if plot is not None:
        say(plot)


@prices.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@home_option
def check(files: tuple[Path, ...], home: Home) -> None:
    """Check the price book, or FILES (tables in .csv, your rates in .toml), against its rules; exit 2 on an error."""
    problems = []
    for path in files:
        try:
            book = _with(load_price_book(), path)
        except RequestError as error:
            problems.append(str(error))
            continue
        added = len(set(book.points) - set(load_price_book().points))
        currencies = f", {several(len(book.exchange_rates), 'exchange rate')}" if book.exchange_rates else ""
        say(f"{path}: {several(added, 'rate')} of its own{currencies}, nothing wrong", err=True)
    if problems:
        raise PriceBookError("\n".join(problems))
    if files:
        return
    book = home.price_book()
    days = [point.effective_from for point in book.points]
    providers = {point.provider for point in book.points}
    counts = f"{several(len(book.points), 'dated rate')} of {several(len(book.skus), 'SKU')}"
    sellers = f"{several(len(providers), 'seller')}, {min(days)} to {max(days)}"
    say(f"price book {book.version}: {counts} from {sellers}, nothing wrong", err=True)


@prices.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    type=click.Choice(list(CATALOGUES)),
    help="Read only this catalogue; repeatable.",
)
@click.option("--region", "regions", multiple=True, help="Read only this region; repeatable.")
@home_option
def update(sources: tuple[str, ...], regions: tuple[str, ...], home: Home) -> None:
    """Read live catalogues and append new rates to prices.csv in the home. Offline, nothing changes."""
    book, unreached = home.price_book(), list[str]()
    names = sources or tuple(CATALOGUES)
    for name in names:
        try:
            fetched = CATALOGUES[name].fetch(book, date.today(), regions)
        except (CatalogueError, RequestError) as error:
            unreached.append(f"{name}: {error}")
            continue
        home.make()
        done = update_price_table(home.fetched_prices, book, fetched.points)
        refused = (*fetched.refused, *done.refused)
        say(
            f"{name}: {several(len(done.appended), 'new rate')}, {done.unchanged} unchanged, {len(refused)} refused",
            err=True,
        )
        for reason in refused[:20]:
            say(f"  refused: {reason}", err=True)
        book = home.price_book()
    if len(unreached) == len(names):
        raise CatalogueError(f"nothing was changed, because no catalogue could be read ({'; '.join(unreached)})")
    for reason in unreached:
        say(f"not read: {reason}", err=True)


def _with(book: PriceBook, path: Path) -> PriceBook:
    if path.suffix == ".csv":
        return PriceBook(tuple(dict.fromkeys((*book.points, *read_price_table(path)))))
    if path.suffix == ".toml":
        return book.with_user_rates(path)
    raise RequestError(f"'{path}' is neither a price table (.csv) nor a file of your rates (.toml)")


def _write_chart(path: Path, sku: str, rates: Sequence[PricePoint]) -> None:
    history_figure(sku, rates).write_html(path, include_plotlyjs=True, config=PLOTLY_CONFIG)


def _offer(point: PricePoint) -> tuple[str, ...]:
    return (
        point.sku,
        point.market,
        point.region,
        f"{point.usd_per_hour:.10g}",
        f"{point.accelerator_count} × {point.accelerator}" if point.accelerator else "",
        _blank(point.vcpu),
        _blank(point.ram_gb),
        point.effective_from.isoformat(),
        point.quality,
    )


def _dated(point: PricePoint, bar: str) -> tuple[str, ...]:
    day = point.effective_from.isoformat()
    return point.market, point.region, day, f"{point.usd_per_hour:.10g}", bar, point.quality, point.source


def _machine(point: PricePoint) -> str:
    parts = [
        f"{point.vcpu:g} vCPU" if point.vcpu is not None else "vCPU unknown",
        f"{point.ram_gb:g} GiB" if point.ram_gb is not None else "RAM unknown",
        point.architecture,
    ]
    if point.accelerator:
        memory = f" with {point.accelerator_memory_gb:g} GiB each" if point.accelerator_memory_gb else ""
        parts.append(f"{point.accelerator_count} × {point.accelerator}{memory}")
    return ", ".join(filter(None, parts))


def _blank(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
