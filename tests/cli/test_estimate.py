"""tracker estimate, and what tracker run says before it starts, on real small studies."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.command import tracker
from tracker import estimate_study, open_study, run_study

DIGITS = """
name = "digits"
workload = "tests.support.digits:Digits"
strategy = "optuna"
[quality]
metric = "accuracy"
[budget]
trials = 6
[pricing]
sku_cpu = "aws/m7i.xlarge"
[settings]
threads = 1
precision = "fp32"
[space]
width = [4, 16, 64]
epochs = {{ low = 1, high = 4 }}
{more}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "digits.toml"
    path.write_text(DIGITS.format(more=""))
    return path


@pytest.fixture(scope="module")
def home(new_home, file):
    home = new_home()
    run_study(file, home=home, name="earlier")
    return home


def estimated(*arguments, home):
    done = tracker("estimate", *arguments, "--json", home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_earlier_studies_say_what_a_study_will_cost_and_on_what_that_rests(home, file):
    said = estimated(file, "--budget-usd", "5", home=home)
    assert said["at_most"] == {"usd": 5.0, "because": said["at_most"]["because"]}
    assert said["at_most"]["because"].startswith("budget.usd")
    likely = said["likely_usd"]
    assert 0 < likely["low"] < likely["likely"] < likely["high"] < 5
    spent = open_study("earlier", home=home).spend_usd
    assert spent / 5 < likely["likely"] < 5 * spent  # on a machine that may be busy
    assert said["trials"] == {"low": 6.0, "likely": 6.0, "high": 6.0}
    assert said["rests_on"]["sentence"] == "from 6 runs of study 'earlier' with this training code"
    assert [each["name"] for each in said["trainings"]] == ["cheapest", "middle", "dearest"]
    assert said["before_trials"]["usd"] > 0  # its data and its baseline


def test_the_estimate_reads_well_and_figures_are_on_standard_output_alone(home, file):
    done = tracker("estimate", file, home=home)
    assert done.returncode == 0, done.stderr
    heads = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert heads[:5] == ["at", "likely", "buys", "before", "one"]
    assert "6 whole trainings" in done.stdout and "at once" in done.stdout
    assert "in brackets: what 90% of such studies lie between" in done.stderr


def test_python_gets_the_same_and_options_change_it(home, file):
    two, all_twelve = (estimate_study(file, home=home, trials=trials) for trials in (2, 200))
    assert all_twelve.likely.outlay.spend_usd.likely > two.likely.outlay.spend_usd.likely
    assert all_twelve.document["trials"]["likely"] == 12  # the space has no more
    assert estimated(file, "--trials", "200", home=home)["likely_usd"] == all_twelve.document["likely_usd"]
    fixed = estimate_study(file, home=home, trials=200, settings={"epochs": 4})
    assert fixed.document["trials"]["likely"] == 3  # one for each width


def test_other_machines_and_markets_are_priced_beside(home, file):
    said = estimated(file, "--on", "gcp/e2-standard-4", "--on", "H100", "--market", "on_demand", home=home)
    assert {each["on"]: each["market"] for each in said["on"]} == {
        "gcp/e2-standard-4": "on_demand",
        "H100": "on_demand",
    }
    cpu = next(each for each in said["on"] if each["on"] == "gcp/e2-standard-4")
    assert cpu["rests_on"] == "seconds as on this machine" and cpu["likely_usd"]["likely"] > 0
    gpu = next(each for each in said["on"] if each["on"] == "H100")
    assert gpu["problem"] == "its FLOPs are not known: from a processor nothing else tells how long it takes"
    both = estimated(file, "--on", "gcp/e2-standard-4", home=home)["on"]
    assert {each["market"] for each in both} >= {"on_demand", "spot"}
    assert both[0]["usd_per_hour"] < both[-1]["usd_per_hour"]


def test_a_probe_is_trained_and_counted_and_then_known(new_home, file):
    home = new_home()
    said = estimated(file, "--probe", home=home)
    assert said["rests_on"]["kind"] == "probe"
    assert said["rests_on"]["sentence"] == "from 2 probe trials (study 'digits-probe')"
    assert open_study("digits-probe", home=home).spend_usd > 0
    later = estimated(file, home=home)
    assert later["rests_on"]["sentence"] == "from 2 runs of study 'digits-probe' with this training code"
    assert later["likely_usd"] == said["likely_usd"]


def test_without_a_past_only_the_bound_is_said(new_home, file):
    done = tracker("estimate", file, "--budget-usd", "2", home=new_home())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "at most  $2.00 (budget.usd)",
        "likely   not known: no study with the training code tests.support.digits:Digits has run here",
    ]


