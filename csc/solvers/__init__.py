"""Pursuits, one a file. They see a problem only through its methods."""

from csc.solvers.coordinate_descent import CoordinateDescent
from csc.solvers.fista import FISTA
from csc.solvers.ista import ISTA
from csc.solvers.omp import OMP
from csc.solvers.working_set import WorkingSet

__all__ = ["FISTA", "ISTA", "OMP", "CoordinateDescent", "WorkingSet", "fastest"]


def fastest(problem, tol=1e-4):
    """Return the first of the solvers, fastest first, that suits the problem."""
    candidates = (WorkingSet(tol), OMP(), CoordinateDescent(tol), FISTA())
    return next(solver for solver in candidates if solver.suits(problem))
