"""A model and its optimiser as a trial's state, for the trainings of tests that can be paused."""

from __future__ import annotations


def restored(run, model, optimiser):
    """The epoch to go on after; 0 where nothing was saved."""
    state = run.restore()
    if not state:
        return 0
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"]


def save(run, model, optimiser, epoch):
    """Save what ``restored`` puts back."""
    run.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch})
