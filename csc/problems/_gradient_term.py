"""Quadratic terms on the codes, as channels of the signals."""

from dataclasses import replace
from typing import Any

import numpy as np

from csc._backend import namespace
from csc._typing import Array
from csc.operators import Dictionary
from csc.problems._problem import Problem


def with_gradient_term(problem: Problem, weights: Array) -> Problem:
    """Add ``1/2 sum_k w_k ||G z_k||^2`` to a problem, G the differences of neighbouring codes [1]_.

    Smooth maps for atoms that should be low-pass, such as a constant. The term is written as
    channels: ``sqrt(w_k)`` times the difference along each axis is a further channel of atom k, and
    of signals that are zero there. The problem returned therefore has a fast solver and a certified
    gap like any other; the first C channels of its signals and of its reconstructions are those of
    ``problem``, and its codes are the codes sought.

    Parameters
    ----------
    problem : Problem
        With least squares, mode "circular" (differences wrap around) or "full" (codes beyond their
        array are zero), stride 1, and atoms of at least two samples along each axis.
    weights : array (K,)
        ``w_k >= 0``; atoms of weight 0 add no channels.

    Returns
    -------
    Problem

    References
    ----------
    .. [1] B. Wohlberg, "Convolutional sparse representations as an image model for impulse noise
       restoration", IEEE IVMSP 2016.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.ones((1, 1, 2)), "circular")
    >>> x = np.array([[[0.0, 3.0, 3.0, 0.0]]])
    >>> problem = csc.problems.with_gradient_term(csc.Problem(x, D, csc.L1(0.1)), np.array([2.0]))
    >>> problem.x.shape, csc.solve(problem, tol=1e-9).codes.ravel().round(3)
    ((1, 2, 4), array([0.725, 1.225, 0.725, 0.225]))
    """
    weights = _checked(problem, weights)
    D, xp = problem.dictionary, namespace(problem.x)
    axes, atoms = range(D.atoms.ndim - 2), [D.atoms]
    for k in np.flatnonzero(weights):
        more = xp.zeros((D.n_atoms, len(axes), *D.atom_shape), D.dtype)
        for axis in axes:
            first, second = [0] * len(axes), [0] * len(axes)
            second[axis] = 1
            more[(k, axis, *first)] = -(weights[k] ** 0.5)
            more[(k, axis, *second)] = weights[k] ** 0.5
        atoms.append(more)
    atoms = xp.concatenate(atoms, axis=1)
    n, c, *spatial = problem.x.shape
    new = atoms.shape[1] - c
    x = xp.concatenate([problem.x, xp.zeros((n, new, *spatial), D.dtype)], axis=1)
    mask = problem.mask
    if mask is not None:
        seen = xp.broadcast_to(mask, problem.x.shape) != 0
        mask = xp.concatenate([seen, xp.ones((n, new, *spatial), bool)], axis=1)
    term = problem.data_term
    if term.weights is not None:
        own = xp.broadcast_to(term.weights, problem.x.shape)
        ones = xp.ones((n, new, *spatial), own.dtype)
        term = replace(term, weights=xp.concatenate([own, ones], axis=1))
    return Problem(x, Dictionary(atoms, D.mode), problem.penalty, mask, term)


def _checked(problem: Any, weights: Array) -> np.ndarray:
    """Weights as an array of floats, after a check of both arguments."""
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a csc.Problem, got {type(problem).__name__}")
    D, weights = problem.dictionary, np.asarray(weights, "float64")
    fits = D.is_convolution and D.mode in ("circular", "full") and D.geometry.is_dense
    if not fits or min(D.atom_shape) < 2:
        raise ValueError(
            "problem must have mode 'circular' or 'full', stride 1 and atoms of at least two samples "
            f"along each axis for a gradient term, got {D!r}"
        )
    if type(problem.data_term).__name__ != "LeastSquares":
        raise ValueError(
            f"problem must have a LeastSquares data term for a gradient term, got {problem.data_term!r}"
        )
    if weights.shape != (D.n_atoms,) or not (weights >= 0).all():
        raise ValueError(
            f"weights must be {D.n_atoms} numbers >= 0, one for each atom, got shape {weights.shape}"
        )
    return weights
