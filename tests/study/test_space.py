"""What a machine cannot do is left out of the space up front, and said once."""

from __future__ import annotations

import pytest

from tests.study.test_spec import DESCRIPTION
from tests.support.studies import digits
from tracker.errors import HardwareError, StudyFileError
from tracker.records import Hardware
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.study.domains import Choices
from tracker.study.space import Offer, search_space

CPU_ONLY = Hardware("Linux", "cpu", "x86_64", 2, 8 * 2**30, precisions={"cpu": ("fp32", "bf16")})
WITH_GPU = Hardware(
    "Linux",
    "cpu",
    "x86_64",
    16,
    64 * 2**30,
    accelerator="H100",
    accelerator_count=1,
    precisions={"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")},
)
EVERYTHING = {
    "device": ["cpu", "cuda"],
    "precision": ["fp32", "tf32", "bf16", "fp16"],
    "threads": [1, 2, 8],
    "compile": [False, True],
}


def space_of(hardware, space, compile_problem="", engine="local", **settings):
    content = digits(space=space, engine={"name": engine})
    content["settings"] = {"epochs": 3, **settings}
    spec = check_study(StudyDocument("s", content), DESCRIPTION)
    return search_space(spec, hardware, compile_problem)


def test_without_a_gpu_only_what_the_cpu_can_do_is_searched():
    space = space_of(CPU_ONLY, EVERYTHING, "there is no C++ compiler")
    assert space.devices == ("cpu",)
    assert space.by_device["cpu"]["precision"] == Choices(("fp32", "bf16"))
    assert space.by_device["cpu"]["threads"] == Choices((1, 2))
    assert space.by_device["cpu"]["compile"] == Choices((False,))
    assert list(space.left_out) == [
        "device cuda: not on this machine",
        "precision tf32, fp16: not computed by this machine's cpu device",
        "threads 8: the machine has 2 cores",
        "compile true: there is no C++ compiler",
    ]


def test_with_a_gpu_each_device_has_its_own_precisions():
    space = space_of(WITH_GPU, EVERYTHING)
    assert space.devices == ("cpu", "cuda")
    assert space.by_device["cpu"]["precision"] == Choices(("fp32", "bf16"))
    assert space.by_device["cuda"]["precision"] == Choices(("fp32", "tf32", "bf16", "fp16"))


def test_what_nobody_set_is_worked_out_from_the_machine():
    assert space_of(CPU_ONLY, {"width": [4, 8]}).fixed["threads"] == 2
    assert space_of(WITH_GPU, {"width": [4, 8]}).devices == ("cuda",)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "cuda"}, "device = cuda is impossible here: this machine has cpu"),
        ({"precision": "fp16"}, "precision = fp16 is impossible here"),
        ({"threads": 64}, "threads = 64 is impossible here: the machine has 2 cores"),
        ({"compile": True}, "compile = true is impossible here: no compiler"),
    ],
)
def test_a_fixed_setting_that_is_impossible_here_is_refused(settings, said):
    with pytest.raises(HardwareError, match=said):
        space_of(CPU_ONLY, {"width": [4, 8]}, "no compiler", **settings)


def test_a_knob_of_which_nothing_is_left_is_refused():
    with pytest.raises(HardwareError, match=r"nothing of precision \(tf32, fp16\) is possible here"):
        space_of(CPU_ONLY, {"precision": ["tf32", "fp16"]})


def test_a_range_of_threads_is_cut_to_the_machine():
    space = space_of(CPU_ONLY, {"threads": {"low": 1, "high": 4}})
    assert space.by_device["cpu"]["threads"] == Choices((1, 2))


@pytest.mark.parametrize(
    ("space", "size"),
    [
        ({"width": [4, 8]}, 2),
        ({"width": [4, 8], "learning_rate": [0.01, 0.1], "precision": ["fp32", "bf16"]}, 8),
        ({"width": {"low": 4, "high": 8}}, 5),
        ({"width": {"low": 4, "high": 9, "step": 2}}, 3),
        ({"learning_rate": {"low": 0.1, "high": 0.35, "step": 0.1}}, 3),
        ({"learning_rate": {"low": 0.1, "high": 0.3}}, float("inf")),
        ({"learning_rate": {"low": 0.1, "high": 0.3}, "width": [4]}, float("inf")),
    ],
)
def test_a_space_knows_how_many_settings_it_has(space, size):
    found = space_of(CPU_ONLY, space)
    assert found.size == size
    if size < float("inf"):
        settings = list(found.combinations())
        assert len({found.key(each) for each in settings}) == len(settings) == size
        assert all(each["epochs"] == 3 and each["device"] == "cpu" for each in settings)
    else:
        with pytest.raises(ValueError, match="no end of values"):
            list(found.combinations())


