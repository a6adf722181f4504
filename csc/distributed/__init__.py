"""More than one machine: learning and coding on Dask (extra ``distributed``).

The estimators are those of `csc`; their signals stay on the workers. Dask moves data between
machines, assigns tasks to workers, shows its dashboard, and recomputes what is lost with a worker.

Here: learning and coding of many signals (`fit`, `transform`, `memory_plan`), and sparse coding of
one signal of any size, block by block with halos (`sparse_code`).

May import: all but `csc.analysis`, `csc.plot`, `csc.theory` and `csc.interop`; nothing imports it.

A new operation on Dask: its tasks in ``_tasks.py``, tested to give the same bits as on one machine.
"""

from csc.distributed._block_solve import DaskSolution, sparse_code
from csc.distributed._codes import DaskCodes, read_codes
from csc.distributed._dask_data import DaskSignals
from csc.distributed._fit import fit, memory_plan, transform

__all__ = [
    "DaskCodes", "DaskSignals", "DaskSolution", "fit", "memory_plan", "read_codes", "sparse_code",
    "transform",
]  # fmt: skip
