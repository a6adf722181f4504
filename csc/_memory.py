"""Checks of the available memory before a computation starts."""

import os
from math import inf
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MIN_CHECKED_BYTES = 2**26  # smaller requests are not checked


def available():
    """Bytes that this process can still allocate; infinite if the system does not report it."""
    return min(_of_machine(), _of_group())


def check_memory(what, n_bytes, hint, limit=None):
    """Raise MemoryError if ``what`` needs more bytes than ``limit``, by default those available."""
    if n_bytes <= MIN_CHECKED_BYTES:
        return
    limit = available() if limit is None else limit
    if n_bytes > limit:
        raise MemoryError(
            f"{what} takes about {n_bytes:,} bytes, {int(limit):,} are available; {hint}"
        )


def _of_machine():
    """Bytes available on the machine."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable"))
        return 1024 * int(found.split()[1])
    except (OSError, StopIteration):  # not Linux: the total memory, used or not
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return inf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_group():
    """Bytes that the control group of a container leaves."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        pages = (CGROUP / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return inf
    cached = int(pages[pages.index("inactive_file") + 1]) if "inactive_file" in pages else 0
    return inf if limit == "max" else int(limit) - used + cached
