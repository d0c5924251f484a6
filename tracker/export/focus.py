"""A study's charges in the format of FinOps tools: FOCUS, versions 1.2 and 1.4, as csv.

Columns, types and null rules are those of the specification's Cost and Usage dataset (FinOps Open Cost and Usage
Specification, focus.finops.org/focus-specification). Every row is an estimate from measured usage and says so:
nobody sent an invoice for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tracker.export.cells import harmless_table
from tracker.export.formats import ReportFile
from tracker.export.tables import write_csv_as_it_is
from tracker.records import CostPart, Market
from tracker.report.charges import charges_table
from tracker.store.run_table import StudyTable

LATEST = "1.4"
ACCOUNT_ID, ACCOUNT_NAME = "cost-quality-tracker", "Estimates of the cost-quality tracker"
NOT_KNOWN = "not known"
"""Stands where the specification takes no null and it was not logged, as in runs of long ago."""
_PROVIDERS = {"aws": "AWS", "azure": "Microsoft Azure", "gcp": "Google Cloud"}
_PROVIDER_COLUMNS = {"1.2": ("ProviderName", "PublisherName"), "1.4": ("ServiceProviderName", "HostProviderName")}
_PRICING = {Market.ON_DEMAND: "Standard", Market.SPOT: "Dynamic"}
_COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
_BY_THE_HOUR = (CostPart.COMPUTE, CostPart.MAINTENANCE)
"""The parts that are billed by the machine's time; of the others a charge is one unit."""


def focus_table(table: StudyTable, charges: pd.DataFrame, version: str = LATEST) -> pa.Table:
    """Rows of FOCUS for charges of a study (report.charges), columns in alphabetical order, own columns after them.

    All columns are texts, numbers in decimal notation; amounts are in ``table.currency``. What a spreadsheet would take
    for a formula is harmless already (cells.harmless).
    """
    texts = harmless_table(
        pa.table({**_fixed(len(charges), table.currency.code), **_texts_of(table, charges, version)})
    )
    own = harmless_table(pa.table(_own_texts(table, charges)))
    usd = charges["usd"].to_numpy(dtype=np.float64)
    by_the_hour = charges["part"].isin(_BY_THE_HOUR).to_numpy()
    quantity = np.where(by_the_hour, charges["machine_hours"].to_numpy(dtype=np.float64), 1.0)
    columns = {
        **dict.fromkeys(_COSTS, _decimals(table.currency.of(usd))),
        "PricingQuantity": _decimals(quantity),
        "PricingUnit": pc.if_else(pa.array(by_the_hour), "Hours", "Units"),
        "Tags": _tags(table, charges),
        **_times(charges),
        **_columns(texts),
    }
    return pa.table({**dict(sorted(columns.items())), **_columns(own), "x_cost_usd": _decimals(usd)})


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _texts_of(table: StudyTable, charges: pd.DataFrame, version: str) -> dict[str, pa.Array]:
    """The texts that the specification has columns for."""
    sku, market, region = (_known(charges[name]) for name in ("sku", "market", "region"))
    provider = _mapped(charges["sku"], lambda text: _provider(str(text).partition("/")[0]))
    return {
        **dict.fromkeys(_PROVIDER_COLUMNS[version], provider),
        "ChargeDescription": _descriptions(table, charges),
        "InvoiceIssuerName": provider,
        "PricingCategory": _mapped(charges["market"], lambda text: _PRICING.get(text, "Other")),
        "RegionId": _nullable(charges["region"]),
        "RegionName": _nullable(charges["region"]),
        "ResourceId": _texts(charges["run_id"]),
        "ResourceName": _texts(charges["label"]),
        "SkuId": sku,
        "SkuMeter": _mapped(charges["part"], lambda text: str(text).capitalize()),
        "SkuPriceId": _joined(sku, "/", region, "/", market),
        "SubAccountId": _texts(charges["study"]),
        "SubAccountName": _texts(charges["study"]),
    }


def _own_texts(table: StudyTable, charges: pd.DataFrame) -> dict[str, pa.Array]:
    """What a charge is for in the tracker's own terms; ``x_estimate`` marks rows that nobody sent an invoice for."""
    run = charges["run"].to_numpy(dtype=np.int64)
    scenario = "" if table.scenario is None else table.scenario.label
    is_trial = pa.array(charges["trial"].to_numpy() >= 0)
    return {
        "x_attempt": _texts(charges["attempt"]),
        "x_basis": _texts(charges["basis"]),
        "x_cost_part": _texts(charges["part"]),
        "x_estimate": _same("true", len(charges)),
        "x_role": _texts(charges["role"]),
        "x_run_id": _texts(charges["run_id"]),
        "x_scenario": _same(scenario or None, len(charges)),
        "x_sku_market": _nullable(charges["market"]),
        "x_sku_price_date": _nullable(table.runs["price_date"].take(run)),
        "x_sku_source": _nullable(table.runs["price_source"].take(run)),
        "x_state": _nullable(charges["state"]),
        "x_study": _texts(charges["study"]),
        "x_trial": pc.if_else(is_trial, _texts(charges["trial"]), pa.scalar(None, pa.string())),
        "x_user": _nullable(charges["user"]),
    }


