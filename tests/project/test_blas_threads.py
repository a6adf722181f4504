"""The number of BLAS threads is that of before, whatever threads and forks did meanwhile."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from threading import Event

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import csc
from csc import _backend

PATIENCE = 20  # seconds


class Stopped(Exception):
    """Ends a fit."""


def blas_threads():
    """Number of threads of each BLAS."""
    controller = ThreadpoolController().select(user_api="blas")
    return [library["num_threads"] for library in controller.info()]


@pytest.fixture(autouse=True)
def two_threads():
    before = threadpool_limits(2, "blas")
    with threadpool_limits(None, "blas"):  # the end of a block lets other threads set a limit
        pass
    if set(blas_threads()) != {2}:
        pytest.skip("this BLAS cannot use two threads")
    yield
    before.restore_original_limits()


def test_fits_that_overlap_in_time_restore_it(monkeypatch):
    began, first_ended = Event(), Event()

    def overlap(self, *_):
        """Let the fit of one atom begin first and end first."""
        if self.n_atoms == 1:
            assert began.wait(PATIENCE)
        else:
            began.set()
            assert first_ended.wait(PATIENCE)
        inside.append(set(blas_threads()))
        raise Stopped

    inside = []
    monkeypatch.setattr(csc.DictionaryLearning, "_learn", overlap)

    def fit(n_atoms):
        with pytest.raises(Stopped):
            csc.DictionaryLearning(n_atoms, (4,), 0.1).fit(np.ones((3, 1, 4)))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fit, 1)
        first.add_done_callback(lambda _: first_ended.set())
        pool.submit(fit, 2).result(PATIENCE)
    assert inside == [{1}, {1}]
    assert set(blas_threads()) == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_while_another_thread_counts_does_not_wait_for_it():
    with _backend._shared_blas.lock:
        pool = get_context("fork").Pool(1)
    with pool:
        assert pool.apply_async(_inside).get(PATIENCE) == {1}


def _inside():
    with _backend.one_blas_thread():
        return set(blas_threads())


LATE = """
from threadpoolctl import threadpool_info
from csc._backend import one_blas_thread
with one_blas_thread():
    pass
import scipy.linalg
with one_blas_thread():
    print({found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"})
"""


def test_a_blas_that_loads_later_is_limited_too():
    command = [sys.executable, "-c", LATE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "{1}\n"
