"""Checks for user-defined operators and penalties, without reference results.

They raise AssertionError with the numbers that disagree.
"""

from typing import Any

import numpy as np

from csc._backend import namespace
from csc._typing import Array, DataTerm, Penalty, Rng, Shape


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


def check_data_term(data_term: DataTerm, x: Array, fits: Array, steps: Any = (0.1, 3.0)) -> None:
    """Check a data term against a grid of fits: slope, prox, conjugate and parabolas.

    Parameters
    ----------
    data_term : data term with ``loss``, ``slope``, ``prox`` and ``conjugate``
    x : array (n,)
        Samples at which to test.
    fits : array (m,)
        Grid of fits, evenly spaced over the domain; it must hold the minimisers of the proxes.
    steps : sequence of floats
        Lengths of proximal steps.

    Examples
    --------
    >>> import numpy as np, csc
    >>> samples, fits = np.array([-1.0, 0.5]), np.linspace(-8, 8, 4001)
    >>> csc.testing.check_data_term(csc.data_terms.Huber(0.7), samples, fits)
    """
    grid, spacing = np.asarray(fits, "float64"), float(fits[1] - fits[0])
    for sample in np.asarray(x, "float64"):
        own = np.full_like(grid, sample)
        losses, slopes = data_term.loss(own, grid), data_term.slope(own, grid)
        _check_slopes(sample, losses, slopes, spacing)
        if hasattr(data_term, "majoriser_curvature"):
            _check_parabolas(data_term, own, grid, losses, slopes)
        for step in steps:
            for v in grid[:: max(1, len(grid) // 20)]:
                best = (step * losses + 0.5 * (grid - v) ** 2).min()
                u = data_term.prox(np.array([sample]), np.array([v]), step)
                found = step * data_term.loss(np.array([sample]), u)[0] + 0.5 * float(u[0] - v) ** 2
                if not found <= best + 1e-9:
                    raise AssertionError(f"prox({sample}, {v}) = {u[0]}: {found} > {best}")
        for t in slopes[:: max(1, len(grid) // 20)]:
            best = (-t * grid - losses).max()
            found = data_term.conjugate(np.array([sample]), np.array([t]))[0]
            if not best - 1e-9 <= found <= best + spacing**2 * (1 + abs(sample)) + 1e-9:
                raise AssertionError(f"conjugate({sample}, {t}) = {found}, on the grid {best}")


def _check_slopes(sample, losses, slopes, spacing):
    """The slope of a convex loss lies between its difference quotients."""
    differences = -np.diff(losses) / spacing
    slack = 1e-6 * (1 + abs(differences).max())
    if (
        not (differences <= slopes[:-1] + slack).all()
        or not (differences >= slopes[1:] - slack).all()
    ):
        raise AssertionError(f"the slope at x = {sample} is not that of the loss")


def _check_parabolas(data_term, own, grid, losses, slopes):
    """Parabolas that touch the loss at a fit lie above it everywhere."""
    curvatures = data_term.majoriser_curvature(own, grid)
    for i in range(0, len(grid), max(1, len(grid) // 20)):
        move = grid - grid[i]
        parabola = losses[i] - slopes[i] * move + 0.5 * curvatures[i] * move**2
        if not (parabola >= losses - 1e-9 * (1 + abs(losses))).all():
            raise AssertionError(f"the parabola at ({own[i]}, {grid[i]}) is not above the loss")


def _inner(a, b):
    return float((a.astype("float64") * b.astype("float64")).sum())


def _norm(a):
    return _inner(a, a) ** 0.5
