"""The default solver of each problem."""

from csc.solvers._conv_omp import ConvOMP
from csc.solvers._coordinate_descent import CoordinateDescent
from csc.solvers._fista import FISTA
from csc.solvers._group_descent import GroupDescent
from csc.solvers._measured_working_set import MeasuredWorkingSet
from csc.solvers._ml_admm import MLADMM
from csc.solvers._ml_ista import MLISTA
from csc.solvers._omp import OMP
from csc.solvers._primal_dual import PrimalDual
from csc.solvers._reweighted import Reweighted
from csc.solvers._working_set import WorkingSet


def fastest(problem, tol=1e-4):
    """Return the first of the solvers, fastest first, that supports the problem.

    The working set gets a smaller tolerance than ``tol``: it computes its gap in the precision of
    the signals, the certificate in float64. Where solves are exact, a smaller one costs little.
    """
    if hasattr(problem, "layers"):
        return MLADMM() if problem.is_convex else MLISTA()
    margin = 0.1 if problem.structure.is_patch or problem.structure.is_small else 0.8
    candidates = (
        WorkingSet(margin * tol),
        OMP(),
        ConvOMP(weak_factor=0.5),
        CoordinateDescent(tol),
        GroupDescent(margin * tol),
        MeasuredWorkingSet(margin * tol),
        Reweighted(margin * tol),
        FISTA(),
        PrimalDual(),
    )
    for solver in candidates:
        if solver.supports(problem):
            return solver
    raise ValueError(
        f"no solver takes a data term {problem.data_term!r} with the penalty {problem.penalty!r}; take a "
        "convex penalty such as csc.L1, or a smooth data term such as csc.data_terms.Huber"
    )