def _fixed(rows: int, currency: str) -> dict[str, pa.Array]:
    """Columns that say the same of every charge."""
    values: dict[str, str | None] = {
        "BillingAccountId": ACCOUNT_ID,
        "BillingAccountName": ACCOUNT_NAME,
        "BillingCurrency": currency,
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "ResourceType": "Training run",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model training",
        "ServiceSubcategory": "Machine Learning",
    }
    return {name: _same(text, rows) for name, text in values.items()}


def _times(charges: pd.DataFrame) -> dict[str, pa.Array]:
    """The periods, in whole seconds (UTC): a charge's end is exclusive and after its start."""
    month = charges["month"].to_numpy(dtype="datetime64[M]")
    since = np.floor(charges["started_at"].to_numpy(dtype=np.float64)).astype(np.int64)
    until = np.maximum(since + 1, np.ceil(charges["ended_at"].to_numpy(dtype=np.float64)).astype(np.int64))
    return {
        "BillingPeriodStart": _moments(month),
        "BillingPeriodEnd": _moments(month + 1),
        "ChargePeriodStart": _moments(since),
        "ChargePeriodEnd": _moments(until),
    }


def _moments(times: NDArray[Any]) -> pa.Array:
    texts = np.datetime_as_string(times.astype("datetime64[s]"), unit="s")
    return pa.array(np.char.add(texts, "Z"), pa.string())


def _descriptions(table: StudyTable, charges: pd.DataFrame) -> pa.Array:
    """What a charge is for, in a sentence that says that it is an estimate."""
    role, label = _texts(charges["role"]), _texts(charges["label"])
    what = pc.if_else(pc.equal(role, label), label, _joined(role, " ", label))
    attempt, sku = _texts(charges["attempt"]), _known(charges["sku"])
    prices = "at the rate of its time" if table.scenario is None else f"re-priced: {table.scenario.label}"
    start = _joined("Estimate, not an invoice: ", _texts(charges["part"]), " of ", what, ", attempt ", attempt)
    return _joined(start, f", study {table.study}, as ", sku, f"; {prices}")


def _tags(table: StudyTable, charges: pd.DataFrame) -> pa.Array:
    """The tags of each charge as a JSON object: study, user and trial where there are any, and the study's own."""
    codes, _ = pd.factorize(charges["run"])
    first = charges.drop_duplicates("run")
    objects = []
    for user, trial in zip(first["user"], first["trial"], strict=True):
        tags = {"study": table.study, "user": user or None, "trial": str(trial) if trial >= 0 else None}
        known = {name: text for name, text in tags.items() if text is not None}
        objects.append(json.dumps({**known, **table.tags}, ensure_ascii=False))
    return pa.array(objects, pa.string()).take(pa.array(codes.astype(np.int64)))


def _provider(name: str) -> str:
    return _PROVIDERS.get(name, name) or NOT_KNOWN


def _texts(values: pd.Series[Any]) -> pa.Array:
    found = pa.array(values, from_pandas=True)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return found.cast(pa.string())


def _nullable(values: pd.Series[Any]) -> pa.Array:
    """Texts, null for none: an empty text is not allowed to stand for that."""
    texts = _texts(values)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _known(values: pd.Series[Any]) -> pa.Array:
    return pc.fill_null(_nullable(values), NOT_KNOWN)


def _same(text: str | None, rows: int) -> pa.Array:
    return pa.array([text], pa.string()).take(pa.array(np.zeros(rows, np.int64)))


def _mapped(values: pd.Series[Any], change: Callable[[Any], str]) -> pa.Array:
    """Texts by what a function makes of each distinct one."""
    codes, distinct = pd.factorize(values)
    return pa.array([change(each) for each in distinct], pa.string()).take(pa.array(codes.astype(np.int64)))


def _joined(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _decimals(values: NDArray[np.float64]) -> pa.Array:
    """Numbers in full precision, without an exponent."""
    return pa.array([np.format_float_positional(value, trim="-") for value in values.tolist()], pa.string())


def _write(table: StudyTable, file: IO[bytes], version: str) -> None:
    write_csv_as_it_is(focus_table(table, charges_table(table), version), file)


def _files(name: str, version: str) -> tuple[ReportFile, ...]:
    help_ = f"charges in FOCUS {version}: an attempt's cost part in a month each, as estimates"
    return (ReportFile(name, help_, partial(_write, version=version)),)


FILES = _files("focus.csv", LATEST)
FILES_1_4 = _files("focus-1.4.csv", "1.4")
FILES_1_2 = _files("focus-1.2.csv", "1.2")
