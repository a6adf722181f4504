"""SIGKILL at random moments of learning: what is lost, and what resuming gives.

A process learns atoms and writes a checkpoint after every step. It is killed at a random moment,
maybe amid a write; another one resumes from the file and is killed in turn, until one ends. Then
its atoms must be those of a process that was left alone, bit for bit, at every kill the
checkpoint must be whole, and no other file may stay. Learning online and in batch take turns.
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
from demos.bench.report import show

KINDS = {
    "online": {"batch_size": 1, "crop": (40, 40), "max_iter": 20},
    "batch": {"batch_size": None, "max_iter": 60},
}
LONGEST = 0.5  # seconds that a process is left alone, at most


def learner(kind, **changes):
    """A learner with everything that a step can do."""
    options = {"tol": 0, "random_state": 0, "recentre_every": 7, **KINDS[kind]}
    return csc.DictionaryLearning(8, (6, 6), 2.0, **(options | changes))


def fit(path, kind, begun):
    """Learn from where the checkpoint left off, or from the beginning."""
    if os.name == "posix":  # locks made now on have no names that a kill would leave behind
        multiprocessing.set_start_method("fork", force=True)
    X = np.random.default_rng(0).laplace(size=(3, 1, 48, 48)).astype("float32")
    learner(kind, max_iter=3).fit(X)  # compiles, so that the moments are those of learning
    begun.send(True)
    model = learner(kind, checkpoint=path, checkpoint_every=1)
    (csc.resume(path) if path.exists() else model).fit(X)


def run(context, path, kind, longest=None, rng=None):
    """Whether a process was killed before it came to its end."""
    begun, here = context.Pipe(duplex=False)
    process = context.Process(target=fit, args=(path, kind, here))
    process.start()
    here.close()
    begun.recv()
    if longest is not None:
        sleep(longest * rng.random())
        process.kill()
    process.join()
    if process.exitcode > 0:
        raise RuntimeError(f"learning ended with exit code {process.exitcode}")
    return process.exitcode < 0


def check(path, steps):
    """Steps in the checkpoint, whether it was found whole, and whether a write was cut off."""
    if not path.exists():
        return steps, steps == 0, False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no other checkpoint than the last may be needed
        now = csc.load(path).state_.n_steps
    cut = any(file.suffix == ".part" for file in path.parent.iterdir())
    return now, now >= steps, cut


def survive(kind, n_kills, longest, rng):
    """Kill that many processes, and let the last one end; what happened."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["demos.bench.kill", "csc.learning"])
    kills, whole, cut, identical, litter = 0, 0, 0, [], set()
    with tempfile.TemporaryDirectory() as folder:
        run(context, Path(folder, "alone.npz"), kind)
        goal = csc.load(Path(folder, "alone.npz")).atoms_
        while kills < n_kills:
            home = Path(folder, str(len(identical)))
            home.mkdir()
            path, steps = home / "atoms.npz", 0
            while run(context, path, kind, longest if kills < n_kills else None, rng):
                steps, was_whole, was_cut = check(path, steps)
                kills, whole, cut = kills + 1, whole + was_whole, cut + was_cut
            identical.append(bool((csc.load(path).atoms_ == goal).all()))
            litter |= {p.name for p in home.iterdir()} - {"atoms.npz", "atoms.npz.before"}
    return {
        "kills": kills, "checkpoint_whole": whole, "amid_a_write": cut, "runs": len(identical),
        "bit_identical": sum(identical), "files_left_over": len(litter),
    }  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench kill", description=__doc__)
    parser.add_argument("--kills", type=integer(1), default=50)
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="of the moments")
    args = parser.parse_args(argv)
    rng = np.random.default_rng(args.seed)
    shares = {"online": args.kills // 2, "batch": args.kills - args.kills // 2}
    for kind, n_kills in shares.items():
        if n_kills:
            show(bench="kill", case=kind, **survive(kind, n_kills, LONGEST, rng))
