"""What a coordinator must know of a workload and a machine without touching either itself.

Importing training code and trying a GPU belong in a child process: both can crash, and CUDA must not
be touched in a process that is forked later. So torch is imported there too, within the functions.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracker.errors import WorkloadError
from tracker.records import Hardware
from tracker.study.spec import WorkloadDescription


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A machine, and a workload or, in its place, what is wrong with it.

    ``compile_problem`` says why torch.compile does not work here; "" where it does or was not tried.
    """

    hardware: Hardware
    workload: WorkloadDescription | str
    compile_problem: str = ""


def describe(workload: str, *, try_compile: bool) -> Surroundings:
    """Describe this machine and the workload of this reference. To be called in a child process."""
    from tracker.training.hardware import can_compile, describe_hardware

    hardware = describe_hardware()
    problem = can_compile(hardware.devices[-1]) if try_compile else ""
    return Surroundings(hardware, describe_workload(workload), problem)


def describe_workload(reference: str) -> WorkloadDescription | str:
    """A workload's description, or what is wrong with it in a line."""
    from tracker.training.loading import load_workload
    from tracker.training.workload import Predicts

    try:
        workload = load_workload(reference)
    except WorkloadError as error:
        return str(error)
    return WorkloadDescription(
        dict(workload.knobs),
        dict(workload.metrics),
        dict(workload.data_options),
        tuple(workload.baselines),
        isinstance(workload, Predicts),
    )
