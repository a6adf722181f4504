"""Recovery and stability theorems for pursuits.

``mu``, ``k`` and ``noise`` are defined in the docstring of `csc.theory`.
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import Literal

import numpy as np

from csc._typing import Array, Mode, Shape
from csc._validation import check_choice, check_floats, check_number
from csc.theory._cases import Guarantee, Layer
from csc.theory._measures import window_sums

COHERENCE_ROUNDING = 1e-6  # by which a computed coherence of equal atoms may exceed 1


def local_noise(noise: Array, atom_shape: Shape, mode: Mode = "full") -> Array:
    """Local noise ``||E||_{2,inf}^P``: the largest norm of the noise in the window of an atom.

    Parameters
    ----------
    noise : array (N, C, *S)
    atom_shape : tuple of ints
        Spatial shape of the atoms.
    mode : {"full", "valid", "same", "circular"}
        Of the dictionary; in the mode "circular" windows wrap around.

    Returns
    -------
    array (N,), float64

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.local_noise(np.array([[[3.0, 4.0, 0.0]]]), (2,))
    array([5.])
    """
    noise = check_floats("noise", noise).astype("float64")
    if not 3 <= noise.ndim <= 5:
        raise ValueError(f"noise must be (N, C, *S) with 1 to 3 axes S, got shape {noise.shape}")
    scales = abs(noise).max(axis=tuple(range(1, noise.ndim)), keepdims=True)
    scales[scales == 0] = 1
    energies = ((noise / scales) ** 2).sum(axis=1)  # squares neither overflow nor underflow
    sums = window_sums(energies, atom_shape, mode)
    return np.sqrt(np.maximum(sums, 0)).max(axis=1) * scales.ravel()


def uniqueness(mu: float, k: int) -> Guarantee:
    """Codes with ``k < (1 + 1 / mu) / 2`` are the locally sparsest codes of their signal.

    All other codes of the same signal have a stripe norm of at least ``1 + 1 / mu - k``
    (``bound``), because the difference of two codes of one signal has stripe norm at least
    ``1 + 1 / mu``. See Papyan et al. 2017a.

    Parameters
    ----------
    mu : float
        Mutual coherence.
    k : int
        Stripe norm of the codes.

    Returns
    -------
    Guarantee

    Examples
    --------
    >>> import csc
    >>> csc.theory.uniqueness(0.25, 2)
    Guarantee(holds=True, bound=3.0, limit=2.5)
    """
    return _guarantee(k, _half(mu), 1 + _inverse(mu) - k)


def pursuit_success(mu: float, k: int) -> Guarantee:
    """Without noise, OMP and basis pursuit recover codes with ``k < (1 + 1 / mu) / 2``.

    ``bound`` is the error, 0. A sharper condition is ``stripe_coherence < (1 + mu_0) / 2`` at all
    positions. See Papyan et al. 2017a.

    Parameters
    ----------
    mu, k : float, int
        Mutual coherence, and stripe norm of the codes.

    Returns
    -------
    Guarantee

    Examples
    --------
    >>> import csc
    >>> csc.theory.pursuit_success(0.5, 2).holds
    False
    """
    return _guarantee(k, _half(mu), 0.0)


def projection_stability(mu: float, k: int, residual_norm: float) -> Guarantee:
    """Bound the distance of two codes of stripe norm <= k that fit one signal equally well.

    Both have a residual of at most ``residual_norm``. Their difference has stripe norm at most 2 k
    and synthesises a signal of norm at most ``2 residual_norm``. By Gershgorin's theorem
    ``||D z||^2 >= (1 - (2 k - 1) mu) ||z||^2``. So, if ``k < (1 + 1 / mu) / 2``,

        ||g - g^||^2 <= 4 residual_norm^2 / (1 - (2 k - 1) mu)   (``bound``).

    For several layers use mu of the effective dictionary: the error does not grow with the number
    of layers. See Sulam et al. 2018.

    Parameters
    ----------
    mu, k : float, int
        Mutual coherence, and stripe norm of the codes.
    residual_norm : float

    Returns
    -------
    Guarantee

    Examples
    --------
    >>> import csc
    >>> round(csc.theory.projection_stability(0.1, 3, 0.5).bound, 6)
    2.0
    """
    check_number("residual_norm", residual_norm)
    min_eigenvalue = 1 - (2 * k - 1) * mu  # Gershgorin's bound
    bound = 4 * residual_norm**2 / min_eigenvalue if min_eigenvalue > 0 else inf
    return _guarantee(k, _half(mu), bound)


def omp_stability(
    mu: float, k: int, noise: float, noise_norm: float, min_modulus: float
) -> Guarantee:
    """With noise, OMP finds the true support, and its error is bounded.

    If ``k < (1 + 1 / mu) / 2 - noise / (mu min_modulus)``, OMP with as many steps as there are
    non-zero codes finds their support, and the least-squares fit on it has

        ||g - g^||^2 <= noise_norm^2 / (1 - (k - 1) mu)   (``bound``).

    See Papyan et al. 2017a.

    Parameters
    ----------
    mu, k : float, int
        Mutual coherence, and stripe norm of the codes.
    noise : float
        Local norm of the noise, see `local_noise`.
    noise_norm : float
        Norm of the whole noise.
    min_modulus : float
        Smallest modulus of the non-zero codes.

    Returns
    -------
    Guarantee

    Examples
    --------
    >>> import csc
    >>> csc.theory.omp_stability(0.1, 2, 0.1, 0.3, 1.0).holds
    True
    """
    for name, value in (("noise", noise), ("noise_norm", noise_norm)):
        check_number(name, value)
    check_number("min_modulus", min_modulus, strict=True)
    limit = _limit_if_orthogonal(2 * noise < min_modulus)
    if mu > 0:
        limit = _half(mu) - _inverse(mu) * noise / min_modulus
    min_eigenvalue = 1 - (k - 1) * mu  # Gershgorin's bound
    bound = noise_norm**2 / min_eigenvalue if min_eigenvalue > 0 else inf
    return _guarantee(k, limit, bound)


def basis_pursuit_stability(mu: float, k: int, noise: float) -> Guarantee:
    """With noise, the lasso at ``lmbda = 4 noise`` has no false codes and a bounded error.

    If ``k < (1 + 1 / mu) / 3``, the codes of the lasso are unique, their support lies within the
    true one, the error of each code is at most ``7.5 noise`` (``bound``), and all true codes of a
    larger modulus are found. On the support the error is at most
    ``(lmbda + noise) / (1 - (k - 1) mu)``, which is at most ``5 noise * 3 / 2`` because
    ``(k - 1) mu < 1 / 3``. See Papyan et al. 2017a, after J. Tropp, "Just relax", IEEE Trans. Inf.
    Theory 52(3), 2006.

    Parameters
    ----------
    mu, k : float, int
        Mutual coherence, and stripe norm of the codes.
    noise : float
        Local norm of the noise, see `local_noise`.

    Returns
    -------
    Guarantee

    Examples
    --------
    >>> import csc
    >>> csc.theory.basis_pursuit_stability(0.1, 3, 0.01)
    Guarantee(holds=True, bound=0.075, limit=3.6666666666666665)
    """
    check_number("noise", noise)
    return _guarantee(k, (1 + _inverse(mu)) / 3, 7.5 * noise)


def layered_thresholding(
    layers: Sequence[Layer],
    noise: float,
    thresholds: Sequence[float],
    rule: Literal["soft", "hard"] = "soft",
) -> list[Guarantee]:
    """Layered thresholding finds the supports of all layers; its error grows from layer to layer.

    With local noise e = e_{i-1} on the codes of the layer before, the support of layer i is exact
    if

        k mu max_modulus + e < beta < min_modulus - (k - 1) mu max_modulus - e.

    Such a beta exists if ``k < (1 + min_modulus / (mu max_modulus)) / 2 - e / (mu max_modulus)``.
    The error of each code is at most ``e + (k - 1) mu max_modulus + beta`` (without beta for the
    rule "hard"), so that

        e_i = sqrt(patch) (e_{i-1} + (k - 1) mu max_modulus [+ beta]).

    See Papyan et al. 2017b.

    Parameters
    ----------
    layers : sequence of Layer
    noise : float
        Local norm of the noise on the signal, e_0.
    thresholds : sequence of floats
        The thresholds beta_i.
    rule : {"soft", "hard"}

    Returns
    -------
    list of Guarantee
        One per layer; ``bound`` is e_i, the local norm of the error of the codes. If the condition
        of a layer is not met, no guarantee of a deeper layer holds.

    Examples
    --------
    >>> from csc.theory import Layer, layered_thresholding
    >>> layered_thresholding([Layer(0.1, 2, 2, 1.0, 1.0)], 0.1, [0.5])[0].holds
    True
    """
    check_choice("rule", rule, ("soft", "hard"))
    if len(thresholds) != len(layers):
        raise ValueError(
            f"thresholds must be one for each of {len(layers)} layers, got {len(thresholds)}"
        )
    guarantees, e, holds = [], check_number("noise", noise), True
    for layer, beta in zip(layers, thresholds, strict=True):
        mu, k, patch, low, high = layer
        _check_layer(mu, k, patch)
        check_number("min_modulus", low, strict=True)
        check_number("max_modulus", high, low=low)
        limit = _limit_if_orthogonal(2 * e < low)
        if mu > 0:
            limit = 0.5 * (1 + low / (mu * high)) - e / (mu * high)
        holds = holds and k * mu * high + e < beta < low - (k - 1) * mu * high - e
        e = sqrt(patch) * (e + (k - 1) * mu * high + (beta if rule == "soft" else 0))
        guarantees.append(Guarantee(holds, e if holds else inf, limit))
    return guarantees


def layered_basis_pursuit(layers: Sequence[Layer], noise: float) -> list[Guarantee]:
    """Layered basis pursuit at ``lmbda_i = 4 e_{i-1}`` has no false codes in any layer.

    If ``k_i < (1 + 1 / mu_i) / 3`` for each layer up to i, the support of layer i lies within the
    true one, the error of each code is at most ``7.5 e_{i-1}``, and

        e_i = 7.5 sqrt(patch_i) e_{i-1}.

    See Papyan et al. 2017b.

    Parameters
    ----------
    layers : sequence of Layer
        min_modulus and max_modulus are not used.
    noise : float
        Local norm of the noise on the signal, e_0.

    Returns
    -------
    list of Guarantee
        One per layer; ``bound`` is e_i.

    Examples
    --------
    >>> from csc.theory import Layer, layered_basis_pursuit
    >>> layered_basis_pursuit([Layer(0.1, 3, 4, 1.0, 1.0)], 0.01)[0].bound
    0.15
    """
    guarantees, e, holds = [], check_number("noise", noise), True
    for layer in layers:
        _check_layer(layer.mu, layer.k, layer.patch)
        single = basis_pursuit_stability(layer.mu, layer.k, e)
        holds = holds and single.holds
        e = sqrt(layer.patch) * 7.5 * e
        guarantees.append(Guarantee(holds, e if holds else inf, single.limit))
    return guarantees


def classification_margin(
    weights: Array, bias: Array, codes: Array, error: float
) -> tuple[Array, Array]:
    """Whether a linear classifier assigns the same label to all codes within ``error``.

    For classes a and b, ``(w_a - w_b)^T g`` changes by at most ``||w_a - w_b|| error``. So the
    label a of g does not change if ``<w_a - w_b, g> + b_a - b_b > ||w_a - w_b|| error`` for every
    other class b.

    Parameters
    ----------
    weights : array (classes, n)
    bias : array (classes,)
    codes : array (N, ...), n values per signal
    error : float
        Euclidean norm of the error of the codes, such as the square root of the bound of
        `projection_stability`.

    Returns
    -------
    holds : array (N,), bool
    margin : array (N,)
        The largest error at which no label changes.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.classification_margin(np.eye(2), np.zeros(2), np.array([[2.0, 0.0]]), 1.0)
    (array([ True]), array([1.41421356]))
    """
    weights, bias = check_floats("weights", weights), check_floats("bias", bias)
    codes = check_floats("codes", codes)
    if not error >= 0:
        raise ValueError(f"error must be >= 0, got {error}")
    rows = codes.reshape(len(codes), -1)
    if weights.ndim != 2 or bias.shape != weights.shape[:1] or rows.shape[1] != weights.shape[1]:
        raise ValueError(
            "weights, bias and codes must be (classes, n), (classes,) and (N, ...) with n values per "
            f"signal, got shapes {weights.shape}, {bias.shape} and {codes.shape}"
        )
    scores = rows @ weights.T + bias
    label = scores.argmax(axis=1)
    lead = scores[np.arange(len(rows)), label][:, None] - scores
    apart = np.linalg.norm(weights[label][:, None] - weights[None], axis=2)
    ratio = np.divide(lead, apart, out=np.full(lead.shape, inf), where=apart > 0)
    margin = ratio.min(axis=1)
    return margin > error, margin


def _check_layer(mu, k, patch):
    _check_coherence(mu)
    check_number("k", k)
    check_number("patch", patch)


def _check_coherence(mu):
    if check_number("mu", mu) > 1 + COHERENCE_ROUNDING:
        raise ValueError(f"mu must be a coherence, at most 1, got {mu}; use mutual_coherence")


def _inverse(mu):
    _check_coherence(mu)
    return 1 / mu if mu > 0 else inf


def _half(mu):
    return 0.5 * (1 + _inverse(mu))


def _limit_if_orthogonal(met):
    """The limit on k for orthogonal columns: the condition does not depend on k."""
    return inf if met else 0.0


def _guarantee(k, limit, bound):
    check_number("k", k)
    return Guarantee(bool(k < limit), float(bound) if k < limit else inf, float(limit))
