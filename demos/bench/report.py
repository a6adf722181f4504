"""Timing, and one JSON line a case with all that the figure hangs on."""

import gc
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

PACKAGES = ("mlcsc", "numpy", "scipy", "numba", "scikit-learn", "spams-bin", "sporco")


def best_time(work, repeats=3):
    """Least wall-clock seconds of ``repeats`` runs, and what the last run returned."""
    least = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = perf_counter()
        result = work()
        least = min(least, perf_counter() - start)
    return least, result


def show(**case):
    """Print one JSON line: the case, the machine, the commit, the versions."""
    print(json.dumps(case | {"machine": machine(), "commit": commit(), "versions": versions()}))


def machine():
    """Processor and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def commit():
    """Commit of the working tree, with a plus sign if it has changes."""
    try:
        here = Path(__file__).parent
        run = ["git", "describe", "--always", "--dirty=+"]
        return subprocess.check_output(run, cwd=here, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions():
    """Installed versions of all that takes part."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
