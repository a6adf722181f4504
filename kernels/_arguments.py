"""Groups of arguments that kernels of all devices take."""

from typing import Any, NamedTuple


class MomentumPoint(NamedTuple):
    """The extrapolated point ``y = z + momentum (z - z_old)``."""

    z: Any  # array of codes
    z_old: Any  # array of the codes before
    momentum: Any  # a number, or an array without axes on a device


class SoftThreshold(NamedTuple):
    """The proximal operator ``v -> factor soft(v, thresholds)`` of an l1 or elastic-net penalty."""

    thresholds: Any  # (K,)
    factor: Any  # 1 without an l2 term
    positive: bool  # whether codes must not be negative
