"""States in a store that every machine reaches: whole or not at all, one folder each, gone once nobody needs them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.attempts import finish, start
from tests.support.near_fleet import NearFleet, rate
from tracker.engine.cluster import distant
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.cluster.distant import DistantState, StateAwayError, bring_all, discard, get, noted, put
from tracker.engine.cluster.parcels import TornError, listed
from tracker.engine.host.transfers import Transfers
from tracker.errors import WorkFailedError
from tracker.records import TrialState
from tracker.training.state import ELSEWHERE_NAME, FILE_NAME, has_state

PAUSABLE = "tests.support.pausable:pausable"
CORES = sorted(os.sched_getaffinity(0))


def wait_for(what, seconds=60.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture
def kept(tmp_path):
    """A state in a store, and where it was written from."""
    folder = tmp_path / "from"
    (folder / "command-state").mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(b"weights" * 1000)
    (folder / "command-state" / "a file, with ümlauts #1").write_bytes(b"")
    files = listed(folder, [FILE_NAME, "command-state"])
    url = f"file://{tmp_path}/store/study/0/1-end"
    put(url, folder, files)
    return DistantState(url, files), folder


def test_a_state_is_read_back_as_it_was_written(kept, tmp_path):
    state, folder = kept
    there = tmp_path / "there"
    there.mkdir()
    get(state, there, "1")
    assert listed(there, [FILE_NAME, "command-state"]) == listed(folder, [FILE_NAME, "command-state"])
    assert sorted(path.name for path in there.iterdir()) == ["command-state", FILE_NAME]


@pytest.mark.parametrize("size", [0, 1, 6999])
def test_of_one_that_was_cut_off_nothing_is_used(kept, tmp_path, size):
    state, _ = kept
    stored = tmp_path / "store" / "study" / "0" / "1-end" / FILE_NAME
    stored.write_bytes(stored.read_bytes()[:size])
    there = tmp_path / "there"
    there.mkdir()
    (there / FILE_NAME).write_text("older")
    with pytest.raises(TornError):
        get(state, there, "1")
    stored.unlink()
    with pytest.raises(WorkFailedError, match="cannot be read"):
        get(state, there, "1")
    assert [path.name for path in there.iterdir()] == [FILE_NAME]
    assert (there / FILE_NAME).read_text() == "older"


def test_a_store_that_nobody_can_use_is_named(kept, tmp_path):
    state, folder = kept
    with pytest.raises(WorkFailedError, match="'unheard://of' cannot be written: Protocol not known"):
        put("unheard://of", folder, state.files)
    (tmp_path / "a file").write_text("")
    with pytest.raises(WorkFailedError, match="cannot be written"):
        put(f"file://{tmp_path}/a file/state", folder, state.files)


def test_a_newer_state_takes_the_place_of_an_older_one_wherever_that_is(kept, tmp_path):
    state, folder = kept
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / FILE_NAME).write_text("older, here")
    state.note(trial)
    assert noted(trial) == state
    assert not (trial / FILE_NAME).exists()
    newer = DistantState(f"file://{tmp_path}/store/study/0/2-end", state.files)
    put(newer.url, folder, newer.files)
    newer.note(trial)
    store = tmp_path / "store" / "study" / "0"
    wait_for(lambda: [path.name for path in store.iterdir()] == ["2-end"])
    discard(trial)
    wait_for(lambda: not list(store.iterdir()))
    assert not has_state(trial)


def test_states_are_brought_here_for_workers_of_this_machine(kept, tmp_path):
    state, _ = kept
    trial = tmp_path / "trials" / "0"
    trial.mkdir(parents=True)
    state.note(trial)
    (trial / FILE_NAME).write_text("older: a coordinator was killed before it was deleted")
    bring_all(tmp_path / "trials")
    assert (trial / FILE_NAME).read_bytes() == b"weights" * 1000
    assert noted(trial) is None, "what is saved here from now on is newer"
    bring_all(tmp_path / "trials")


def test_a_state_that_cannot_be_brought_stays_where_it_is(kept, tmp_path):
    state, _ = kept
    trial = tmp_path / "trials" / "0"
    trial.mkdir(parents=True)
    away = DistantState(f"file://{tmp_path}/away", state.files)
    away.note(trial)
    with pytest.raises(WorkFailedError, match="the state of trial #0 cannot be brought here: 'file://"):
        bring_all(tmp_path / "trials")
    assert noted(trial) == away


def test_a_store_that_is_away_for_a_moment_is_asked_again(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(distant, "AGAIN_SECONDS", 0.05)
    state, there = kept[0], tmp_path / "there"
    there.mkdir()
    store = tmp_path / "store"
    store.rename(tmp_path / "away")
    threading.Timer(0.3, lambda: (tmp_path / "away").rename(store)).start()
    get(state, there, "1", patience_seconds=60.0)
    assert (there / FILE_NAME).read_bytes() == b"weights" * 1000
    with pytest.raises(StateAwayError):
        get(DistantState(f"file://{tmp_path}/nowhere", state.files), there, "2", patience_seconds=0.2)


def test_a_transfer_that_is_asked_for_again_is_made_once():
    transfers, made, go = Transfers(), [], threading.Event()

    def carry():
        made.append(1)
        go.wait(60.0)
        return "carried"

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(transfers.once, ("key", "name"), carry) for _ in range(4)]
        go.set()
        assert {each.result() for each in asked} == {"carried"}
    assert transfers.once(("key", "name"), carry) == "carried"
    assert len(made) == 1
    transfers.forget("key")
    transfers.once(("key", "name"), carry)
    assert len(made) == 2
    with pytest.raises(ZeroDivisionError):
        transfers.once(("key", "fails"), lambda: 1 / 0)
    assert transfers.once(("key", "fails"), lambda: "after all") == "after all"


def test_a_trial_continues_on_another_machine_from_the_store(tmp_path):
    fleet = NearFleet(tmp_path / "fleet", [CORES[:1], CORES[1:2]])
    states, folder = f"file://{tmp_path}/states", tmp_path / "trials" / "0"
    with ClusterEngine(fleet, "study", rate, states=states) as engine:
        first = start(engine, folder, workload=PAUSABLE, epochs=6, epoch_seconds=0.1)
        while not first.record.saved_epoch:
            engine.poll(0.05)
        first.pause_at_save()
        assert finish(engine) is first
        assert first.record.state is TrialState.PAUSED
        assert not (folder / FILE_NAME).exists(), "it is in the store alone"
        assert (folder / ELSEWHERE_NAME).exists()
        assert list((tmp_path / "states").rglob(FILE_NAME))
        fleet.kill(first.reservation.node.node_id)
        second = start(engine, folder, workload=PAUSABLE, number=2, epochs=6, epoch_seconds=0.1)
        assert finish(engine) is second
    fleet.close()
    assert second.reservation.node != first.reservation.node
    assert second.record.state is TrialState.COMPLETED
    epochs = [each.epoch for each in (*first.record.checkpoints, *second.record.checkpoints)]
    assert epochs == list(range(1, 7)), "none twice"
    assert not has_state(folder)
    wait_for(lambda: not list((tmp_path / "states").rglob(FILE_NAME)))
