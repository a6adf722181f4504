"""Shared by the multi-layer pursuits: the effective problem of one layer, back-substitution."""

import numpy as np

from csc.penalties import L0
from csc.problems import Problem
from csc.theory import stripe_norm

ROUNDING_ULPS = 100  # units in the last place of the largest code


def effective_problem(problem):
    """The problem of one layer with the dictionary ``D_1 ... D_L``, without penalty."""
    return Problem(problem.x, problem.dictionary.effective(), L0(0.0))


def back_substitute(problem, z):
    """``(g_1, ..., g_L)`` with ``g_L = z`` and ``g_{i-1} = D_i g_i``, rounding errors set to 0."""
    _, *codes = problem.synthesize_all(z)
    return (*map(_without_rounding, codes[:-1]), z)


def stripe_norms(problem, codes):
    """``||g_i||_{0,inf}`` of every layer, each by its own dictionary: int array (L, N)."""
    layers = problem.dictionary.layers
    return np.stack([stripe_norm(g, D) for D, g in zip(layers, codes, strict=True)])


def _without_rounding(g):
    axes = tuple(range(1, g.ndim))
    top = abs(g).max(axis=axes, keepdims=True)
    return np.where(abs(g) > ROUNDING_ULPS * np.finfo(g.dtype).eps * top, g, 0)
