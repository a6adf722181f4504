"""The memory of this process: what is available before a computation starts, and what is kept after it."""

import ctypes
import os
import platform
from functools import cache
from math import inf
from pathlib import Path

CGROUP, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# files of a control group with its limit and its use, and the name of its cached bytes in a third file
GROUP_FILES_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
GROUP_FILES_2 = "memory.max", "memory.current", "inactive_file"
TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"  # the choice of a user, or of a Dask nanny
MMAP_VARIABLE = "MALLOC_MMAP_THRESHOLD_"
TUNABLES = ("glibc.malloc.trim_threshold", "glibc.malloc.mmap_threshold")  # the same two
TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc
KEPT_BYTES = 2**28  # free memory at the end of the heap that is not returned to the system
MAX_HEAP_ARRAY_BYTES = 2**25  # larger arrays get pages of their own; the maximum of glibc
MIN_CHECKED_BYTES = 2**26  # smaller requests are not checked


def available():
    """Bytes that this process can still allocate; infinite if the system does not report it."""
    return min(_of_machine(), *(_of_group(*group) for group in _groups()))


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


def _groups():
    """Folders and files of the control groups around this process: of a container, or a job of a cluster."""
    yield CGROUP, GROUP_FILES_2  # what a container sees as its own
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if "memory" in kinds.split(","):
            root, files = CGROUP / "memory", GROUP_FILES_1
        elif not kinds:
            root, files = CGROUP, GROUP_FILES_2
        else:
            continue
        own = root / path.strip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder, files


def _of_group(folder, files):
    """Bytes that a control group leaves; infinite if it has no limit."""
    limit, used, cached = files
    try:
        limit = (folder / limit).read_text().strip()
        used = int((folder / used).read_text())
        pages = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return inf
    cached = int(pages[pages.index(cached) + 1]) if cached in pages else 0
    return inf if limit == "max" else int(limit) - used + cached


@cache
def keep_freed():
    """Let this process keep freed memory for later arrays; has an effect on the first call only.

    Else glibc returns freed arrays at the end of its heap to the system, which has to zero the
    pages of the next ones, and to interrupt all other threads. Solves on large signals took up to
    1.2 times as long, on two threads up to 1.5 times. The process keeps at most 256 MiB. Nothing
    is changed with other C libraries, or if the environment sets ``MALLOC_TRIM_THRESHOLD_``,
    ``MALLOC_MMAP_THRESHOLD_`` or one of them in ``GLIBC_TUNABLES``.

    Returns
    -------
    bool
        Whether a setting was changed.
    """
    return TRIM_VARIABLE not in os.environ and _keep_freed()


@cache
def keep_freed_of_worker():
    """The same in a worker whose Dask nanny set ``MALLOC_TRIM_THRESHOLD_``; others are not changed."""
    return TRIM_VARIABLE in os.environ and _keep_freed()


def _keep_freed():
    if platform.libc_ver()[0] != "glibc" or _is_chosen():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM, KEPT_BYTES) and mallopt(MMAP, MAX_HEAP_ARRAY_BYTES))


def _is_chosen():
    """Whether the environment sets a threshold otherwise than a Dask nanny does."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return MMAP_VARIABLE in os.environ or any(name in tunables for name in TUNABLES)
