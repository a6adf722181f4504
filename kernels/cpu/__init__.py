"""Numba kernels. Raw loops: no checks, and the caller allocates what they fill."""

from csc.kernels.cpu.conv import correlate, correlate_atoms, synthesize
from csc.kernels.cpu.descent import log_gram
from csc.kernels.cpu.omp import omp_gram
from csc.kernels.cpu.patch import lasso_gram

__all__ = ["correlate", "correlate_atoms", "lasso_gram", "log_gram", "omp_gram", "synthesize"]
