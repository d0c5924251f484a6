"""Energy used by a study's runs, by source of the figures: different sources are never summed."""

from __future__ import annotations

import pandas as pd

from tracker.records import EnergySource
from tracker.report.words import figure, several
from tracker.store.run_table import StudyTable


def energy_by_source(table: StudyTable) -> pd.DataFrame:
    """One row for each source of energy figures that runs have, measured first.

    Columns: energy_source, runs, energy_kwh and co2_grams (sums over its runs; NaN where they are unknown, co2_grams
    also where the country of one of its runs is).
    """
    sources = [source for source in EnergySource if (table.runs["energy_source"] == source).any()]
    groups = [table.runs[table.runs["energy_source"] == source] for source in sources]
    return pd.DataFrame(
        {
            "energy_source": [str(source) for source in sources],
            "runs": [len(group) for group in groups],
            "energy_kwh": [group["energy_kwh"].sum(skipna=False) for group in groups],
            "co2_grams": [group["co2_grams"].sum(skipna=False) for group in groups],
        }
    )


def energy_sentences(table: StudyTable) -> list[str]:
    """``energy_by_source`` as sentences, one per source; empty where no run has a figure."""
    rows = energy_by_source(table).to_dict("records")
    if all(row["energy_source"] == EnergySource.UNAVAILABLE for row in rows):
        return []
    sentences = []
    for row in rows:
        runs = several(row["runs"], "run")
        if row["energy_source"] == EnergySource.UNAVAILABLE:
            sentences.append(f"energy unavailable: {runs}")
            continue
        carbon = "" if pd.isna(row["co2_grams"]) else f", {figure(row['co2_grams'])} g CO2"
        sentences.append(f"energy {row['energy_source']}: {figure(row['energy_kwh'] * 1000)} Wh{carbon} by {runs}")
    return sentences
