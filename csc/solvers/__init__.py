"""Pursuits, one a file. They see a problem only through its methods."""

from csc.solvers.coordinate_descent import CoordinateDescent
from csc.solvers.fista import FISTA
from csc.solvers.ista import ISTA
from csc.solvers.omp import OMP
from csc.solvers.working_set import WorkingSet

__all__ = ["FISTA", "ISTA", "OMP", "CoordinateDescent", "WorkingSet", "fastest"]


def fastest(problem, tol=1e-4):
    """Return the first of the solvers, fastest first, that suits the problem.

    The working set is asked for a tenth of ``tol``: it judges itself in the precision of the
    signals, the certificate in float64, and being exact it pays little for the margin.
    """
    candidates = (WorkingSet(tol / 10), OMP(), CoordinateDescent(tol), FISTA())
    return next(solver for solver in candidates if solver.suits(problem))
