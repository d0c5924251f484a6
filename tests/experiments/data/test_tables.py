from __future__ import annotations

import csv
import random

import pytest
import torch

from experiments.benchmarks.bare_run import bare_run, prepared_task
from experiments.data.array_data import load_array_card, load_examples
from experiments.data.prepared_tables import Table, prepare_table
from experiments.data.table_arrays import UNKNOWN, Columns, Statistics
from experiments.data.tables import prediction_rows
from experiments.workloads.tabular_classifier import TabularClassifier
from tracker.errors import DataError
from tracker.records import Direction, QualityMetric
from tracker.training.assignment import Place
from tracker.training.run import Run

CPU = torch.device("cpu")
SPLITS = ("train", "validation", "test")


def patients(count=200, seed=3):
    """Rows of two numbers and a category that tell a label, one with a gap now and then."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        age, ward = chance.uniform(20, 90), chance.choice(["north", "south", "west"])
        marker = "" if number % 7 == 0 else f"{chance.gauss(0, 1):.3f}"
        rows.append({"age": f"{age:.2f}", "marker": marker, "ward": ward, "label": "ill" if age > 60 else "well"})
    return rows


def write(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return {"source": str(path)}


def run_on(data, cache, **settings) -> Run:
    """A run on the CPU that a table is loaded by."""
    chosen, quality = (
        {"train_share": 1.0, "deduplicate": False, **settings},
        QualityMetric("balanced_accuracy", Direction.MAXIMIZE),
    )
    task = prepared_task(TabularClassifier(), chosen, data, cache, quality)
    return bare_run(task, Place(cache, cache / "artifacts"))


def labels(folder):
    return {split: load_examples(folder, split, CPU).labels.tolist() for split in SPLITS}


def test_the_breast_cancer_table_needs_no_file_and_is_split_by_its_rows(tmp_path):
    card = TabularClassifier().prepare({}, {}, tmp_path, print)
    assert sum(card.rows.values()) == 569 and card.classes == 2
    assert card.rows["train"] / 569 == pytest.approx(0.70, abs=0.06)
    assert card == TabularClassifier().prepare({}, {}, tmp_path / "another", print)


def test_numbers_and_categories_are_distinguished_by_their_values(tmp_path):
    folder = prepare_table(write(tmp_path / "patients.csv", patients()), tmp_path)
    card = load_array_card(folder)
    assert card.classes == ("ill", "well")
    assert Columns.of(card.extra) == Columns(("age", "marker"), {"ward": ("north", "south", "west")})
    train = load_examples(folder, "train", CPU)
    assert train.inputs.shape == (card.rows["train"], 3) and train.inputs.dtype == torch.float64
    assert train.inputs[:, 1].isnan().any() and not train.inputs[:, 0].isnan().any()
    assert set(train.inputs[:, 2].tolist()) == {1.0, 2.0, 3.0}


def test_columns_of_codes_can_be_named_as_categories(tmp_path):
    rows = [{**row, "code": str(number % 3)} for number, row in enumerate(patients())]
    data = {**write(tmp_path / "coded.csv", rows), "categorical_columns": ["code"]}
    shown = Columns.of(load_array_card(prepare_table(data, tmp_path)).extra)
    assert shown.categories["code"] == ("0", "1", "2") and "code" not in shown.numbers


def test_a_text_among_numbers_makes_the_column_categories_and_the_description_says_so(tmp_path):
    rows = patients()
    for row in rows:
        row["marker"] = row["marker"][:3]
    rows[4]["marker"] = "high"
    card = TabularClassifier().prepare(write(tmp_path / "patients.csv", rows), {}, tmp_path, print)
    assert "'marker' is read as categories, for it is 'high' in row 5" in card.description


def test_equal_rows_are_in_one_split_and_the_order_of_the_file_does_not_matter(tmp_path):
    rows = patients()
    one = prepare_table(write(tmp_path / "one.csv", rows), tmp_path)
    shuffled = random.Random(1).sample(rows, len(rows))
    other = prepare_table(write(tmp_path / "other.csv", shuffled), tmp_path)
    twice = prepare_table(write(tmp_path / "twice.csv", rows + rows), tmp_path)
    for split in SPLITS:
        inputs = [load_examples(folder, split, CPU).inputs for folder in (one, other, twice)]
        torch.testing.assert_close(inputs[1], inputs[0], equal_nan=True)
        assert len(inputs[2]) == 2 * len(inputs[0])


def test_a_split_column_is_followed_and_is_no_feature(tmp_path):
    rows = [{**row, "part": SPLITS[number % 3]} for number, row in enumerate(patients(90))]
    folder = prepare_table({**write(tmp_path / "parts.csv", rows), "split_column": "part"}, tmp_path)
    card = load_array_card(folder)
    assert card.rows == dict.fromkeys(SPLITS, 30)
    assert "part" not in {*card.extra["numbers"], *card.extra["categories"]}


def test_a_slice_column_is_a_feature_only_where_that_is_said(tmp_path):
    data = {**write(tmp_path / "patients.csv", patients()), "slice_column": "ward"}
    folder = prepare_table(data, tmp_path)
    card, train = load_array_card(folder), load_examples(folder, "train", CPU)
    assert card.extra["categories"] == {} and card.extra["slices"] == ["north", "south", "west"]
    assert set(train.slices.tolist()) == {0, 1, 2}
    both = prepare_table({**data, "slice_is_feature": True}, tmp_path)
    assert "ward" in load_array_card(both).extra["categories"]
    torch.testing.assert_close(
        load_examples(both, "train", CPU).inputs[:, 2].long() - 1, load_examples(both, "train", CPU).slices
    )


def test_the_fingerprint_follows_content_and_columns_but_not_the_measure(tmp_path):
    data = write(tmp_path / "patients.csv", patients())
    first = prepare_table(data, tmp_path).name
    assert prepare_table({**data, "precision_floor": 0.5, "positive": "ill"}, tmp_path).name == first
    assert prepare_table({**data, "drop_columns": ["ward"]}, tmp_path).name != first
    write(tmp_path / "patients.csv", patients(201))
    assert prepare_table(data, tmp_path).name != first


def parted(rows, **changed):
    """Rows with a split each; ``changed`` are the values of those that are not for training."""
    return [
        {**row, **({} if number % 3 == 0 else changed), "part": SPLITS[number % 3]} for number, row in enumerate(rows)
    ]


def test_what_is_learnt_of_columns_is_learnt_from_the_training_split_alone(tmp_path):
    tables = []
    for name, changed in (("plain", {}), ("changed", {"age": "1000", "marker": "-50", "ward": "east"})):
        rows = parted(patients(), **changed)
        data = {**write(tmp_path / f"{name}.csv", rows), "split_column": "part"}
        tables.append(Table.of(run_on(data, tmp_path)))
    assert tables[0].statistics == tables[1].statistics
    assert tables[0].columns == tables[1].columns
    assert set(tables[1].splits["test"].inputs[:, 2].tolist()) == {UNKNOWN}, "a category that training has not"
    ages = tables[0].splits["train"].inputs[:, 0]
    assert tables[0].statistics.means[0] == pytest.approx(ages.mean().item())


def test_numbers_are_standardised_and_gaps_are_filled_with_the_median_and_reported():
    nan = float("nan")
    columns = Columns(("a", "b", "c"), {"d": ("x", "y")})
    train = torch.tensor([[1.0, nan, 5.0, 1.0], [2.0, 10.0, 5.0, 1.0], [6.0, 30.0, 5.0, 1.0]], dtype=torch.float64)
    statistics = Statistics.of(train, columns)
    assert statistics.means == (3.0, 20.0, 5.0) and statistics.medians == (2.0, 10.0, 5.0)
    assert statistics.incomplete == (1,) and statistics.unseen == (2,)
    read = statistics.applied(train)
    assert read.shape == (3, 5) and read.dtype == torch.float32
    torch.testing.assert_close(read[:, 0].mean(), torch.tensor(0.0))
    torch.testing.assert_close(read[:, 0].square().mean(), torch.tensor(1.0))
    assert read[0, 1] == (10.0 - 20.0) / 10.0, "the median in place of the gap"
    assert read[:, 2].tolist() == [0.0, 0.0, 0.0], "a number that never changes"
    assert read[:, 3].tolist() == [1.0, 0.0, 0.0], "whether b was missing"
    other = statistics.applied(torch.tensor([[nan, nan, nan, 2.0]], dtype=torch.float64))
    assert other[0, 4] == UNKNOWN, "a category that these training rows do not have"
    assert other.isfinite().all()


def test_a_share_of_the_training_rows_is_the_first_ones_and_its_statistics_are_its_own(tmp_path):
    data = write(tmp_path / "patients.csv", patients())
    whole, half = (Table.of(run_on(data, tmp_path, train_share=share)) for share in (1.0, 0.5))
    rows = len(half.splits["train"])
    assert rows == round(len(whole.splits["train"]) / 2)
    torch.testing.assert_close(half.splits["train"].inputs, whole.splits["train"].inputs[:rows], equal_nan=True)
    assert half.statistics != whole.statistics
    assert len(half.splits["test"]) == len(whole.splits["test"])


def test_training_rows_that_stand_twice_or_in_another_split_can_be_left_out(tmp_path):
    rows = parted(patients(90))
    copies = [{**row, "part": "train"} for row in rows if row["part"] != "train"][:20] + rows[:30]
    data = {**write(tmp_path / "copies.csv", rows + copies), "split_column": "part"}
    kept, cleaned = (Table.of(run_on(data, tmp_path, deduplicate=each)) for each in (False, True))
    assert len(kept.splits["train"]) == 30 + 20 + 10
    assert len(cleaned.splits["train"]) == 30
    torch.testing.assert_close(cleaned.splits["test"].inputs, kept.splits["test"].inputs, equal_nan=True)


def test_a_share_that_leaves_one_class_is_reported(tmp_path):
    data = write(tmp_path / "patients.csv", patients())
    with pytest.raises(DataError, match=r"1 of 1\d\d training rows are left, of fewer than two classes"):
        Table.of(run_on(data, tmp_path, train_share=0.001))


def test_rows_from_outside_are_read_as_those_of_the_file_were(tmp_path):
    data = write(tmp_path / "patients.csv", patients())
    folder = prepare_table(data, tmp_path)
    columns = Columns.of(load_array_card(folder).extra)
    rows = prediction_rows(data, tmp_path, columns, 12)
    assert len(rows) == 12 and set(rows[0]) == {"age", "marker", "ward"}
    test = load_examples(folder, "test", CPU).inputs
    torch.testing.assert_close(columns.encoded(rows), test[:12], equal_nan=True)


def test_rows_from_outside_may_have_gaps_new_categories_texts_for_numbers_and_further_names():
    columns = Columns(("age",), {"ward": ("1", "2"), "sex": ("", "f")})
    rows = [{"age": "70", "ward": 2.0, "sex": "f", "id": 9}, {"ward": "9"}, {"age": float("nan"), "sex": None}]
    expected = torch.tensor([[70.0, 2, 4], [float("nan"), 0, 3], [float("nan"), 0, 3]], dtype=torch.float64)
    torch.testing.assert_close(columns.encoded(rows), expected, equal_nan=True)
    assert columns.encoded([]).shape[0] == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": "old"}, "column 'age' is 'old' in row 1; allowed: a finite number, or None"),
        ({"age": float("inf")}, "column 'age' is inf in row 1"),
        ({"Age": 3}, "row 1 is .*; allowed: values by column name, such as age"),
        ([3], "allowed: values by column name"),
    ],
)
def test_rows_that_cannot_be_read_are_reported_with_column_and_row(row, message):
    with pytest.raises(DataError, match=message):
        Columns(("age",), {}).encoded([row])


def changed(number, **values):
    rows = patients(60)
    rows[number].update(values)
    return rows


def every(**values):
    return [{**row, **values} for row in patients(60)]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (patients(60), {"label_column": "lable"}, "no column 'lable'; did you mean 'label'"),
        (patients(60), {"drop_columns": ["wards"]}, "no column 'wards'; did you mean 'ward'"),
        (patients(60), {"slice_column": "sex"}, "no column 'sex'"),
        (patients(60), {"split_column": "ward"}, "column 'ward' is '.*' in row 1; .*allowed: test, train, validation"),
        (patients(60), {"drop_columns": ["age", "marker", "ward"]}, "no column is left to predict 'label' from"),
        (patients(60), {"drop_columns": ["ward"], "slice_column": "ward"}, "column 'ward' has two roles"),
        (patients(60), {"drop_columns": [3]}, r"drop_columns is \[3\]; allowed: a list of column names"),
        (patients(60), {"slice_is_feature": True}, "slice_is_feature is true without a slice_column"),
        (patients(60), {"slice_column": "ward", "slice_is_feature": "yes"}, "'yes'; allowed: true or false"),
        (patients(60), {"positive": "sick"}, "positive is 'sick', which is no class; .*allowed: ill, well"),
        (patients(60), {"precision_floor": 90}, "precision_floor is 90; allowed: a number above 0, at most 1"),
        (changed(7, label=" "), {}, "label 'label' is missing in row 8; every row needs one"),
        (every(label="well"), {}, "every label is 'well'; two classes are needed"),
        (every(marker=""), {}, "column 'marker' is empty in every row; leave it out with drop_columns"),
        (changed(9, age="1e999"), {}, "column 'age' is '1e999' in row 10; allowed: finite"),
        ([{**row, "id": f"patient {n}"} for n, row in enumerate(patients(2000))], {}, "'id' has 1,... categories"),
        ([{**row, "label": str(n)} for n, row in enumerate(patients(1500))], {}, "has 1,500 values, such as '0'"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_reported_in_a_line(tmp_path, rows, options, message):
    data = {**write(tmp_path / "table.csv", rows), **options}
    with pytest.raises(DataError, match=message) as problem:
        TabularClassifier().prepare(data, {}, tmp_path, print)
    assert len(str(problem.value).splitlines()) == 1


def test_too_many_categories_for_one_text_among_numbers_are_reported_with_its_row(tmp_path):
    rows = [{**row, "income": str(number)} for number, row in enumerate(patients(2000))]
    rows[11]["income"] = "much"
    with pytest.raises(
        DataError, match=r"'income' has 1,\d+ categories, .*; it would be numbers but for 'much' in row 12"
    ):
        prepare_table(write(tmp_path / "table.csv", rows), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as csv: it is empty"),
        ("age,label\n", "no rows; two classes are needed"),
        ("age,label\n1,a\n2,b,c\n", r"row 2 \(line 3\) has 3 fields where the header has 2: '2,b,c'"),
        ("age,label\n1,a,x\n2,b,y\n", r"row 1 \(line 2\) has 3 fields where the header has 2: '1,a,x'"),
        ("age,age,label\n1,2,a\n", "two columns are called 'age'"),
        ("age,label\n1,\xff\n", r"row 1, column 'label', is not utf-8: '\\xff'; .* encoding = .cp1252"),
    ],
)
def test_files_that_are_no_tables_are_reported_in_a_line(tmp_path, text, message):
    (tmp_path / "table.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message) as problem:
        prepare_table({"source": str(tmp_path / "table.csv")}, tmp_path)
    assert len(str(problem.value).splitlines()) == 1


def test_a_source_that_is_not_there_is_reported_with_what_is_allowed(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv' was not found \(looked for /"):
        prepare_table({"source": "nowhere.csv"}, tmp_path)
    with pytest.raises(
        DataError, match=r"neither 'breast_cancer' nor 'datasets:NAME' nor a file; allowed endings: \.csv"
    ):
        prepare_table({"source": "breast_cancre"}, tmp_path)


def test_a_split_without_the_positive_class_is_reported_before_anything_is_trained(tmp_path):
    rows = parted(patients(90))
    for row in rows:
        row["label"] = "well" if row["part"] == "test" else row["label"]
    data = {**write(tmp_path / "parts.csv", rows), "split_column": "part", "positive": "ill"}
    with pytest.raises(DataError, match="the test split has no row of class 'ill', whose recall counts"):
        TabularClassifier().prepare(data, {}, tmp_path, print)
    with pytest.raises(DataError, match="the rows of the test split are all of one class"):
        TabularClassifier().prepare({**data, "positive": "well"}, {}, tmp_path, print)


def test_the_rarer_of_two_classes_is_the_positive_one_where_none_is_named(tmp_path):
    rows = patients(200)
    data = write(tmp_path / "patients.csv", rows)
    rarer = min(("ill", "well"), key=[row["label"] for row in rows].count)
    table = Table.of(run_on(data, tmp_path))
    assert table.card.classes[table.ranking.positive] == rarer


def test_a_data_set_of_datasets_is_a_table_too(tmp_path):
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "train.csv", patients(200))
    write(tmp_path / "set" / "test.csv", patients(40, seed=9))
    card = load_array_card(prepare_table({"source": f"datasets:{tmp_path / 'set'}"}, tmp_path))
    assert card.rows["test"] == 40 and card.rows["train"] + card.rows["validation"] == 200
    assert Columns.of(card.extra) == Columns(("age", "marker"), {"ward": ("north", "south", "west")})
    with pytest.raises(DataError, match="split_column is for a file"):
        prepare_table({"source": f"datasets:{tmp_path / 'set'}", "split_column": "ward"}, tmp_path)
