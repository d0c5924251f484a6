import multiprocessing
import os
import platform
import shutil
from concurrent.futures import ProcessPoolExecutor

import psutil
import pytest
import torch

from tracker.pricing.price_book import load_price_book
from tracker.records import Hardware, Market
from tracker.training.hardware import can_compile, describe_hardware
from tracker.training.machine import DEVICE_PRECISIONS, accelerator_name, untried_hardware, usable_cores
from tracker.training.precision import PRECISIONS


def in_a_child(function, *arguments):
    """The answer of ``function`` in a process of its own, as the tracker asks it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def cores_with_affinity(cpus: set[int]) -> int:
    os.sched_setaffinity(0, cpus)
    return usable_cores()


@pytest.fixture(scope="module")
def here() -> Hardware:
    return in_a_child(describe_hardware)


def test_describes_this_machine(here):
    assert 1 <= here.cores <= len(os.sched_getaffinity(0))
    assert 0 < here.memory_bytes <= psutil.virtual_memory().total
    assert here.architecture == {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    assert here.cpu_model
    assert here.system.startswith(platform.system())
    assert here.torch_version == torch.__version__


def test_counts_only_the_cpus_that_the_process_may_use():
    one = {min(os.sched_getaffinity(0))}
    assert in_a_child(cores_with_affinity, one) == 1


def test_tells_the_precisions_that_work(here):
    assert "fp32" in here.precisions["cpu"]
    assert not {"tf32", "fp16"} & set(here.precisions["cpu"])
    assert set(here.precisions) == set(here.devices)


def test_a_machine_that_is_not_tried_is_the_same_machine(here):
    untried = untried_hardware()
    assert untried.label == here.label
    assert (untried.architecture, untried.devices) == (here.architecture, here.devices)
    for device in here.devices:
        assert set(here.precisions[device]) <= set(untried.precisions[device])


def test_the_precisions_of_a_device_are_those_that_are_tried_on_it():
    for device, names in DEVICE_PRECISIONS.items():
        assert names == tuple(name for name, each in PRECISIONS.items() if device in each.devices)


def test_this_machine_can_be_billed(here):
    point = load_price_book().cheapest_for(here, "cpu", Market.ON_DEMAND)
    assert point.architecture == here.architecture


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_describes_the_gpu(here):
    assert here.accelerator_count >= 1
    assert here.accelerator
    assert here.accelerator_memory_bytes > 2**30
    assert "fp32" in here.precisions["cuda"]


@pytest.mark.parametrize(
    ("driver_name", "name"),
    [
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla V100-SXM3-32GB", "V100-32GB"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10-24Q", "A10"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_gpus_are_named_as_in_the_price_book(driver_name, name):
    assert accelerator_name(driver_name) == name
    assert name in load_price_book().accelerators


@pytest.mark.parametrize(
    "driver_name",
    ["NVIDIA GeForce RTX 4090", "NVIDIA L40", "NVIDIA H100 PCIe", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA A10-4Q"],
)
def test_other_gpus_and_slices_of_them_keep_the_driver_s_name(driver_name):
    assert accelerator_name(driver_name) == driver_name


def test_without_a_compiler_the_answer_comes_at_once(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("nothing has to be compiled to know it"))
    assert "needs a C++ compiler, and there is no" in can_compile()


def test_a_compiler_that_fails_is_reported_by_its_error(tmp_path, monkeypatch):
    broken = tmp_path / "broken-compiler"
    broken.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--version*) echo "g++ 13.2"; exit 0;; esac\n'
        "echo 'x.cpp:1: fatal error: Python.h: No such file' >&2; exit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    answer = in_a_child(can_compile, "cpu")
    assert answer == "torch.compile does not work on cpu here: x.cpp:1: fatal error: Python.h: No such file"


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_a_machine_that_compiles_says_so_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert in_a_child(can_compile, "cpu") == ""
    assert not list(tmp_path.iterdir())
