"""The soft threshold, the proximal operator of the l1 norm."""

from csc._backend import namespace


def soft_threshold(z, threshold, positive):
    """``sign(z) max(|z| - threshold, 0)``, or ``max(z - threshold, 0)`` if ``positive``."""
    xp = namespace(z)
    threshold = xp.asarray(threshold, dtype=z.dtype)
    if positive:
        return xp.maximum(z - threshold, 0)
    return xp.sign(z) * xp.maximum(abs(z) - threshold, 0)
