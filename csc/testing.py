"""Checks for user-defined operators and penalties, without reference results.

They raise AssertionError with the numbers that disagree.
"""

from typing import Any

import numpy as np

from csc._backend import namespace
from csc._typing import Array, Penalty, Rng, Shape


def dot_test(dictionary: Any, signal_shape: Shape, n_signals: int = 2, rng: Rng = None) -> None:
    """Check that the synthesis of a dictionary matches its two adjoints.

    ``<D z, x> = <z, D^T x> = <d, adjoint_atoms(x, z)>`` must hold for random x and z, up to
    rounding.

    Parameters
    ----------
    dictionary : Dictionary
    signal_shape : tuple
        Spatial shape *S* of the random signals.
    n_signals : int
        Number of random signals.
    rng : numpy.random.Generator or seed

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.testing.dot_test(csc.Dictionary(np.ones((3, 1, 2, 2))), (5, 6), rng=0)
    """
    rng, xp = np.random.default_rng(rng), namespace(dictionary.atoms)
    channels = dictionary.atoms.shape[1]

    def draw(*shape):
        return xp.asarray(rng.standard_normal(shape), dtype=dictionary.dtype)

    x = draw(n_signals, channels, *signal_shape)
    z = draw(n_signals, dictionary.n_atoms, *dictionary.spatial_code_shape(signal_shape))
    synthesised = dictionary(z, signal_shape)
    synthesis, scale = _inner(synthesised, x), _norm(synthesised) * _norm(x)
    analysis = _inner(z, dictionary.adjoint(x))
    learning = _inner(dictionary.atoms, dictionary.adjoint_atoms(x, z))
    tolerance = 10 * np.finfo(dictionary.dtype).eps * x.size**0.5 * scale
    np.testing.assert_allclose([analysis, learning], synthesis, rtol=0, atol=tolerance)


def check_prox(penalty: Penalty, step: float = 0.7, points: Array | None = None) -> None:
    """Check the proximal operator of a separable penalty against a grid search.

    Parameters
    ----------
    penalty : penalty with ``value`` and ``prox``
    step : float
        Length of the proximal step.
    points : array, optional
        Points at which to test. Default: 41 points in [-3, 3].

    Examples
    --------
    >>> import csc
    >>> csc.testing.check_prox(csc.L0(0.5))
    """
    points = np.linspace(-3, 3, 41) if points is None else points
    grid = np.append(np.linspace(-4, 4, 1601), 0.0)
    values = np.array([penalty.value(np.array([u])) for u in grid])
    for v in points:
        best = (step * values + 0.5 * (grid - v) ** 2).min()
        answer = penalty.prox(np.array([v]), step)
        found = step * penalty.value(answer) + 0.5 * float(answer[0] - v) ** 2
        if not found <= best + 1e-12:
            raise AssertionError(f"prox({v}) = {answer[0]} has objective {found}, the grid {best}")


def _inner(a, b):
    return float((a.astype("float64") * b.astype("float64")).sum())


def _norm(a):
    return _inner(a, a) ** 0.5
