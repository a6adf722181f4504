"""Kernels run in forked processes and from several threads, on every threading layer of Numba."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Barrier, get_ident

import pytest
from project.test_array_kinds import CALLS

from csc.kernels.cpu import threads

POOLS = {
    "workqueue": ["numba.np.ufunc.workqueue"],
    "omp": ["numba.np.ufunc.omppool"],
    "tbb": ["tbb", "numba.np.ufunc.tbbpool"],
}
PLACES = ["in a forked process", "from two threads"]


def is_installed(layer):
    """Whether Numba has the layer, and what it needs."""
    try:
        for name in POOLS[layer]:
            import_module(name)
    except ImportError:
        return False
    return True


LAYERS = list(filter(is_installed, POOLS))
NAMES = list(CALLS)
CASES = [
    (name, layer) for layer in LAYERS for name in (NAMES if layer == LAYERS[0] else NAMES[::8])
]


@cache
def reports():
    """Of every layer; all run at once."""
    with ThreadPoolExecutor() as threads:
        return dict(zip(LAYERS, threads.map(report, LAYERS), strict=True))


def report(layer):
    """What went wrong at which call and place, ``{(name, place): trouble}``."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), *sys.path])
    settings = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": path}
    ran = subprocess.run(
        [sys.executable, tests / "doubles" / "in_forks.py", *(n for n, on in CASES if on == layer)],
        capture_output=True, text=True, timeout=300, env=os.environ | settings, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return {(name, place): trouble for name, place, trouble in lines} | {"error": ran.stderr}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("name", "layer"), CASES)
def test_calls_run_in_forked_processes_and_from_two_threads(name, layer):
    found = reports()[layer]
    assert found.get(("", "layer")) == layer, found["error"]
    troubles = {place: found.get((name, place), "not reached") for place in PLACES}
    assert set(troubles.values()) == {""}, found["error"]


def test_each_thread_works_in_arrays_of_its_own(monkeypatch):
    monkeypatch.setattr(threads, "get_num_threads", lambda: 2)
    both, seen = Barrier(2, timeout=20), set()

    def kernel(start, stop, out, place):
        if start < 2:  # the first two batches: one on each thread
            both.wait()
        place.append(get_ident())
        seen.add((id(place), *set(place)))
        out[start] = stop

    out = {}
    threads.in_batches(kernel, 16, out, min_batch=1, scratch=lambda: ([],))
    assert out == {i: i + 1 for i in range(16)}
    assert len(seen) == 2
    assert len({place for place, _ in seen}) == 2
