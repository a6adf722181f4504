"""Run by test_threads: the calls that are named, in this process, then in a forked one, then from two threads.

Writes lines of JSON, also before a call from two threads, which may end the process.
"""

import json
import multiprocessing
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numba
import numpy as np
from project.test_array_kinds import CALLS, numbers

from csc.kernels import cpu

SECONDS = 10  # for a call that takes milliseconds: longer is a hang


def use_threads_always():
    """Kernels go to the pool of threads however little there is to do."""
    for path in Path(cpu.__file__).parent.glob("*.py"):
        module = import_module(f"csc.kernels.cpu.{path.stem}")
        if path.stem != "threads" and hasattr(module, "in_batches"):
            module.in_batches = in_small_batches


def in_small_batches(kernel, n, *arguments, **options):
    cpu.threads.in_batches(kernel, n, *arguments, **options | {"min_batch": 1})


def run(name):
    array, call = CALLS[name]
    return numbers(call(array))


def tell(*line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def compare(name, place, waits):
    """Tell what went wrong at a call, or nothing."""
    try:
        for wait in waits:
            np.testing.assert_array_equal(wait(SECONDS), expected[name])
    except Exception as error:
        tell(name, place, repr(error))
    else:
        tell(name, place, "")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    use_threads_always()
    names = sys.argv[1:]
    expected = {name: run(name) for name in names}
    tell("", "layer", numba.threading_layer())
    with multiprocessing.get_context("fork").Pool(1) as children:
        for name in names:
            compare(name, "in a forked process", [children.apply_async(run, (name,)).get])
    with ThreadPoolExecutor(2) as threads:
        for name in names:
            tell(name, "from two threads", "it ended the process")
            both = [threads.submit(run, name).result for _ in range(2)]
            compare(name, "from two threads", both)
