"""Constraints on atoms, as projections; join them with ``&``."""

from dataclasses import dataclass
from functools import reduce

from csc._device import namespace


def _norms(atoms):
    """Euclidean norm of each atom, shaped to divide by."""
    axes = tuple(range(1, atoms.ndim))
    return namespace(atoms).sqrt((atoms * atoms).sum(axis=axes, keepdims=True))


class Constraint:
    """A closed set of atoms; ``project`` maps atoms ``(K, C, *s)`` to the nearest in it."""

    def __and__(self, other):
        return Both(self, other)


@dataclass(frozen=True)
class Both(Constraint):
    """``first & second``: projects onto the one, then onto the other.

    That is the projection onto the intersection for a subspace (``ZeroMean``) followed by a
    ball or sphere around zero; the ball or sphere must come last.
    """

    first: Constraint
    second: Constraint

    def project(self, atoms):
        """Project onto ``first``, then onto ``second``."""
        return reduce(lambda a, c: c.project(a), (self.first, self.second), atoms)


@dataclass(frozen=True)
class UnitBall(Constraint):
    """``||d_k|| <= 1``: the usual convex constraint of dictionary learning.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.UnitBall().project(np.array([[[3.0, 4.0]], [[0.3, 0.4]]]))
    array([[[0.6, 0.8]],
           [[0.3, 0.4]]])
    """

    def project(self, atoms):
        """Divide the atoms that are longer than 1 by their norm."""
        return atoms / namespace(atoms).maximum(_norms(atoms), 1)


@dataclass(frozen=True)
class UnitSphere(Constraint):
    """``||d_k|| = 1``. An atom of zeros, which has no nearest point, stays as it is.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.UnitSphere().project(np.array([[[0.3, 0.4]], [[0.0, 0.0]]]))
    array([[[0.6, 0.8]],
           [[0. , 0. ]]])
    """

    def project(self, atoms):
        """Divide every atom by its norm."""
        norms = _norms(atoms)
        return atoms / namespace(atoms).where(norms > 0, norms, 1)


@dataclass(frozen=True)
class ZeroMean(Constraint):
    """Every channel of every atom sums to zero.

    Examples
    --------
    >>> import numpy as np, csc
    >>> (csc.ZeroMean() & csc.UnitBall()).project(np.array([[[1.0, 3.0]]])).round(3)
    array([[[-0.707,  0.707]]])
    """

    def project(self, atoms):
        """Subtract the mean of each channel."""
        return atoms - atoms.mean(axis=tuple(range(2, atoms.ndim)), keepdims=True)
