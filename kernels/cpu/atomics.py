"""Phases that threads share inside of a kernel.

A phase may take some tens of microseconds, less than it takes to wake another thread. So threads stay in
one call for all its phases: each claims a part, works on it, and says when that is finished; no thread
begins the next phase before all parts of this one are finished. A thread that comes late finds
nothing to claim, and delays none.
"""

import ctypes
import os
from typing import NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from csc.kernels.cpu.compilation import inner

POLLS_BEFORE_YIELD = 1024  # one or two microseconds
YIELD = "csc_yield_core"

_system = ctypes.windll.kernel32 if os.name == "nt" else ctypes.CDLL(None)
_yield = _system.SwitchToThread if os.name == "nt" else _system.sched_yield
binding.add_symbol(YIELD, ctypes.cast(_yield, ctypes.c_void_p).value)  # stored kernels find it, too


@intrinsic
def add_one(typing, counters, i):  # noqa: ARG001
    """Add 1 to ``counters[i]`` of a flat int64 array, and return the value before.

    No two threads get the same. A thread that finds the new value sees all that this one wrote.
    """

    def generate(context, builder, signature, given):
        place = _place(context, builder, signature, given)
        return builder.atomic_rmw("add", place, ir.IntType(64)(1), "acq_rel")

    return types.int64(counters, types.int64), generate


@intrinsic
def _current(typing, counters, i):  # noqa: ARG001
    """``counters[i]`` as other threads left it, not as this one read it before."""

    def generate(context, builder, signature, given):
        return builder.load_atomic(_place(context, builder, signature, given), "acquire", 8)

    return types.int64(counters, types.int64), generate


@intrinsic
def _yield_core(typing):  # noqa: ARG001
    """Let other threads of this core run, if there are any."""

    def generate(context, builder, signature, given):  # noqa: ARG001
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, YIELD), [])
        return context.get_dummy_value()

    return types.void(), generate


class Phases(NamedTuple):
    """What threads know of each other. `csc.kernels.cpu.threads.in_phases` makes it."""

    claims: np.ndarray  # (n_phases * n_parts,), int64: how many threads asked for each part
    finished: np.ndarray  # (n_phases,), int64: parts
    n_threads: int


@inner()
def claim(phases, phase, n_parts, thread, i):
    """The i-th part that a thread should ask for in a phase, or -1 if another one has it.

    Each thread begins at a place of its own, the same in each phase: its data are in the cache of its core.
    """
    part = (thread * n_parts // phases.n_threads + i) % n_parts
    first = phase * (len(phases.claims) // len(phases.finished))
    return part if add_one(phases.claims, first + part) == 0 else -1


@inner()
def finish(phases, phase):
    """Say that a part is finished."""
    add_one(phases.finished, phase)


@inner()
def wait_for_all(phases, phase, n_parts):
    """Wait until all parts of a phase are finished.

    Where cores are busy, the thread waited for may not be running: without yielding, two threads took up
    to twice as long as one.
    """
    polls = 0
    while _current(phases.finished, phase) < n_parts:
        polls += 1
        if polls % POLLS_BEFORE_YIELD == 0:
            _yield_core()


def _place(context, builder, signature, given):
    array = context.make_array(signature.args[0])(context, builder, given[0])
    return builder.gep(array.data, [given[1]])
