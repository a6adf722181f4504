"""What theorems are asked about, and what they say."""

from typing import NamedTuple


class Guarantee(NamedTuple):
    """What a theorem says of one case.

    Parameters
    ----------
    holds : bool
        Whether the condition of the theorem is met. If not, it says nothing: the pursuit may
        succeed all the same.
    bound : float
        What the theorem promises where it holds, in the units that its function names: mostly the
        largest error of the codes. Infinite where it does not hold.
    limit : float
        The condition on the stripe norm k of the codes: it is met below this number. Zero or less
        where no codes meet it; infinite where all do.

    Examples
    --------
    >>> import csc
    >>> guarantee = csc.theory.uniqueness(0.25, 2)
    >>> guarantee.holds, guarantee.bound, guarantee.limit
    (True, 3.0, 2.5)
    """

    holds: bool
    bound: float
    limit: float


class Layer(NamedTuple):
    """What the layered theorems ask of the dictionary and the codes of one layer.

    Parameters
    ----------
    mu : float
        Mutual coherence of the layer's dictionary: the largest inner product of two of its
        unit-norm atoms at any shift, in [0, 1] (`mutual_coherence`).
    k : int
        Stripe norm of the layer's codes: the most non-zero codes among all that overlap one place
        (`stripe_norm`).
    patch : int
        Patch norm of the same codes: the most non-zero codes in one atom of the next layer
        (`patch_norm`). The deepest layer has no next one: there ``k`` will do.
    least, most : float
        Smallest and largest modulus of the non-zero codes.

    Examples
    --------
    >>> import csc
    >>> csc.theory.Layer(mu=0.1, k=3, patch=2, least=0.5, most=1.0)
    Layer(mu=0.1, k=3, patch=2, least=0.5, most=1.0)
    """

    mu: float
    k: int
    patch: int
    least: float
    most: float
