"""What theorems are asked about, and what they say."""

from typing import NamedTuple


class Guarantee(NamedTuple):
    """What a theorem says of one case.

    Examples
    --------
    >>> import csc
    >>> guarantee = csc.guarantees.uniqueness(0.25, 2)
    >>> guarantee.holds, guarantee.bound, guarantee.limit
    (True, 3.0, 2.5)
    """

    holds: bool  # whether its condition is met; if not, it says nothing
    bound: float  # what it bounds (see the function); inf where the condition is not met
    limit: float  # stripe norms below this meet the condition


class Layer(NamedTuple):
    """What the layered theorems ask of the codes of one layer.

    Examples
    --------
    >>> import csc
    >>> csc.guarantees.Layer(0.1, 3, 2, 0.5, 1.0)
    Layer(mu=0.1, k=3, patch=2, least=0.5, most=1.0)
    """

    mu: float  # mutual coherence of the layer's dictionary
    k: int  # stripe norm of its codes
    patch: int  # their patch norm; K_i of them for the deepest layer do, or k
    least: float  # smallest and
    most: float  # largest modulus of the non-zero codes
