"""Inputs and results of the theorems."""

from typing import NamedTuple


class Guarantee(NamedTuple):
    """Result of a theorem for one case.

    Parameters
    ----------
    holds : bool
        Whether the condition of the theorem is met. The conditions are sufficient, not necessary:
        if one is not met, the pursuit may still succeed.
    bound : float
        The quantity that the theorem bounds, usually the error of the codes; each function states
        which. Infinite if the condition is not met.
    limit : float
        The condition is met if the stripe norm k of the codes is below this limit. At most 0 if no
        codes meet it; infinite if all codes do.

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
    """Properties of the dictionary and the codes of one layer, for the layered theorems.

    Parameters
    ----------
    mu : float
        Mutual coherence of the dictionary of the layer (`mutual_coherence`).
    k : int
        Stripe norm of the codes of the layer (`stripe_norm`).
    patch : int
        Patch norm of the same codes: the largest number of non-zero codes in the window of one
        atom of the next layer (`patch_norm`). For the deepest layer use ``k``.
    min_modulus, max_modulus : float
        Smallest and largest modulus of the non-zero codes.

    Examples
    --------
    >>> import csc
    >>> csc.theory.Layer(mu=0.1, k=3, patch=2, min_modulus=0.5, max_modulus=1.0)
    Layer(mu=0.1, k=3, patch=2, min_modulus=0.5, max_modulus=1.0)
    """

    mu: float
    k: int
    patch: int
    min_modulus: float
    max_modulus: float
