"""What pursuits ask of a multi-layer problem beside its own methods: one layer made of all."""

import numpy as np

from csc.penalties import L0
from csc.problems import Problem
from csc.theory import stripe_norm

ROUNDING = 100  # units in the last place of the largest code: what a sum of few terms may be off


def effective_problem(problem):
    """The signals explained by ``D_1 ... D_L`` as one `Dictionary`, codes without a price."""
    return Problem(problem.x, problem.dictionary.effective(), L0(0.0))


def back_substitute(problem, z):
    """``(g_1, ..., g_L)`` with ``g_L = z`` and ``g_{i-1} = D_i g_i``, what is rounding set to 0."""
    _, *codes = problem.synthesize_all(z)
    return (*map(_without_rounding, codes[:-1]), z)


def stripe_norms(problem, codes):
    """``||g_i||_{0,inf}`` of every layer, each by its own dictionary: int array (L, N)."""
    layers = problem.dictionary.layers
    return np.stack([stripe_norm(g, D) for D, g in zip(layers, codes, strict=True)])


def _without_rounding(g):
    axes = tuple(range(1, g.ndim))
    top = abs(g).max(axis=axes, keepdims=True)
    return np.where(abs(g) > ROUNDING * np.finfo(g.dtype).eps * top, g, 0)
