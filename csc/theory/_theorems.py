"""Recovery and stability theorems: from coherence and local sparsity to what a pursuit finds.

``k`` is always a stripe norm, ``mu`` a mutual coherence of unit-norm atoms, ``noise`` the largest
norm of the noise on the place of one atom (`local_noise`).
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter

from csc._typing import Array, Extents
from csc._validation import check_number, check_real
from csc.theory._cases import Guarantee, Layer


def local_noise(noise: Array, extents: Extents) -> Array:
    """``||E||_{2,inf}^P``: largest norm of the noise in the box of an atom, of each signal.

    Parameters
    ----------
    noise : array (N, C, *S)
    extents : tuple of ints
        Of the atoms.

    Returns
    -------
    array (N,), float64

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.local_noise(np.array([[[3.0, 4.0, 0.0]]]), (2,))
    array([5.])
    """
    noise = check_real("noise", noise)
    energies = (noise.astype("float64") ** 2).sum(axis=1)
    sums = uniform_filter(energies, [1, *extents], mode="constant") * np.prod(extents)
    return np.sqrt(np.maximum(sums, 0)).reshape(len(noise), -1).max(axis=1)


def uniqueness(mu: float, k: int) -> Guarantee:
    """Codes with ``k < (1 + 1 / mu) / 2`` are the locally sparsest of their signal [1]_.

    ``bound`` is the stripe norm that any other codes of the same signal must exceed:
    ``1 + 1 / mu - k``, as the difference of two codes of one signal has stripe norm at least
    ``1 + 1 / mu``.

    Parameters
    ----------
    mu : float
        Mutual coherence.
    k : int
        Stripe norm.

    Returns
    -------
    Guarantee

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017.

    Examples
    --------
    >>> import csc
    >>> csc.theory.uniqueness(0.25, 2)
    Guarantee(holds=True, bound=3.0, limit=2.5)
    """
    return _guarantee(mu, k, _half(mu), 1 + _inverse(mu) - k)


def pursuit_success(mu: float, k: int) -> Guarantee:
    """Without noise, OMP and basis pursuit find codes with ``k < (1 + 1 / mu) / 2`` [1]_.

    ``bound`` is their error: 0. A sharper condition is ``stripe_coherence < (1 + mu_0) / 2``
    everywhere.

    Parameters
    ----------
    mu, k
        As in `uniqueness`.

    Returns
    -------
    Guarantee

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017.

    Examples
    --------
    >>> import csc
    >>> csc.theory.pursuit_success(0.5, 2).holds
    False
    """
    return _guarantee(mu, k, _half(mu), 0.0)


def projection_stability(mu: float, k: int, energy: float) -> Guarantee:
    """Two codes of stripe norm <= k, both within ``energy`` of the signal, are near [1]_.

    Their difference has stripe norm at most 2 k and is mapped to a signal of norm at most
    ``2 energy``; by Gershgorin's theorem ``||D z||^2 >= (1 - (2 k - 1) mu) ||z||^2``. So

        ||g - g^||^2 <= 4 energy^2 / (1 - (2 k - 1) mu)   (``bound``),   k < (1 + 1 / mu) / 2.

    In layers, take mu of the effective dictionary: errors do not pile up.

    Parameters
    ----------
    mu, k
        As in `uniqueness`.
    energy : float
        Norm of the residuals.

    Returns
    -------
    Guarantee

    References
    ----------
    .. [1] J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse modeling",
       IEEE TSP 66(15), 2018.

    Examples
    --------
    >>> import csc
    >>> round(csc.theory.projection_stability(0.1, 3, 0.5).bound, 6)
    2.0
    """
    check_number("energy", energy)
    least = 1 - (2 * k - 1) * mu
    return _guarantee(mu, k, _half(mu), 4 * energy**2 / least if least > 0 else inf)


def omp_stability(mu: float, k: int, noise: float, energy: float, least: float) -> Guarantee:  # noqa: PLR0913
    """With noise, OMP finds the support and errs little [1]_.

    If ``k < (1 + 1 / mu) / 2 - noise / (mu least)``, as many steps of OMP as there are non-zero
    codes find exactly these, and the least-squares fit on them has

        ||g - g^||^2 <= energy^2 / (1 - (k - 1) mu)   (``bound``).

    Parameters
    ----------
    mu, k
        As in `uniqueness`.
    noise : float
        Local norm of the noise, see `local_noise`.
    energy : float
        Norm of all the noise.
    least : float
        Smallest modulus of the non-zero codes.

    Returns
    -------
    Guarantee

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017.

    Examples
    --------
    >>> import csc
    >>> csc.theory.omp_stability(0.1, 2, 0.1, 0.3, 1.0).holds
    True
    """
    for name, value in (("noise", noise), ("energy", energy)):
        check_number(name, value)
    check_number("least", least, strict=True)
    margin = 1 - (k - 1) * mu
    limit = _half(mu) - _inverse(mu) * noise / least if mu > 0 else _free(2 * noise < least)
    return _guarantee(mu, k, limit, energy**2 / margin if margin > 0 else inf)


def basis_pursuit_stability(mu: float, k: int, noise: float) -> Guarantee:
    """With noise, the lasso at ``lmbda = 4 noise`` has no false codes and errs little [1]_.

    If ``k < (1 + 1 / mu) / 3``, the lasso's codes are unique, their support lies within the true
    one, no code is off by more than ``7.5 noise`` (``bound``), and every true code above that is
    found. On the support the error is at most ``(lmbda + noise) / (1 - (k - 1) mu)``, and
    ``(k - 1) mu < 1 / 3``: ``5 noise * 3 / 2``.

    Parameters
    ----------
    mu, k
        As in `uniqueness`.
    noise : float
        Local norm of the noise, see `local_noise`.

    Returns
    -------
    Guarantee

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017 (after J. Tropp, "Just relax", IEEE Trans. Inf. Theory 52(3), 2006).

    Examples
    --------
    >>> import csc
    >>> csc.theory.basis_pursuit_stability(0.1, 3, 0.01)
    Guarantee(holds=True, bound=0.075, limit=3.6666666666666665)
    """
    check_number("noise", noise)
    return _guarantee(mu, k, (1 + _inverse(mu)) / 3, 7.5 * noise)


def layered_thresholding(
    layers: Sequence[Layer],
    noise: float,
    thresholds: Sequence[float],
    rule: Literal["soft", "hard"] = "soft",
) -> list[Guarantee]:
    """Layered thresholding finds the supports of all layers, and its error grows by layer [1]_.

    With noise e_{i-1} on the codes of the layer before, the support of layer i is exact if

        k mu most + e < beta < least - (k - 1) mu most - e,

    for which there is a beta if ``k < (1 + least / (mu most)) / 2 - e / (mu most)``. Each code
    errs by at most ``e + (k - 1) mu most + beta`` (rule "hard": without beta), so that

        e_i = sqrt(patch) (e_{i-1} + (k - 1) mu most [+ beta]).

    Parameters
    ----------
    layers : sequence of Layer
    noise : float
        Local norm of the noise on the signal, e_0.
    thresholds : sequence of floats
        beta_i.
    rule : {"soft", "hard"}

    Returns
    -------
    list of Guarantee
        One a layer; ``bound`` is e_i, the local norm of its error. From the first that does not
        hold on, none does.

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017.

    Examples
    --------
    >>> from csc.theory import Layer, layered_thresholding
    >>> layered_thresholding([Layer(0.1, 2, 2, 1.0, 1.0)], 0.1, [0.5])[0].holds
    True
    """
    if rule not in ("soft", "hard"):
        raise ValueError(f"rule must be 'soft' or 'hard', got {rule!r}")
    found, e, reached = [], check_number("noise", noise), True
    for layer, beta in zip(layers, thresholds, strict=True):
        mu, k, patch, least, most = layer
        low, high = k * mu * most + e, least - (k - 1) * mu * most - e
        limit = _free(2 * e < least)
        if mu > 0:
            limit = 0.5 * (1 + least / (mu * most)) - e / (mu * most)
        reached = reached and low < beta < high
        e = sqrt(patch) * (e + (k - 1) * mu * most + (beta if rule == "soft" else 0))
        found.append(Guarantee(reached, e if reached else inf, limit))
    return found


def layered_basis_pursuit(layers: Sequence[Layer], noise: float) -> list[Guarantee]:
    """Layered basis pursuit at ``lmbda_i = 4 e_{i-1}`` has no false codes at any layer [1]_.

    If ``k_i < (1 + 1 / mu_i) / 3`` for each layer up to i, the support of layer i lies within the
    true one, no code of it is off by more than ``7.5 e_{i-1}``, and

        e_i = 7.5 sqrt(patch_i) e_{i-1}.

    Parameters
    ----------
    layers : sequence of Layer
        Without regard to least and most.
    noise : float
        Local norm of the noise on the signal, e_0.

    Returns
    -------
    list of Guarantee
        One a layer; ``bound`` is e_i.

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017.

    Examples
    --------
    >>> from csc.theory import Layer, layered_basis_pursuit
    >>> layered_basis_pursuit([Layer(0.1, 3, 4, 1.0, 1.0)], 0.01)[0].bound
    0.15
    """
    found, e, reached = [], check_number("noise", noise), True
    for layer in layers:
        one = basis_pursuit_stability(layer.mu, layer.k, e)
        reached = reached and one.holds
        e = sqrt(layer.patch) * 7.5 * e
        found.append(Guarantee(reached, e if reached else inf, one.limit))
    return found


def classification_margin(
    weights: Array, bias: Array, codes: Array, error: float
) -> tuple[Array, Array]:
    """Whether a linear classifier gives codes within ``error`` the same label.

    Of classes a and b, ``(w_a - w_b)^T g`` changes by at most ``||w_a - w_b|| error``; so the label
    a of g stands if ``<w_a - w_b, g> + b_a - b_b > ||w_a - w_b|| error`` for every other b.

    Parameters
    ----------
    weights : array (classes, n)
    bias : array (classes,)
    codes : array (N, ...), n numbers each
    error : float
        Euclidean norm, such as the root of `projection_stability`'s bound.

    Returns
    -------
    holds : array (N,), bool
    margin : array (N,)
        The largest error that changes no label.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.classification_margin(np.eye(2), np.zeros(2), np.array([[2.0, 0.0]]), 1.0)
    (array([ True]), array([1.41421356]))
    """
    weights, bias = check_real("weights", weights), check_real("bias", bias)
    codes = check_real("codes", codes)
    rows = codes.reshape(len(codes), -1)
    scores = rows @ weights.T + bias
    label = scores.argmax(axis=1)
    lead = scores[np.arange(len(rows)), label][:, None] - scores
    apart = np.linalg.norm(weights[label][:, None] - weights[None], axis=2)
    ratio = np.divide(lead, apart, out=np.full(lead.shape, inf), where=apart > 0)
    margin = ratio.min(axis=1)
    return margin > error, margin


def _inverse(mu):
    check_number("mu", mu)
    return 1 / mu if mu > 0 else inf


def _half(mu):
    return 0.5 * (1 + _inverse(mu))


def _free(possible):
    """The limit where columns are orthogonal: none, or no codes at all."""
    return inf if possible else 0.0


def _guarantee(mu, k, limit, bound):
    check_number("k", k)
    check_number("mu", mu)
    return Guarantee(bool(k < limit), float(bound) if k < limit else inf, float(limit))
