"""The multiplier of the projection on an ellipsoid, one atom after the other."""

import numpy as np

from csc.kernels.cpu.compilation import entry


def taper_multiplier(energies, which, levels, max_steps, last_excess, m):
    """Root ``m >= 0`` of ``phi(m) = sum(v^2 w^2 / (w^2 + m)^2) = 1``; 0 if phi(0) <= 1.

    Newton's method for ``phi^(-1/2) = 1`` from a point below the root; see `csc.constraints`.

    Parameters
    ----------
    energies : array (K, L), float64
        ``v^2``.
    which : int array (L,)
        Index of each sample's w^2 in ``levels``; negative where w is 0.
    levels : array (M,), float64
        The values ``w^2 > 0``, ascending.
    max_steps : int
    last_excess : float
        Stop after the step from a point where ``phi^(1/2) - 1`` is at most this.
    m : array (K,), float64
        Overwritten.
    """
    _taper_multiplier(energies, which, levels, max_steps, last_excess, np.empty(len(levels)), m)


@entry()
def _taper_multiplier(energies, which, levels, max_steps, last_excess, sums, m):
    for k in range(len(energies)):
        for i in range(len(levels)):
            sums[i] = 0
        for i in range(len(which)):
            if which[i] >= 0:
                sums[which[i]] += energies[k, i]
        total, root = 0.0, 0.0
        for i in range(len(levels)):
            sums[i] *= levels[i]
            total += sums[i]
            root = max(root, np.sqrt(total) - levels[i])
        for _ in range(max_steps):
            phi, slope = 0.0, 0.0
            for i in range(len(levels)):
                inverse = 1 / (levels[i] + root)
                term = sums[i] * inverse * inverse
                phi += term
                slope += term * inverse
            excess = np.sqrt(phi) - 1
            if not excess > 0:
                break
            root += phi * excess / slope
            if excess <= last_excess:
                break
        m[k] = root
