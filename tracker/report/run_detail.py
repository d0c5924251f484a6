"""Details of one checkpoint and its run: settings, cost parts, standing, the search's decisions, its MLflow run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tracker.databases.addresses import shown_url, without_user
from tracker.errors import RequestError, TrackerError
from tracker.records import CostPart, Role
from tracker.report.axes import y_words
from tracker.report.axis_points import AxisPoints, parse_key, point_key
from tracker.report.decisions import decision_sentences, decisions_document
from tracker.report.hovers import standings
from tracker.report.tables import missed_limits, searched_settings
from tracker.report.words import NOTHING, duration, figure, money, money_part, percent, quality, setting
from tracker.runner.study_folder import StudyFolder
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

MLFLOW_PORT = 5000


@dataclass(frozen=True, slots=True)
class MlflowPlace:
    """The MLflow page of a run: its ``address``, and the ``command`` that serves it, "" where a server does."""

    address: str
    command: str = ""


@dataclass(frozen=True, eq=False)
class RunDetail:
    """One checkpoint and its run, in plain texts.

    ``key`` and ``run`` as in targets.Answer. ``figures`` are names and figures in words. ``settings``: name, value
    (text) and searched, the searched ones first. ``parts``: part and usd of the run's price, and its words. ``curve``:
    epoch, quality, price_usd and wall_seconds of the run's checkpoints. ``standing`` says what dominates the
    checkpoint, "" where it is not on these axes.
    """

    key: str
    run: int
    title: str
    epoch: int
    figures: Mapping[str, str]
    settings: pd.DataFrame
    parts: pd.DataFrame
    curve: pd.DataFrame
    standing: str


def run_detail(found: AxisPoints, key: str) -> RunDetail:
    """Details of the checkpoint of a key (axis_points.point_key); of its run's last one where it names no epoch.

    Raises RequestError where the study has no such run or checkpoint: it was deleted, or the link is wrong.
    """
    table = found.table
    run_id, epoch = parse_key(key)
    rows = np.flatnonzero(table.runs["run_id"].to_numpy() == run_id)
    if not len(rows):
        raise RequestError(
            f"study '{table.study}' has no run '{run_id}': it was deleted, or the link is to another study"
        )
    run = int(rows[0])
    curve = table.checkpoints[table.checkpoints["run"] == run].sort_values("epoch", kind="stable")
    here = curve if epoch is None else curve[curve["epoch"] == epoch]
    if here.empty:
        there = f"it has {', '.join(map(str, curve['epoch'].head(20)))}" if len(curve) else "it has none"
        which = "checkpoint" if epoch is None else f"checkpoint after epoch {epoch}"
        raise RequestError(f"run '{table.runs['label'].at[run]}' has no {which}; {there}")
    row = here.iloc[-1]
    point = found.points[(found.points["run"] == run) & (found.points["epoch"] == row["epoch"])]
    point = point.assign(missed=missed_limits(point["at"].to_numpy(), table))
    standing = standings(point, found)[0] if len(point) else ""
    return RunDetail(
        key=point_key(run_id, int(row["epoch"])),
        run=run,
        title=_title(table, run, int(row["epoch"])),
        epoch=int(row["epoch"]),
        figures=_figures(table, run, row),
        settings=_settings(table, run),
        parts=cost_parts(table, run),
        curve=curve[["epoch", "quality", "price_usd", "wall_seconds"]].reset_index(drop=True),
        standing=standing,
    )


def cost_parts(table: StudyTable, run: int) -> pd.DataFrame:
    """The cost parts of a run, which sum to its price: part, usd, and words with the share of the price."""
    usd = [float(table.runs[f"{part}_usd"].to_numpy()[run]) for part in CostPart]
    whole = sum(usd)
    words = [f"{money_part(each, table.unit)} · {percent(each / whole if whole else 0.0)}" for each in usd]
    return pd.DataFrame({"part": [str(part) for part in CostPart], "usd": usd, "words": words})


def decisions_about(home: Home, table: StudyTable, run: int) -> list[str]:
    """Why the search started, paused, continued or stopped a run's trial, one line each; or why that is unknown."""
    if table.runs["role"].at[run] != Role.TRIAL:
        return [f"The search does not decide on a {table.runs['role'].at[run]}."]
    if not StudyFolder(home.study(table.study)).is_there:
        return ["The search's decisions are unknown: the study's folder is not in this home."]
    try:
        trial = int(table.runs["trial"].to_numpy()[run])
        return list(decision_sentences(decisions_document(home, table.study, trial), table.unit))
    except TrackerError as error:
        return [f"The search's decisions are unknown: {error}."]


def mlflow_place(tracking_uri: str, experiment: str, table: StudyTable, run: int) -> MlflowPlace:
    """The MLflow page of a run in an experiment (its id): on its server, or by `mlflow ui` on a local database."""
    path = f"#/experiments/{experiment}/runs/{table.runs['run_id'].iat[run]}"
    if tracking_uri.startswith(("http://", "https://")):
        return MlflowPlace(f"{without_user(tracking_uri).rstrip('/')}/{path}")
    command = shlex.join(["mlflow", "ui", "--backend-store-uri", shown_url(tracking_uri), "--port", str(MLFLOW_PORT)])
    return MlflowPlace(f"http://127.0.0.1:{MLFLOW_PORT}/{path}", command)


def _title(table: StudyTable, run: int, epoch: int) -> str:
    state = table.runs["state"].at[run]
    return f"{table.runs['label'].at[run]}, epoch {epoch} · {state}"


def _figures(table: StudyTable, run: int, row: pd.Series[float]) -> dict[str, str]:
    """The known figures of a checkpoint and its run, in words."""
    of_run = table.runs.loc[run].to_dict()
    figures = {
        table.quality.name: quality(row["quality"]),
        "price until here": money(row["price_usd"], table.unit),
        "wall time until here": duration(row["wall_seconds"]),
        "price of the whole run": money(of_run["price_usd"], table.unit),
        "attempts": str(of_run["attempts"]),
        "billed as": f"{of_run['sku']} ({of_run['market']})" if of_run["sku"] else NOTHING,
        "rate from": ", ".join(filter(None, [str(of_run["price_source"]), str(of_run["price_date"])])),
        "hardware": str(of_run["hardware"]),
    }
    if of_run["energy_kwh"] == of_run["energy_kwh"]:
        figures["energy"] = f"{figure(of_run['energy_kwh'] * 1000)} Wh, {of_run['energy_source']}"
    if of_run["co2_grams"] == of_run["co2_grams"]:
        figures["CO2"] = f"{figure(of_run['co2_grams'])} g"
    if of_run["busy"]:
        figures["warning"] = "measured on a busy machine: the price is too high"
    if of_run["reason"] or of_run["message"]:
        figures["why it ended"] = ": ".join(filter(None, [str(of_run["reason"]), str(of_run["message"])]))
    summary = {name: y_words(value) for name, value in table.summary_of(run).items() if name != table.quality.name}
    return {name: words for name, words in (figures | summary).items() if words not in ("", NOTHING)}


def _settings(table: StudyTable, run: int) -> pd.DataFrame:
    searched = searched_settings(table)
    settings = table.settings_of(run)
    names = sorted(settings, key=lambda name: name not in searched)
    return pd.DataFrame(
        {
            "setting": names,
            "value": [setting(settings[name]) for name in names],
            "searched": [name in searched for name in names],
        }
    )
