"""Homeostatic gain: adapt the norms of the atoms so that all are used alike."""

from dataclasses import dataclass

import numpy as np

from csc._typing import Array
from csc._validation import check_number


@dataclass(frozen=True)
class HomeostaticGain:
    """Adapt the norms of the atoms until all codes have the same variance [1]_.

    After each batch, with ``var_k`` the running mean of ``z_k^2``,

        gain_k <- gain_k * (var_k / goal)^rate,    ||d_k|| = gain_k,

    so that an atom with too large codes grows and needs smaller ones. The gain replaces the unit
    norm of the constraint, which still applies to the shape of the atom.

    Parameters
    ----------
    goal : float, optional
        Target variance of every code; by default the mean over the atoms, which preserves the
        scale of the dictionary.
    rate : float
        Exponent of the adaptation.
    memory : float
        Weight of the past in the running variance, in [0, 1).

    References
    ----------
    .. [1] B. Olshausen, D. Field, "Sparse coding with an overcomplete basis set: a strategy
       employed by V1?", Vision Research 37(23), 1997.

    Examples
    --------
    >>> import numpy as np, csc
    >>> adapt = csc.learning.HomeostaticGain(goal=1.0, rate=0.5, memory=0.0)
    >>> variance, gain = adapt(np.ones(2), np.ones(2), np.array([4.0, 0.25]))
    >>> gain
    array([2. , 0.5])
    """

    goal: float | None = None
    rate: float = 0.02
    memory: float = 0.999

    def __post_init__(self):
        if self.goal is not None:
            check_number("goal", self.goal, strict=True)
        check_number("rate", self.rate)
        if check_number("memory", self.memory) >= 1:
            raise ValueError(f"memory must be < 1, got {self.memory}")

    def __call__(self, variance: Array, gain: Array, squares: Array) -> tuple[Array, Array]:
        """New running variance and gain, ``(K,)`` each, given mean ``z_k^2``."""
        variance = self.memory * variance + (1 - self.memory) * squares
        goal = variance.mean() if self.goal is None else self.goal
        if goal == 0:
            return variance, gain
        # at most a factor of two per batch, so that an unused atom does not vanish at once
        return variance, gain * np.clip((variance / goal) ** self.rate, 0.5, 2.0)