def test_values_of_a_range_with_a_step_are_as_they_are_written():
    space = space_of(CPU_ONLY, {"learning_rate": {"low": 0.1, "high": 0.35, "step": 0.1}})
    assert [each["learning_rate"] for each in space.combinations()] == [0.1, 0.2, 0.3]


def test_a_trial_on_several_nodes_may_have_what_all_of_them_have():
    several = {"engine": "ray", "nodes": 2, "processes": 4, "device": "cpu"}
    assert space_of(CPU_ONLY, {"width": [4, 8]}, **several).fixed["threads"] == 4
    assert space_of(CPU_ONLY, {"threads": [2, 4, 8]}, **several).by_device["cpu"]["threads"] == Choices((2, 4))
    with pytest.raises(HardwareError, match="processes = 4 is impossible here: the machine has 2 cores"):
        space_of(CPU_ONLY, {"nodes": [1, 2]}, engine="ray", processes=4)


def test_one_machine_has_one_node():
    space = space_of(CPU_ONLY, {"nodes": [1, 2]}, processes=2)
    assert space.by_device["cpu"]["nodes"] == Choices((1,))
    assert space.left_out == ('nodes 2: this study runs on one machine; engine "ray" has several',)
    with pytest.raises(HardwareError, match="nodes = 2 is impossible here: this study runs on one machine"):
        space_of(CPU_ONLY, {"width": [4, 8]}, nodes=2, processes=2)


FLEET = [
    Offer("cpu", "", "on_demand"),
    Offer("cpu", "", "spot"),
    Offer("cuda", "H100", "on_demand"),
    Offer("cuda", "L4", "on_demand"),
    Offer("cuda", "L4", "spot"),
]


def on_fleet(space, offers=FLEET, **settings):
    content = digits(space=space)
    content["settings"] = {"epochs": 3, **settings}
    return search_space(check_study(StudyDocument("s", content), DESCRIPTION), WITH_GPU, offers=offers)


def test_models_and_markets_are_searched_as_far_as_machines_have_them():
    space = on_fleet({"device": ["cpu", "cuda"], "accelerator_model": ["H100", "L4", "B200"], "threads": [1]})
    assert space.by_device["cuda"]["accelerator_model"] == Choices(("H100", "L4"))
    assert "accelerator_model" not in space.by_device["cpu"], "it uses no GPU"
    assert space.left_out == ("accelerator_model B200: there is H100, L4",)
    space = on_fleet({"market": ["spot", "on_demand", "reserved"]}, accelerator_model="L4")
    assert space.by_device["cuda"]["market"] == Choices(("spot", "on_demand"))
    assert space.fixed["accelerator_model"] == "L4"


def test_a_model_and_a_market_that_no_machine_has_together_are_refused():
    with pytest.raises(HardwareError, match=r"no machine with H100 is bought as spot.*L4 as spot"):
        on_fleet({"accelerator_model": ["H100", "L4"], "market": ["on_demand", "spot"]})
    with pytest.raises(HardwareError, match=r"market = reserved is impossible here: machines are bought as on_demand"):
        on_fleet({"width": [4, 8]}, market="reserved")


def test_one_machine_offers_itself():
    space = space_of(WITH_GPU, {"accelerator_model": ["H100", "L4"]})
    assert space.by_device["cuda"]["accelerator_model"] == Choices(("H100",))
    with pytest.raises(HardwareError, match=r"nothing of market .spot. is possible here: machines are bought"):
        space_of(CPU_ONLY, {"market": ["spot"]})
    with pytest.raises(StudyFileError, match=r"'spott' is not one of its values; did you mean 'spot'"):
        space_of(CPU_ONLY, {"market": ["spott", "spot"]})


def test_memory_is_searched_as_far_as_the_machine_has_it():
    space = space_of(CPU_ONLY, {"memory_gb": [2, 7.2, 7.3]})
    assert space.by_device["cpu"]["memory_gb"] == Choices((2, 7.2))
    assert space.left_out == ("memory_gb 7.3: the machine has 8.0 GB, and its trials may take 7.2",)
    assert space_of(CPU_ONLY, {"width": [4]}, engine="ray", nodes=2, processes=2, memory_gb=14).fixed["memory_gb"] == 14
    with pytest.raises(StudyFileError, match=r"memory_gb: 0 is not a number of at least 0\.1"):
        space_of(CPU_ONLY, {"width": [4]}, memory_gb=0)
