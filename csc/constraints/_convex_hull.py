"""Atoms that are means of given points."""

from dataclasses import dataclass

import numpy as np

from csc._backend import namespace
from csc._norms import to_unit_range
from csc._typing import Array
from csc._validation import check_real
from csc.constraints._sets import Constraint

HULL_ROUNDING = 1e-13  # of the largest squared distance of a point: the nearest point is found
WEIGHT_ROUNDING = 1e-14  # of a weighted mean: less is 0
TINY = 1e-300  # against division by 0


@dataclass(frozen=True, eq=False)
class ConvexHull(Constraint):
    """Atoms that are weighted means of given points, with weights >= 0 whose sum is one.

    With ``csc.Simplex()`` for the codes, learning on the points is archetypal analysis [1]_: atoms are
    means of signals, and signals are represented by means of atoms.

    Parameters
    ----------
    points : array (P, C, *s), float32 or float64
        NumPy's; usually the signals, of the shape of an atom.

    References
    ----------
    .. [1] A. Cutler, L. Breiman, "Archetypal analysis", Technometrics 36(4), 1994.

    Examples
    --------
    >>> import numpy as np, csc
    >>> triangle = np.array([[[0.0, 0.0]], [[4.0, 0.0]], [[0.0, 4.0]]])
    >>> csc.constraints.ConvexHull(triangle).project(np.array([[[3.0, 3.0]], [[1.0, 1.0]]])).round(6)
    array([[[2., 2.]],
    <BLANKLINE>
           [[1., 1.]]])
    """

    points: Array

    def __post_init__(self):
        points = check_real("points", self.points)
        if namespace(points) is not np or points.ndim < 3 or 0 in points.shape:
            raise ValueError(
                f"points must be a NumPy array (P, C, *s) that is not empty, got shape {points.shape}"
            )
        if not np.isfinite(points).all():
            raise ValueError("points must be finite, got NaN or inf")
        object.__setattr__(self, "points", points)

    def __repr__(self):
        return f"ConvexHull(points {self.points.shape})"

    def project(self, atoms: Array) -> Array:
        """The nearest point of the hull, for each atom."""
        atoms, points = check_real("atoms", atoms), self.points
        if atoms.shape[1:] != points.shape[1:]:
            raise ValueError(
                f"points of shape {points.shape} are not of the shape of atoms {atoms.shape}"
            )
        if namespace(atoms) is not np:
            raise TypeError("ConvexHull needs NumPy arrays")
        rows, flat = (a.reshape(len(a), -1).astype("float64") for a in (atoms, points))
        nearest = []
        for row in rows:
            scaled, exponent = to_unit_range(np.vstack([flat, row]), (0, 1))
            nearest.append(np.ldexp(_nearest_in_hull(scaled[:-1], scaled[-1]), exponent[0]))
        return np.reshape(nearest, atoms.shape).astype(atoms.dtype)


def _nearest_in_hull(points, row):
    """The point of the convex hull of the rows of ``points`` that is nearest to ``row`` [1]_.

    The nearest point is a mean of few points, the corral. Add the point that lies furthest in the
    direction of ``row``; move to the nearest point of the corral's affine hull, or, where a weight
    would be negative, as far as the weights allow, and drop the point of weight 0.

    References
    ----------
    .. [1] P. Wolfe, "Finding the nearest point in a polytope", Math. Program. 11, 1976.
    """
    moved = points - row
    energies = np.einsum("pi,pi->p", moved, moved)
    tolerance = HULL_ROUNDING * energies.max()
    corral = np.array([energies.argmin()])
    weights, before = np.ones(1), np.inf
    while True:
        nearest = weights @ moved[corral]
        products, distance = moved @ nearest, nearest @ nearest
        new = products.argmin()
        if distance - products[new] <= tolerance or distance >= before:
            return row + nearest
        before = distance
        corral, weights = np.append(corral, new), np.append(weights, 0.0)
        while True:
            affine = _affine_weights(moved[corral])
            if (affine > 0).all():
                weights = affine
                break
            down = affine <= 0
            step = (weights[down] / (weights[down] - affine[down])).min()
            weights = weights + step * (affine - weights)
            kept = weights > WEIGHT_ROUNDING
            corral, weights = corral[kept], weights[kept] / weights[kept].sum()


def _affine_weights(points):
    """Weights with sum 1, of any sign, whose mean of the rows of ``points`` is nearest to 0."""
    gram = points @ points.T
    scale = np.trace(gram) / len(gram) + TINY
    weights = np.linalg.lstsq(gram / scale + 1, np.ones(len(gram)), rcond=None)[0]
    return weights / weights.sum()
