"""Learning on Dask: the atoms of one machine, whoever codes and whoever dies."""

import os
import platform
import signal
import subprocess
import sys
from functools import reduce
from threading import Thread, main_thread
from time import perf_counter, sleep
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest

import csc
from csc.learning._batch import tree_sum

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

import dask
import dask.array as da

from csc.distributed import DaskSignals, fit, memory_plan, transform
from csc.distributed._client import tree_reduce
from doubles.dask_cluster import few_together


@pytest.fixture(autouse=True)
def many_groups(monkeypatch):
    few_together(monkeypatch, 600)


@pytest.fixture
def X(rng):
    return rng.laplace(size=(23, 1, 14, 13)).astype("float32")


def learner(**parameters):
    parameters = {"lmbda": 0.8, "max_iter": 3, "tol": 0, "random_state": 0} | parameters
    return csc.DictionaryLearning(4, (4, 3), **parameters)


def same(one, other):
    """Whether two learners are the same, bit for bit."""
    assert one.history_ == other.history_
    assert (one.state_.unused == other.state_.unused).all()
    np.testing.assert_array_equal(one.atoms_, other.atoms_)
    return True


def test_without_a_client_it_is_said_what_to_start(X):
    with pytest.raises(ValueError, match="no Dask client"):
        DaskSignals(list(X))


def test_what_cannot_be_learned_from_is_refused(client, X):
    for call in (fit, memory_plan, transform):
        with pytest.raises(TypeError, match="learner must be an instance of csc.DictionaryLearn"):
            call(csc.solvers.WorkingSet(), da.from_array(X), client=client)
    with pytest.raises(TypeError, match="instance of .* got DictionaryLearning"):
        fit(csc.DictionaryLearning, da.from_array(X), client=client)
    with pytest.raises(ValueError, match="contains no observed sample"):
        fit(learner(), da.from_array(X * np.nan, chunks=(5, 1, 14, 13)), client=client)


DEAD = np.zeros((4, 1, 4, 3), "float32")
DEAD[:2] = np.random.default_rng(1).standard_normal((2, 1, 4, 3))
ATOM_WEIGHTS = np.array([1, 0.2, 3, 1], "float32").reshape(4, 1, 1)
POSITION_WEIGHTS = np.random.default_rng(2).uniform(0.1, 3, (1, 4, 11, 11)).astype("float32")


@pytest.mark.parametrize(
    "parameters",
    [
        {"lmbda": csc.Relative(0.3)},
        {"lmbda": csc.TargetSparsity(20)},
        {"lmbda": csc.TargetSparsity(20), "batch_size": 7},
        {"batch_size": 7},
        {"crop": (9, 10)},
        {"crop": (9, 10), "batch_size": 5},
        {"mode": "valid", "stride": (2, 1)},
        {"mode": "circular", "homeostasis": csc.learning.HomeostaticGain()},
        {"init": DEAD, "replace_after": 10},
        {"lmbda": 0.3, "recentre_every": 2, "init": np.roll(DEAD + DEAD[::-1], 2, 2)},
        {"lmbda": None, "penalty": csc.L1(0.5, weights=ATOM_WEIGHTS)},
        {"lmbda": None, "penalty": csc.L1(csc.Relative(0.3), weights=POSITION_WEIGHTS)},
    ],
    ids=" ".join,
)
def test_atoms_are_those_of_one_machine(client, X, parameters):
    chunked = da.from_array(X, chunks=(5, 1, 14, 13))
    alone = learner(**parameters).fit(X)
    assert same(alone, fit(learner(**parameters), chunked, client=client))
    if "init" in parameters and "replace_after" in parameters:
        assert any(line.n_replaced for line in alone.history_)


