"""Weights of an l1 penalty as functions of the codes, for `csc.solve_reweighted`."""

from dataclasses import dataclass

import numpy as np
import scipy  # its modules load when first used

from csc._backend import namespace, to_host
from csc._typing import Array, Shape
from csc._validation import check_count, check_number


@dataclass(frozen=True)
class InverseSize:
    """Weights ``epsilon / (|z| + epsilon)``: large codes are hardly shrunk [1]_.

    Lassos with these weights, one after the other, lower ``lmbda sum epsilon log(1 + |z| / epsilon)``,
    which is closer to the number of codes than ``lmbda sum |z|``.

    Parameters
    ----------
    epsilon : float
        Size, > 0, at which a code has half the weight of a zero.

    References
    ----------
    .. [1] E. J. Candes, M. B. Wakin, S. P. Boyd, "Enhancing sparsity by reweighted l1 minimization",
       J. Fourier Anal. Appl. 14, 2008.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.penalties.InverseSize(0.5).weights_of(np.array([0.0, 0.5, -4.5]))
    array([1. , 0.5, 0.1])
    """

    epsilon: float

    def __post_init__(self):
        check_number("epsilon", self.epsilon, strict=True)

    def weights_of(self, z: Array) -> Array:
        """Weights of the next lasso, of the shape and dtype of the codes."""
        epsilon = z.dtype.type(self.epsilon)
        return epsilon / (abs(z) + epsilon)


@dataclass(frozen=True)
class LateralInhibition:
    """Weights ``1 + strength * mean |z_j|`` over a window, summed over the other atoms j.

    Where one atom is active, all others become expensive nearby, so that fewer atoms share a place. The
    problem is not convex: codes and weights determine each other. With a strength
    far above the inverse of the largest code, the rounds may alternate and not settle.

    Parameters
    ----------
    strength : float
        >= 0, per unit of the codes.
    window : tuple of int
        Size of the window around each position, in positions of the codes, one number per axis.

    Examples
    --------
    >>> import numpy as np, csc
    >>> z = np.array([[[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    >>> csc.penalties.LateralInhibition(2.0, (3,)).weights_of(z)
    array([[[1., 1., 1., 1.],
            [3., 3., 3., 1.]]])
    """

    strength: float
    window: Shape

    def __post_init__(self):
        check_number("strength", self.strength)
        if not isinstance(self.window, tuple | list):
            raise TypeError(
                f"window must be a tuple with one size per spatial axis, got {self.window!r}"
            )
        object.__setattr__(self, "window", tuple(self.window))
        for size in self.window:
            check_count("window", size)

    def weights_of(self, z: Array) -> Array:
        """Weights of the next lasso, of the shape and dtype of the codes ``(N, K, *V)``."""
        if len(self.window) != z.ndim - 2:
            raise ValueError(
                f"window must have {z.ndim - 2} numbers for codes of shape {z.shape}, got {self.window}"
            )
        sizes = abs(to_host(z))
        near = np.maximum(
            scipy.ndimage.uniform_filter(sizes, (1, 1, *self.window), mode="constant"), 0
        )
        others = near.sum(axis=1, keepdims=True) - near
        return namespace(z).asarray(1 + self.strength * np.maximum(others, 0), dtype=z.dtype)
