"""SIGKILL at random times during learning: are checkpoints valid, and are results the same?

A process learns atoms and writes a checkpoint after every step. It is killed at a random time,
possibly during a write. Another process resumes from the checkpoint and is killed in turn, until
one finishes. Its atoms must be bit-identical to those of an uninterrupted process, the checkpoint
must be valid after every kill, and no other file may remain. Online and batch learning are tested.
"""

import argparse
import multiprocessing
import os
import tempfile
import warnings
from pathlib import Path
from time import sleep

import numpy as np

import csc
from demos._arguments import integer
from demos.bench.report import print_json

KINDS = {
    "online": {"batch_size": 1, "crop": (40, 40), "max_iter": 20},
    "batch": {"batch_size": None, "max_iter": 60},
}
MAX_SECONDS_TO_KILL = 0.5


def learner(kind, **changes):
    """Return a learner that uses all parts of a step."""
    options = {"tol": 0, "random_state": 0, "recentre_every": 7, **KINDS[kind]}
    return csc.DictionaryLearning(8, (6, 6), 2.0, **(options | changes))


def fit(path, kind, started):
    """Resume learning from the checkpoint, or start it."""
    if os.name == "posix":  # locks without names, which a kill would leave behind
        multiprocessing.set_start_method("fork", force=True)
    X = np.random.default_rng(0).laplace(size=(3, 1, 48, 48)).astype("float32")
    learner(kind, max_iter=3).fit(X)  # compiles, so that kills happen during learning
    started.send(True)
    model = learner(kind, checkpoint=path, checkpoint_every=1)
    (csc.resume(path) if path.exists() else model).fit(X)


def run(context, path, kind, max_seconds=None, rng=None):
    """Run a process, kill it within ``max_seconds``; return whether it was killed before its end."""
    started, sender = context.Pipe(duplex=False)
    process = context.Process(target=fit, args=(path, kind, sender))
    process.start()
    sender.close()
    started.recv()
    if max_seconds is not None:
        sleep(max_seconds * rng.random())
        process.kill()
    process.join()
    if process.exitcode > 0:
        raise RuntimeError(f"learning ended with exit code {process.exitcode}")
    return process.exitcode < 0


def check(path, steps):
    """Return the steps in the checkpoint, its validity, and whether a write was interrupted."""
    if not path.exists():
        return steps, steps == 0, False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the previous checkpoint must not be needed
        now = csc.load(path).state_.n_steps
    interrupted = any(file.suffix == ".part" for file in path.parent.iterdir())
    return now, now >= steps, interrupted


def survive(kind, n_kills, max_seconds, rng):
    """Kill ``n_kills`` processes, let the last one finish, and return counts."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["demos.bench.kill", "csc.learning"])
    kills, n_valid, n_interrupted, identical, other_files = 0, 0, 0, [], set()
    with tempfile.TemporaryDirectory() as folder:
        run(context, Path(folder, "uninterrupted.npz"), kind)
        expected = csc.load(Path(folder, "uninterrupted.npz")).atoms_
        while kills < n_kills:
            run_folder = Path(folder, str(len(identical)))
            run_folder.mkdir()
            path, steps = run_folder / "atoms.npz", 0
            while run(context, path, kind, max_seconds if kills < n_kills else None, rng):
                steps, valid, interrupted = check(path, steps)
                kills, n_valid = kills + 1, n_valid + valid
                n_interrupted += interrupted
            identical.append(bool((csc.load(path).atoms_ == expected).all()))
            files = {file.name for file in run_folder.iterdir()}
            other_files |= files - {"atoms.npz", "atoms.npz.before"}
    return {
        "kills": kills, "checkpoint_valid": n_valid, "killed_during_write": n_interrupted,
        "runs": len(identical), "bit_identical": sum(identical), "files_left_over": len(other_files),
    }  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench kill", description=__doc__)
    parser.add_argument("--kills", type=integer(1), default=50)
    parser.add_argument(
        "--seed", type=integer(0, 2**32 - 1), default=0, help="random seed of the times (0)"
    )
    args = parser.parse_args(argv)
    rng = np.random.default_rng(args.seed)
    kills_by_kind = {"online": args.kills // 2, "batch": args.kills - args.kills // 2}
    for kind, n_kills in kills_by_kind.items():
        if n_kills:
            print_json(bench="kill", case=kind, **survive(kind, n_kills, MAX_SECONDS_TO_KILL, rng))