# Ctrl-C may come while Dask deletes a future: Python then warns, and csc raises it again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_ends_a_fit_within_two_seconds(client, X):
    chunked = da.from_array(X, chunks=(5, 1, 14, 13))
    endless, pressed = learner(max_iter=10**6), []

    def press():
        while len(getattr(endless, "history_", ())) < 2:
            sleep(0.01)
        pressed.append(perf_counter())
        signal.pthread_kill(main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    keys = Thread(target=press)
    keys.start()
    with pytest.warns(UserWarning, match="interrupted after .* steps; the atoms so far are kept"):
        fit(endless, chunked, client=client)
    assert perf_counter() - pressed[0] < 2
    keys.join()
    signal.signal(signal.SIGINT, before)
    steps = endless.state_.n_steps
    again = fit(learner(max_iter=steps), chunked, client=client)  # the cluster is still usable
    assert same(again, endless)


def test_patches_and_double_precision(client, rng):
    X = rng.laplace(size=(200, 2, 3))
    parameters = {"max_iter": 2, "random_state": 0}
    alone = csc.DictionaryLearning(5, (3,), 0.5, **parameters).fit(X)
    found = csc.DictionaryLearning(5, (3,), 0.5, **parameters)
    assert same(alone, fit(found, da.asarray(X), client=client))


def test_lists_masks_and_nan(client, X):
    X[3, 0, 2:5, 4] = np.nan
    pictures = [*X[:9], *X[9:, :, :11]]
    masks = [np.ones((14, 1)), *(np.arange(x.shape[2]) % 5 > 0 for x in pictures[1:])]
    masks[7] = np.zeros(13)  # nothing seen
    alone = learner().fit(pictures, mask=masks)
    mixed = [dask.delayed(pictures[0]), da.asarray(pictures[1]), *pictures[2:]]
    assert same(alone, fit(learner(), mixed, mask=masks, client=client))
    whole = np.arange(13) % 4 > 0
    alone = learner().fit(X, mask=whole)
    assert same(alone, fit(learner(), da.asarray(X), mask=whole, client=client))
    masked = np.ma.array(np.where(np.isnan(X), 99, X), mask=np.isnan(X))
    for own, form in [(masked, da.from_array(masked, chunks=(5, 1, 14, 13))), (list(masked),) * 2]:
        assert same(learner().fit(own), fit(learner(), form, client=client))


def test_weights_of_signals(client, X):
    weight = np.arange(len(X)) % 3
    for own, form, options in [
        (X, da.from_array(X, chunks=(2, *X.shape[1:])), {}),
        (list(X), list(X), {"batch_size": 7}),
    ]:
        alone = learner(max_iter=2, **options).fit(own, sample_weight=weight)
        found = learner(max_iter=2, **options)
        assert same(alone, fit(found, form, sample_weight=weight, client=client))
    with pytest.raises(ValueError, match="sample_weight must have one number per signal of X"):
        fit(learner(), list(X), sample_weight=[1.0], client=client)


def test_bags_folders_and_zarr(client, X, tmp_path):
    bag = pytest.importorskip("dask.bag")
    alone = learner(max_iter=1).fit(list(X))
    found = fit(learner(max_iter=1), bag.from_sequence(list(X), npartitions=4), client=client)
    assert same(alone, found)
    for i, x in enumerate(X[:4, 0]):
        pixels = (255 * np.clip(abs(x) / 5, 0, 1)).astype("uint8")
        header = f"P5 {x.shape[1]} {x.shape[0]} 255 ".encode()
        (tmp_path / f"{i}.pgm").write_bytes(header + pixels.tobytes())
    pictures = [picture.pixels[None] for picture in csc.images.load_folder(tmp_path)]
    few = {"lmbda": 0.05, "max_iter": 1}
    assert same(learner(**few).fit(pictures), fit(learner(**few), tmp_path, client=client))
    zarr = pytest.importorskip("zarr", reason="needs Zarr")
    zarr.save_array(tmp_path / "x.zarr", X)
    alone = learner(max_iter=1).fit(X)
    assert same(alone, fit(learner(max_iter=1), tmp_path / "x.zarr", client=client))


def test_signals_that_find_no_room_are_read_anew(client, X, monkeypatch, tmp_path):
    monkeypatch.setattr("csc.distributed._dask_data.USABLE_MEMORY_FRACTION", 0.0)

    def block(_, block_info=None):
        (tmp_path / uuid4().hex).touch()
        low, high = block_info[None]["array-location"][0]
        return X[low:high]

    chunked = da.map_blocks(
        block, da.zeros(X.shape, chunks=(23, 1, 14, 13), dtype="f4"), dtype="f4"
    )
    same(learner(max_iter=2).fit(X), fit(learner(max_iter=2), chunked, client=client))
    assert len(list(tmp_path.iterdir())) >= 2


def test_checkpoints_hold_no_codes_and_go_on(client, X, tmp_path):
    path = tmp_path / "atoms.npz"
    fit(learner(max_iter=2, checkpoint=path), X_of(X), client=client)
    resumed = fit(csc.resume(path).set_params(max_iter=6), X_of(X), client=client)
    whole = fit(learner(max_iter=6), X_of(X), client=client)
    assert resumed.n_iter_ == 6
    assert csc.load(path).state_.codes is None
    goal, found = whole.history_[-1].objective, resumed.history_[-1].objective
    assert found == pytest.approx(goal, rel=2e-2)  # the tolerance of codes


def X_of(X):
    return da.from_array(X, chunks=(5, 1, 14, 13))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 65, 73, 200])
