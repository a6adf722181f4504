"""Work that cannot fit into memory is refused before it starts."""

import os
from math import inf
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
SMALL = 2**26  # bytes that are not worth a look at what is left


def available():
    """Bytes that this process may still take; infinite where the system does not say."""
    return min(_of_machine(), _of_group())


def check_memory(what, n_bytes, mend, least=None):
    """Raise MemoryError, with both numbers, if ``what`` takes more bytes than there are."""
    if n_bytes <= SMALL:
        return
    least = available() if least is None else least
    if n_bytes > least:
        raise MemoryError(
            f"{what} takes about {n_bytes:,} bytes, {int(least):,} are available; {mend}"
        )


def _of_machine():
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable"))
        return 1024 * int(found.split()[1])
    except (OSError, StopIteration):  # not Linux: all there is, used or not
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return inf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_group():
    """What the control group of a container leaves."""
    try:
        most = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        pages = (CGROUP / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return inf
    cached = int(pages[pages.index("inactive_file") + 1]) if "inactive_file" in pages else 0
    return inf if most == "max" else int(most) - used + cached
