"""Solvers: pursuits, one a file, each with the equations of its paper.

Here: one file for each solver. A solver sees a problem only through its methods. It has
``supports(problem)``, ``init(problem, z0)`` and ``step(problem, state)``; `csc.solve` runs it until
its certificate says that it is done (``_run.py``), and takes the fastest that supports the problem
(``_select.py``).

May import: `csc.data_terms`, `csc.operators`, `csc.penalties`, `csc.certificates`, `csc.problems`, `csc.theory`,
and the modules of `csc` whose
names begin with ``_``.

A new solver: a file with a frozen dataclass and a NamedTuple for its state, checked iterate by
iterate against a dense transcription of the paper in ``tests``.
"""

from csc.solvers._active_set import ActiveSet
from csc.solvers._admm import ADMM
from csc.solvers._conv_omp import ConvOMP
from csc.solvers._coordinate_descent import CoordinateDescent
from csc.solvers._fista import FISTA
from csc.solvers._greedy import GreedyState
from csc.solvers._greedy_fista import GreedyFISTA
from csc.solvers._group_descent import GroupDescent
from csc.solvers._holistic_pursuit import HolisticPursuit
from csc.solvers._ista import ISTA
from csc.solvers._layered_basis_pursuit import LayeredBasisPursuit
from csc.solvers._layered_thresholding import LayeredThresholding
from csc.solvers._measured_working_set import MeasuredWorkingSet
from csc.solvers._ml_admm import MLADMM
from csc.solvers._ml_fista import MLFISTA
from csc.solvers._ml_ista import MLISTA
from csc.solvers._omp import OMP
from csc.solvers._primal_dual import PrimalDual
from csc.solvers._projection_pursuit import ProjectionPursuit
from csc.solvers._reweighted import Reweighted
from csc.solvers._run import (
    Outcome,
    Progress,
    Status,
    converged,
    is_sparse,
    iterate,
    ratio,
    stalled,
    start,
)
from csc.solvers._select import fastest
from csc.solvers._simultaneous_omp import SimultaneousOMP
from csc.solvers._working_set import WorkingSet

__all__ = [
    "ADMM", "FISTA", "ISTA", "MLADMM", "MLFISTA", "MLISTA", "OMP", "ConvOMP", "CoordinateDescent",
    "GreedyFISTA", "GroupDescent", "HolisticPursuit", "LayeredBasisPursuit", "LayeredThresholding", "MeasuredWorkingSet",
    "PrimalDual", "ProjectionPursuit", "Reweighted", "SimultaneousOMP", "Status", "WorkingSet",
]  # fmt: skip
