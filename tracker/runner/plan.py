"""Everything that is decided before a study spends its first dollar."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from tracker.engine.forkserver import Forkserver
from tracker.errors import PriceBookError, StudyFileError
from tracker.pricing.cost import check_billable
from tracker.pricing.energy import grams_per_kwh
from tracker.pricing.price_book import PriceBook
from tracker.pricing.price_point import PricePoint
from tracker.records import Hardware
from tracker.store.home import Home
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.study.space import Offer, SearchSpace, search_space
from tracker.study.spec import StudySpec
from tracker.study.toml_file import TomlProblems
from tracker.training.describe import Surroundings, describe


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A checked study on this machine: what is searched, and what each device is billed as."""

    document: StudyDocument
    spec: StudySpec
    hardware: Hardware
    space: SearchSpace
    price_book: PriceBook
    price_points: Mapping[str, PricePoint]
    cpu_point: PricePoint
    """The rate of CPU-only work, such as preparing the data and the baselines."""


def make_plan(document: StudyDocument, forkserver: Forkserver, home: Home) -> StudyPlan:
    """Check a study against its workload, this machine and the price book.

    Raises StudyFileError (every problem of the file), HardwareError, PriceBookError; changes nothing.
    """
    surroundings = look_around(document, forkserver)
    return plan_on(document, check_study(document, surroundings.workload), surroundings, home)


def plan_on(
    document: StudyDocument, spec: StudySpec, surroundings: Surroundings, home: Home, offers: Collection[Offer] = ()
) -> StudyPlan:
    """Check a study against a machine, or a cluster's ``offers``, and the price book. Raises as ``make_plan`` does."""
    space = search_space(spec, surroundings.hardware, surroundings.compile_problem, offers)
    book = home.price_book(spec.pricing.prices)
    _check_pricing(document, spec, book)
    points = {device: _point(book, spec, surroundings.hardware, device) for device in space.devices}
    cpu_point = points.get("cpu") or _point(book, spec, surroundings.hardware, "cpu")
    return StudyPlan(document, spec, surroundings.hardware, space, book, points, cpu_point)


def on_machine(plan: StudyPlan, hardware: Hardware) -> StudyPlan:
    """The plan for work on the CPU of another machine. Raises PriceBookError where that has no rate."""
    point = _point(plan.price_book, plan.spec, hardware, "cpu")
    return replace(plan, hardware=hardware, price_points={}, cpu_point=point)


def _check_pricing(document: StudyDocument, spec: StudySpec, book: PriceBook) -> None:
    """Check [pricing] against the price book. Raises StudyFileError with every problem."""
    problems, pricing = TomlProblems(document.source, document.text), spec.pricing
    checks: list[tuple[str, Callable[[], object]]] = [
        (f"sku_{device}", partial(book.point, sku, pricing.market, region=pricing.region))
        for device, sku in pricing.sku.items()
        if sku != "auto"
    ]
    if pricing.country:
        checks.append(("country", partial(grams_per_kwh, pricing.country)))
    for key, check in checks:
        try:
            check()
        except PriceBookError as error:
            problems.add(f"pricing.{key}", str(error))
    if problems:
        raise StudyFileError(document.source, problems.found)


def look_around(document: StudyDocument, forkserver: Forkserver) -> Surroundings:
    """This machine and the study's workload, found by a child. Raises StudyFileError where the file names none."""
    workload = document.workload
    if workload is None:
        raise StudyFileError(document.source, [": ".join(document.workload_problem or ())])
    return forkserver.call(describe, workload, try_compile=_may_compile(document))


def _may_compile(document: StudyDocument) -> bool:
    """Whether any trial could use torch.compile: trying it takes seconds, so it is tried only then."""
    tables = [document.content.get(name) for name in ("settings", "space")]
    values = [table.get("compile") for table in tables if isinstance(table, dict)]
    return any(value is True or (isinstance(value, list) and True in value) for value in values)


def _point(book: PriceBook, spec: StudySpec, hardware: Hardware, device: str) -> PricePoint:
    sku = spec.pricing.sku[device]
    if sku == "auto":
        return book.cheapest_for(hardware, device, spec.pricing.market, spec.pricing.region)
    point = book.point(sku, spec.pricing.market, region=spec.pricing.region)
    check_billable(point, accelerators=int(device == "cuda"))
    return point
