"""Atoms that are means of given points."""

from dataclasses import dataclass

import numpy as np

from csc._backend import namespace
from csc._norms import to_unit_range
from csc._typing import Array
from csc._validation import check_real
from csc.constraints._sets import Constraint

WEIGHT_ROUNDING = 1e-14  # of a weighted mean: less is 0
EPS = float(np.finfo("float64").eps)
SMALLEST_EXPONENT = -900  # of a hull that is scaled to size 1: farther rows would overflow


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
        nearest = [_nearest_weights(flat, row) @ flat for row in rows]
        return np.reshape(nearest, atoms.shape).astype(atoms.dtype)


def _nearest_weights(points, row):
    """Weights of the rows of ``points`` whose mean is the point of their hull nearest to ``row``."""
    scaled, _ = to_unit_range(np.vstack([points, row]), (0, 1))
    moved = scaled - scaled[0]  # to a point of the hull: far rows do not round its shape away
    exponent = max(np.frexp(abs(moved[:-1]).max())[1], SMALLEST_EXPONENT)
    moved = np.ldexp(moved, -exponent)
    corral, own = _wolfe(moved[:-1], moved[-1])
    weights = np.zeros(len(points))
    weights[corral] = own
    return weights


def _wolfe(points, row):
    """Indices and weights of the rows of ``points`` whose mean is nearest to ``row`` [1]_.

    The nearest point is a mean of few points, the corral. Add the point that lies furthest in the
    direction of ``row``; move to the nearest point of the corral's affine hull, or, where a weight
    would be negative, as far as the weights allow, and drop the point of weight 0. It ends where no
    point lies further, or a step no longer comes nearer, beyond rounding. No squared distance is
    needed, whose rounding errors would exceed those of a hull that is far away.

    References
    ----------
    .. [1] P. Wolfe, "Finding the nearest point in a polytope", Math. Program. 11, 1976.
    """
    corral = np.array([(np.einsum("pi,pi->p", points, points) / 2 - points @ row).argmin()])
    weights = np.ones(1)
    while True:
        nearest = weights @ points[corral]
        further, rounding = _products(points - nearest, row - nearest)
        excess = further - rounding
        excess[corral] = 0  # but for rounding
        new = excess.argmax()
        if excess[new] <= 0:
            return corral, weights
        before = corral, weights
        corral, weights = _drop_negative(points, row, np.append(corral, new), np.append(weights, 0))
        moved = weights @ points[corral] - nearest
        nearer, rounding = _products(moved, row - nearest - moved / 2)
        if nearer <= rounding:
            return before


def _products(steps, direction):
    """Inner products of steps with a direction, and bounds on their rounding errors."""
    bounds = (len(direction) + 4) * EPS * (abs(steps) @ abs(direction))
    return steps @ direction, bounds


def _drop_negative(points, row, corral, weights):
    """Move to the nearest point of the corral's affine hull, without the points this would weigh < 0."""
    while True:
        affine = _affine_weights(points[corral], row)
        if (affine > 0).all():
            return corral, affine
        down = affine <= 0
        falls = weights[down] - affine[down]
        step = (weights[down] / np.where(falls > 0, falls, 1)).min()
        weights = weights + step * (affine - weights)
        kept = weights > WEIGHT_ROUNDING
        corral, weights = corral[kept], weights[kept] / weights[kept].sum()


def _affine_weights(points, row):
    """Weights with sum 1, of any sign, whose mean of the rows of ``points`` is nearest to ``row``."""
    others = np.linalg.lstsq((points[1:] - points[0]).T, row - points[0], rcond=None)[0]
    return np.append(1 - others.sum(), others)