def test_both_trees_have_one_shape(client, n):
    def nested(*parts):
        return reduce(lambda one, other: (one, other), parts)

    leaves = list(range(n))
    joined = tree_reduce(nested, lambda what, part: f"{what}-{part}-of-{n}", leaves)
    found = client.compute(joined).result() if n > 1 else joined
    assert tree_sum(leaves, lambda one, other: (one, other)) == found


def test_tasks_have_readable_names(client, X):
    fit(learner(max_iter=1), X_of(X), client=client)
    names = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
    assert {"csc-load", "csc-code", "csc-sum", "csc-join", "csc-atoms"} <= set(names)


def test_a_plan_counts_what_a_worker_holds(client, X):
    found = memory_plan(learner(), X_of(X), client=client)
    assert found.signals == X.nbytes // 3
    assert found.fits
    assert "signals" in repr(found)


def test_what_is_wrong_is_said(client, X):
    with pytest.raises(TypeError, match=r"csc.distributed.fit"):
        learner().fit(X_of(X))
    with pytest.raises(ValueError, match="channels"):
        fit(learner(warm_start=True).fit(X), da.zeros((3, 2, 9, 9), dtype="f4"), client=client)
    with pytest.raises(TypeError, match="float32 or float64"):
        fit(learner(), da.zeros((3, 1, 9, 9), dtype=int), client=client)
    with pytest.raises(ValueError, match="inf"):
        fit(learner(), da.full((3, 1, 9, 9), np.inf), client=client)
    for stored in (X, SimpleNamespace(dtype=X.dtype, shape=X.shape)):  # as a Zarr array
        with pytest.raises(TypeError, match=r"make dask.array.from_array\(X\)"):
            DaskSignals(stored, client=client)
    with pytest.raises(TypeError, match="X is float64"):
        transform(learner(max_iter=1).fit(X), da.from_array(X.astype(float)), client=client)
    with pytest.raises(ValueError, match="mask has 1"):
        DaskSignals(list(X), [1], client)


FAULTS = """
import resource, numpy as np
from csc._memory import {function} as keep_freed
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
thrown = faults()
changed = keep_freed()
np.ones(2**20)
print(changed, thrown, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize(
    ("trims", "tunables"), [(True, ""), (False, ""), (False, "glibc.malloc.trim_threshold=65536")]
)
def test_workers_keep_what_they_free(trims, tunables):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_TRIM_THRESHOLD_"}
    environment |= {"MALLOC_TRIM_THRESHOLD_": "65536"} if trims or tunables else {}
    environment["GLIBC_TUNABLES"] = tunables  # a nanny does not set it
    command = [sys.executable, "-c", FAULTS.format(function="keep_freed_of_worker")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    changed, thrown, kept = done.stdout.split()
    assert changed == str(trims)
    if trims:
        assert int(kept) < 0.1 * int(thrown)