def test_a_study_with_other_data_is_nothing_to_learn_from(home, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(DIGITS.format(more="[data]\nbroken = false"))
    done = tracker("estimate", path, "--budget-usd", "1", home=home)
    assert "1 past study of tests.support.digits:Digits had other [data]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{file}",), "nothing is known of what it will cost: no study with the training code"),
        (("{file}", "--budget-usd", "1", "--on", "H100"), "nothing is known of its price on other machines"),
        (
            ("{file}", "--on", "aws/m7i.xlrge"),
            "'aws/m7i.xlrge' is neither an accelerator nor a SKU; did you mean 'aws/m7i.xlarge'?",
        ),
        (("nowhere.toml",), "study file 'nowhere.toml'"),
        (("{file}", "--set", "width"), "--set 'width' is not of the form knob=value"),
        (("{file}", "--trials", "0"), "budget.trials: 0 is not a whole number of at least 1"),
        (("{file}", "--currency", "XYZ"), "unknown currency 'XYZ'"),
    ],
)
def test_a_wrong_request_is_reported_with_exit_code_2(arguments, said, new_home, file):
    done = tracker("estimate", *(str(each).format(file=file) for each in arguments), home=new_home())
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_study_is_reported_whole(new_home, tmp_path):
    path = tmp_path / "none.toml"
    path.write_text('title = "a letter"\n[space]\nwidth = []\n')
    done = tracker("estimate", path, home=new_home())
    assert done.returncode == 2
    assert all(
        said in done.stderr for said in ("title: unknown key", "name: missing", "workload: missing", "[budget]"[1:7])
    )


def test_run_says_what_it_will_cost_before_it_starts(home, file):
    done = tracker("run", file, "--name", "said", "--trials", "1", "--budget-usd", "3", home=home)
    assert done.returncode == 0, done.stderr
    cost, trials = done.stderr.splitlines()[:2]
    assert cost.startswith("cost: at most $3.00 (budget.usd); likely ") and "earlier" in cost
    assert trials.startswith("1 whole training in ")


def test_without_a_terminal_a_study_above_the_limit_is_refused_unless_yes_is_said(home, file):
    above = ("run", file, "--name", "dear", "--trials", "1", "--budget-usd", "3", "--confirm-above", "1")
    done = tracker(*above, home=home)
    assert done.returncode == 2
    assert "it may cost $3.00, and --confirm-above is $1.00" in done.stderr and "give --yes" in done.stderr
    assert tracker("status", "dear", home=home).returncode == 2  # nothing was started
    assert tracker(*above, "--yes", home=home).returncode == 0
    below = ("run", file, "--name", "cheap", "--trials", "1", "--budget-usd", "0.5", "--confirm-above", "1")
    assert tracker(*below, home=home).returncode == 0
    assert tracker(*below[:-1], "nan", home=home).returncode == 2


def test_nothing_heavy_is_imported_without_a_probe(home, file):
    """What makes it quick: neither torch nor MLflow nor Optuna."""
    code = (
        "import sys\nfrom tracker.cli.main import main\n"
        f"sys.argv = ['tracker', 'estimate', {str(file)!r}, '--home', {str(home)!r}]\n"
        "main()\nassert not {'torch', 'mlflow', 'optuna'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
