"""Terms on differences of codes, or of the reconstruction, as channels of the signals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_gradient_weights, check_number
from csc.data_terms import ByChannel, ChannelNorm, LeastAbsolute, LeastSquares
from csc.operators import Dictionary
from csc.problems._problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class _ProblemWithTerms(Problem):
    """A problem whose first channels are those of the signals; the others hold further terms."""

    n_signal_channels: int = 1


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
        With any data term, mode "circular" (differences wrap around) or "full" (codes beyond their
        array are zero), stride 1, and atoms of at least two samples along each axis.
    weights : array (K,)
        ``w_k >= 0``; atoms of weight 0 add no channels.

    Returns
    -------
    Problem
        Where all weights are 0, ``problem`` itself.

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
    if not weights.any():
        return problem
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
    least_squares = type(problem.data_term) is LeastSquares
    return _with_channels(problem, atoms, None if least_squares else LeastSquares())


def with_total_variation(problem: Problem, weight: float, *, isotropic: bool = False) -> Problem:
    """Add ``weight * sum |differences of D z|`` to a problem: total variation of the reconstruction [1]_.

    The sum has the differences between each sample and the one before it along each axis (anisotropic total
    variation), or at each sample the Euclidean norm of its differences along all axes and in all channels
    (isotropic, or vector, total variation). Differences are channels with a data term of their own: the first C channels of
    the signals and the reconstructions of the problem returned are those of ``problem``, and its codes are the codes sought.
    It may be combined with `with_gradient_term`, in either order.

    Parameters
    ----------
    problem : Problem
        Of mode "circular" (differences wrap around) and stride 1, with a data term without weights.
    weight : float
        > 0.
    isotropic : bool

    Returns
    -------
    Problem

    References
    ----------
    .. [1] L. I. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms",
       Physica D 60, 1992.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.ones((1, 1, 1)), "circular")
    >>> x = np.array([[[0.0, 0.1, 4.0, 4.1]]])
    >>> problem = csc.problems.with_total_variation(csc.Problem(x, D, csc.L1(1e-3)), 0.5)
    >>> csc.solve(problem, tol=1e-6).codes.ravel().round(2)
    array([0.55, 0.55, 3.55, 3.55])
    """
    check_number("weight", weight, strict=True)
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a csc.Problem, got {type(problem).__name__}")
    D, xp = problem.dictionary, namespace(problem.x)
    if D.mode != "circular" or not D.geometry.is_dense or problem.data_term.weights is not None:
        raise ValueError(
            "problem must have mode 'circular', stride 1 and no weights of samples for total "
            f"variation, got {problem!r}"
        )
    ndim = D.atoms.ndim
    whole = xp.pad(D.atoms, [(0, 0), (0, 0), *[(0, 1)] * (ndim - 2)])
    if any(s > n for s, n in zip(whole.shape[2:], problem.x.shape[2:], strict=True)):
        raise ValueError(
            f"atoms of {D.atom_shape} must be smaller than the signals along each axis for total "
            f"variation, got signals of {problem.x.shape[2:]}"
        )
    own = whole[:, : _n_signal_channels(problem)]
    shifted = [xp.roll(own, 1, axis) for axis in range(2, ndim)]
    atoms = xp.concatenate([whole, *(weight * (a - own) for a in shifted)], axis=1)
    term = ChannelNorm() if isotropic else LeastAbsolute()
    return _with_channels(problem, atoms, term)


def _with_channels(problem, atoms, term):
    """The problem with more channels, whose signals are 0; their data term, or None for the same."""
    xp, D = namespace(problem.x), problem.dictionary
    n, c, *spatial = problem.x.shape
    new = atoms.shape[1] - c
    x = xp.concatenate([problem.x, xp.zeros((n, new, *spatial), D.dtype)], axis=1)
    mask, weights = problem.mask, problem.data_term.weights
    if mask is not None:
        seen = xp.broadcast_to(mask, problem.x.shape) != 0
        mask = xp.concatenate([seen, xp.ones((n, new, *spatial), bool)], axis=1)
    if weights is not None:
        own = xp.broadcast_to(weights, problem.x.shape)
        weights = xp.concatenate([own, xp.ones((n, new, *spatial), own.dtype)], axis=1)
    data_term = replace(problem.data_term, weights=weights if term is None else None)
    if term is not None:
        data_term = ByChannel([(c, data_term), (new, term)], weights)
    D = Dictionary(atoms, D.mode)
    n_own = _n_signal_channels(problem)
    return _ProblemWithTerms(x, D, problem.penalty, mask, data_term, n_own)


def _n_signal_channels(problem):
    """How many channels are those of the signals; the others hold terms that were added before."""
    return getattr(problem, "n_signal_channels", problem.x.shape[1])


def _checked(problem: Any, weights: Array) -> np.ndarray:
    """Weights as an array of floats, after a check of both arguments."""
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a csc.Problem, got {type(problem).__name__}")
    D = problem.dictionary
    fits = D.is_convolution and D.mode in ("circular", "full") and D.geometry.is_dense
    if not fits or min(D.atom_shape) < 2:
        raise ValueError(
            "problem must have mode 'circular' or 'full', stride 1 and atoms of at least two samples "
            f"along each axis for a gradient term, got {D!r}"
        )
    return check_gradient_weights("weights", weights, D.n_atoms)
