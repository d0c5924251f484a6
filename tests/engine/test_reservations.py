"""No core and no GPU is given to two at once, whichever study of this machine asks."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tracker.engine.reservations import Reservation, Reservations


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_what_is_taken_is_not_given_again_until_it_comes_back():
    ledger = Reservations([0, 1, 2], [0])
    first = ledger.take(2, accelerators=1)
    assert first == Reservation((0, 1), (0,))
    assert ledger.take(2) is None
    assert ledger.take(1, accelerators=1) is None
    assert ledger.take(1) == Reservation((2,))
    ledger.give_back(first)
    assert ledger.take(2, accelerators=1) == first


def test_a_request_that_cannot_be_met_takes_nothing():
    ledger = Reservations([0, 1], [])
    assert ledger.take(2, accelerators=1) is None
    assert ledger.take(2) == Reservation((0, 1))


def test_two_studies_share_the_machine_and_a_dead_one_lets_go(tmp_path):
    code = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from tracker.engine.reservations import Reservations\n"
        "ledger = Reservations([0, 1], [])\n"
        "print(ledger.take(1).cores[0], flush=True)\n"
        "input()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "0\n"
    ledger = Reservations([0, 1], [])
    assert ledger.take(2) is None
    assert ledger.take(1) == Reservation((1,))
    other.kill()
    other.wait()
    assert ledger.take(1) == Reservation((0,))


def test_what_has_memory_for_itself_leaves_the_rest_to_others(tmp_path):
    ledger, other_study = Reservations([0, 1, 2], [], 1000), Reservations([0, 1, 2], [], 1000)
    first = ledger.take(1, memory_bytes=600)
    assert first == Reservation((0,), memory_bytes=600)
    assert ledger.take(1, memory_bytes=500) is None
    assert other_study.take(1, memory_bytes=500) is None
    second = other_study.take(1, memory_bytes=400)
    assert second == Reservation((1,), memory_bytes=400)
    assert ledger.take(1) == Reservation((2,)), "what needs none for itself takes what is free"
    ledger.give_back(first)
    assert other_study.take(1, memory_bytes=601) is None
    assert other_study.take(1, memory_bytes=600) == first


def test_a_core_that_had_memory_has_none_for_the_next(tmp_path):
    ledger = Reservations([0], [], 1000)
    ledger.give_back(ledger.take(1, memory_bytes=1000))
    held = ledger.take(1)
    assert held == Reservation((0,))
    assert Reservations([1], [], 1000).take(1, memory_bytes=1000) == Reservation((1,), memory_bytes=1000)


def test_a_look_at_the_memory_takes_no_core(tmp_path):
    ledger, other_study = Reservations(range(8), [], 1000), Reservations(range(8), [], 1000)
    ledger.give_back(ledger.take(8))
    done = threading.Event()

    def look():
        while not done.is_set():
            assert other_study.take(1, memory_bytes=1001) is None

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(1500):
            reservation = ledger.take(8)
            assert reservation is not None, "every core is free"
            ledger.give_back(reservation)
    finally:
        done.set()
        looking.join()
