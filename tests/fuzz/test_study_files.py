"""Study files that are garbled or say what makes no sense: a study, or all that is wrong with it."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.inputs import FUZZ, tried
from tests.fuzz.mutations import ODD_TEXTS, ODD_VALUES, as_json, changed_text, changed_value
from tests.support.digits import Digits
from tracker.errors import TrackerError
from tracker.records import Hardware
from tracker.runner.searchers import MEMORY_FILE, from_rows, read_memory
from tracker.runner.study_folder import DESCRIPTION, EVIDENCE, StudyFolder
from tracker.search.trust import Trust
from tracker.store.home import Home
from tracker.store.names import logged_name
from tracker.study.check import check_study
from tracker.study.document import StudyDocument, parse_assignments
from tracker.study.space import search_space
from tracker.study.spec import StudySpec, WorkloadDescription
from tracker.study.tags import parse_tags, tag_problems
from tracker.study.toml_text import to_toml

HERE = Path(__file__).parents[1]
DESCRIBED = WorkloadDescription(
    Digits.knobs, Digits.metrics, Digits.data_options, tuple(Digits.baselines), serves=False
)
MACHINE = Hardware("Linux", "a CPU", "x86_64", 4, 2**34)
CONTENT = {
    "name": "digits",
    "workload": "tests.support.digits:Digits",
    "seed": 3,
    "strategy": "optuna",
    "quality": {"metric": "accuracy", "direction": "maximize", "last_step": "epochs"},
    "limits": {"validation_loss": {"max": 2.0}, "peak_memory_bytes": {"max": 1e9}},
    "budget": {"trials": 4, "usd": 0.5, "wall_seconds": 60, "trial_seconds": 10},
    "pricing": {
        "market": "spot",
        "region": "us-east-1",
        "sku_cpu": "aws/m7i.xlarge",
        "country": "DEU",
        "prices": "p.toml",
    },
    "costs": {"increment_seconds": 60, "idle_billed": True},
    "search": {
        "objectives": ["price_usd", {"metric": "validation_loss", "direction": "minimize"}],
        "sampler": "TPESampler",
        "options": {"n_startup_trials": 3},
        "reference": {"price_usd": 0.1},
        "predictions": 1000,
        "disk_limit_gb": 1.5,
    },
    "settings": {"epochs": 3, "threads": 1, "precision": "fp32", "accident": "none"},
    "space": {"width": [4, 16], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "data": {"broken": False},
    "tags": {"team": "search"},
    "smoke": {"width": 4, "trials": 1, "data": {"broken": False}},
}
TEXTS = [to_toml(CONTENT), *(path.read_text() for path in sorted((HERE.parent / "experiments/studies").glob("*.toml")))]
SAVED = next((HERE / "recorded").glob("*/studies/recorded"))
NAMES = st.text(max_size=90) | ODD_TEXTS | st.lists(ODD_TEXTS, max_size=4).map("".join)


def study_or_problem(document):
    """What becomes of a document on the way to a study; None where it is refused."""
    try:
        spec = check_study(document, DESCRIBED)
        space = search_space(spec, MACHINE)
    except TrackerError as error:
        assert str(error)
        return None
    assert isinstance(spec, StudySpec)
    assert space.size > 0
    assert all(value is None or 0 < value < math.inf for value in (spec.budget.usd, spec.budget.wall_seconds))
    return spec


@FUZZ
@given(changed_text(TEXTS))
def test_study_files_with_garbled_text(text):
    tried["study files with garbled text"] += 1
    try:
        document = StudyDocument.parse("study.toml", text).anchored(HERE)
        study_or_problem(document)
        study_or_problem(document.smoke())
    except TrackerError as error:
        assert str(error)


@FUZZ
@given(changed_value(CONTENT))
def test_study_files_with_wrong_values(content):
    tried["study files with wrong values"] += 1
    document = StudyDocument("study.toml", content).anchored(HERE)
    study_or_problem(document)
    study_or_problem(document.override({"width": 4}, budget_usd=1.0, tags={"a": "b"}))
    try:
        study_or_problem(document.smoke())
    except TrackerError as error:
        assert str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return StudyFolder(tmp_path_factory.mktemp("study"))


def read_back(folder):
    """Everything that is read of a study's folder before it is resumed."""
    for read in (folder.document, folder.evidence, lambda: read_memory(folder.path)):
        try:
            found = read()
        except TrackerError as error:
            assert str(folder.path) in str(error)
            continue
        if isinstance(found, StudyDocument):
            study_or_problem(found)
        elif isinstance(found, list):
            for each in from_rows(found):
                assert all(math.isfinite(value) for _, values in each.checkpoints for value in values.values())
        else:
            trust = Trust()
            trust.recall(found.get("trust", {}))
            assert all(0 <= trust.of(rung) <= 2 for rung in range(4))
            assert all(math.isfinite(value) for value in found.get("reference", {}).values())
            set(found.get("deep", ()))


@FUZZ
@given(st.sampled_from([DESCRIPTION, EVIDENCE, MEMORY_FILE]), st.data())
def test_saved_files_with_wrong_values(folder, name, data):
    tried["saved files with wrong values"] += 1
    saved = json.loads((SAVED / name).read_text())
    (folder.path / name).write_text(as_json(data.draw(changed_value(saved) | ODD_VALUES)))
    read_back(folder)


@FUZZ
@given(st.sampled_from([DESCRIPTION, EVIDENCE, MEMORY_FILE]), st.data())
def test_saved_files_with_garbled_text(folder, name, data):
    tried["saved files with garbled text"] += 1
    text = data.draw(changed_text([(SAVED / name).read_text()]))
    (folder.path / name).write_bytes(text.encode(errors="surrogatepass"))
    read_back(folder)


@FUZZ
@given(NAMES, NAMES)
def test_names(one, other):
    """A name that a study may have, in either spelling of its accents, leads into a folder of its own in the home."""
    tried["names"] += 1
    home = Home(Path("/home of all"))
    for name in (one, other):
        spec = study_or_problem(StudyDocument("study.toml", {**CONTENT, "name": name}))
        if spec is None:
            continue
        assert home.study(name).parent == home.studies
        assert home.study(name).name not in ("", ".", "..")
        if unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other):
            assert home.study(one) != home.study(other)
    assert (logged_name(one) == logged_name(other)) == (one == other) or not one or not other


@FUZZ
@given(st.lists(NAMES, max_size=3), st.dictionaries(NAMES, ODD_VALUES, max_size=3))
def test_tags_and_assignments(texts, tags):
    tried["tags and assignments"] += 1
    for parse in (parse_tags, parse_assignments):
        try:
            parse(texts)
        except TrackerError as error:
            assert str(error)
    if not tag_problems(tags):
        assert study_or_problem(StudyDocument("study.toml", {**CONTENT, "tags": tags})) is not None
