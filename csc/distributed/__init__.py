"""More than one machine: learning and coding on Dask (extra ``distributed``).

The estimators are those of `csc`; their signals lie on workers. Dask moves the bytes between
machines, chooses workers, shows its dashboard, and computes again what was lost with a worker.

Here: learning and coding of many signals (`fit`, `transform`, `memory_plan`), and of one signal of any
size by blocks with a halo (`sparse_code`).

May import: all but `csc.analysis`, `csc.plot`, `csc.theory` and `csc.interop`; nothing imports it.

A new operation on Dask: its tasks in ``_tasks.py``, checked against one machine to the last bit.
"""

from csc.distributed._block_solve import DaskSolution, sparse_code
from csc.distributed._codes import DaskCodes, read_codes
from csc.distributed._dask_data import DaskSignals
from csc.distributed._fit import fit, memory_plan, transform

__all__ = [
    "DaskCodes", "DaskSignals", "DaskSolution", "fit", "memory_plan", "read_codes", "sparse_code",
    "transform",
]  # fmt: skip
