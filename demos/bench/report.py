"""Timing, and one JSON line for each case with its figures, the machine and the versions."""

import gc
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

PACKAGES = ("mlcsc", "numpy", "scipy", "numba", "scikit-learn", "spams-bin", "sporco", "torch")


def best_time(function, repeats=3):
    """Return the shortest wall-clock seconds of ``repeats`` calls, and the last return value."""
    seconds = float("inf")
    gc.collect()
    for _ in range(repeats):
        start = perf_counter()
        result = function()
        seconds = min(seconds, perf_counter() - start)
    return seconds, result


def print_json(**case):
    """Print one JSON line: the case, the machine, the commit, the versions."""
    print(json.dumps(case | {"machine": machine(), "commit": commit(), "versions": versions()}))


def machine():
    """Return the processor and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def commit():
    """Return the commit of the working tree, with a plus sign if there are changes."""
    try:
        here = Path(__file__).parent
        run = ["git", "describe", "--always", "--dirty=+"]
        return subprocess.check_output(run, cwd=here, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions():
    """Return the versions of Python and of the packages."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
