"""The course of learning: objective and codes by pass, and the atoms after each."""

import numpy as np

from csc._backend import to_host
from csc._montage import COLOURS
from csc._sprite import pictures_of, sprites
from csc._validation import check_floats
from csc.plot._pages._document import numbers

MAX_POINTS = 200  # of a curve


def history_of(subject):
    """Objective and codes per signal of a learner: means over its passes, or over equal groups of steps."""
    history = getattr(subject, "history_", None)
    if not history:
        return None
    n_passes = max(1, getattr(subject, "n_iter_", 1))
    whole = len(history) % n_passes == 0 and 1 < n_passes <= MAX_POINTS
    n_points = n_passes if whole else min(len(history), MAX_POINTS)
    groups = np.array_split(np.arange(len(history)), n_points)
    return {
        "unit": "pass" if whole else "step",
        "at": [int(group[-1]) // (len(history) // n_passes) + 1 if whole else int(group[-1]) + 1
               for group in groups],
        "objective": numbers([np.mean([history[t].objective for t in g]) for g in groups]),
        "codes": numbers([np.mean([history[t].n_nonzero for t in g]) for g in groups]),
    }  # fmt: skip


def checked_snapshots(snapshots, atoms):
    """Pictures of the atoms after each pass, a list of arrays; empty for None."""
    if snapshots is None:
        return []
    if len(snapshots) == 0:
        raise ValueError("snapshots must hold the atoms after each pass, got none")
    shots = [to_host(check_floats(f"snapshots[{i}]", shot)) for i, shot in enumerate(snapshots)]
    expected = len(atoms), *atoms.shape[2:]
    for i, shot in enumerate(shots):
        shape = shot.shape
        if (*shape[:1], *shape[2:]) != expected or shape[1] not in COLOURS:
            raise ValueError(
                f"snapshots[{i}] must be {len(atoms)} atoms (K, C, h, w) of {expected[1:]} pixels, "
                f"in one or three channels, got shape {shape}"
            )
    return shots


def passes_of(shots, room):
    """The atoms after every pass, or after as many as so many pixels hold: data and a sheet."""
    fitting = max(2, room // shots[0].size)
    chosen = np.unique(np.linspace(0, len(shots) - 1, min(len(shots), fitting)).round().astype(int))
    sheets = [pictures_of(shots[i]) for i in chosen]
    n_atoms = len(shots[0])
    columns = max(1, round(n_atoms**0.5))
    rows = -(-n_atoms // columns)
    blank = [(0, rows * columns - n_atoms), *[(0, 0)] * (sheets[0].ndim - 1)]
    sheet = sprites(
        np.concatenate([np.pad(s, blank, constant_values=128) for s in sheets]), columns
    )
    return {"at": (chosen + 1).tolist(), "of": len(shots), "rows": rows}, sheet
