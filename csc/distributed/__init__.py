"""Past one machine: learning and coding on Dask (extra ``distributed``).

The estimators are those of `csc`; their signals lie on workers. Nothing here moves bytes between
machines: that is Dask's work, and so are the choice of workers, the dashboard, and what was lost
with a worker, which Dask computes again.
"""

from csc.distributed._codes import DaskCodes, read_codes
from csc.distributed._fit import fit, plan, transform
from csc.distributed._image import DaskSolution, sparse_code
from csc.distributed._signals import DaskSignals

__all__ = [
    "DaskCodes", "DaskSignals", "DaskSolution", "fit", "plan", "read_codes", "sparse_code",
    "transform",
]  # fmt: skip
