"""The app: the list of its pages, and what all of them share: the choice of the study, the scenario, the errors.

It reads the home that TRACKER_HOME names (./results without) and the MLflow store that
MLFLOW_TRACKING_URI names (the home's own without).
"""

from __future__ import annotations

from dashboard.frame import Entry
from dashboard.pages import compare, frontier, knobs, launch, prices, reports, study

PAGES = (
    Entry("Frontier", ":material/show_chart:", frontier.show),
    Entry("Study", ":material/monitoring:", study.show),
    Entry("Compare", ":material/compare_arrows:", compare.show),
    Entry("Knobs", ":material/tune:", knobs.show),
    Entry("Prices", ":material/sell:", prices.show),
    Entry("Reports", ":material/description:", reports.show),
    Entry("Launch", ":material/rocket_launch:", launch.show, of_study=False),
)
