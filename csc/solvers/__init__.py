"""Pursuits, one a file. They see a problem only through its methods."""

from csc.solvers.admm import ADMM
from csc.solvers.choice import fastest
from csc.solvers.conv_omp import ConvOMP
from csc.solvers.coordinate_descent import CoordinateDescent
from csc.solvers.fista import FISTA
from csc.solvers.greedy_fista import GreedyFISTA
from csc.solvers.holistic_pursuit import HolisticPursuit
from csc.solvers.ista import ISTA
from csc.solvers.layered_basis_pursuit import LayeredBasisPursuit
from csc.solvers.layered_thresholding import LayeredThresholding
from csc.solvers.ml_admm import MLADMM
from csc.solvers.ml_fista import MLFISTA
from csc.solvers.ml_ista import MLISTA
from csc.solvers.omp import OMP
from csc.solvers.projection_pursuit import ProjectionPursuit
from csc.solvers.working_set import WorkingSet

__all__ = [
    "ADMM", "FISTA", "ISTA", "MLADMM", "MLFISTA", "MLISTA", "OMP", "ConvOMP", "CoordinateDescent",
    "GreedyFISTA", "HolisticPursuit", "LayeredBasisPursuit", "LayeredThresholding",
    "ProjectionPursuit", "WorkingSet", "fastest",
]  # fmt: skip
