"""Update of the atoms of all layers from the statistics of their product."""

from collections.abc import Sequence
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from csc._backend import namespace
from csc.learning import _statistics as stats
from csc.learning._batch import tree_sum
from csc.operators import Dictionary, dense_codes

MAX_HALVINGS = 12  # of a step length, before the step of a layer is skipped
RATE_GROWTH = 1.5  # factor on the step length after an accepted step
MIN_RATE = 1e-6  # smallest step length, times the energy of the codes
MIN_RELATIVE_ENERGY = 1e-3  # code energies are raised to this fraction of the largest one
MOREAU_STEP = 1e-3  # smoothing of the penalty: width of its kink relative to the largest code


class Point(NamedTuple):
    """Atoms with their objective and intermediate results."""

    layers: list  # atoms (K_i, K_{i-1}, *s_i), i = 1, ..., L, in float64
    parts: list  # atoms of D_i ... D_L for i = 1, ..., L + 1
    product_gradient: np.ndarray  # of the data term with respect to the product atoms
    value: float


class Objective:
    """Mean objective per signal as a function of the atoms of all layers, the codes fixed.

        f(D_1, ..., D_L) = mean_n  1/2 ||x_n - D_1 ... D_L g_n||^2 + sum_{i<L} p_i(D_{i+1} ... g_n)

    The data term is computed from the statistics of the product ``D_1 ... D_L``; the penalty of the
    intermediate layers is that of the current batch.

    Parameters
    ----------
    statistics : Statistics
        Of the deepest codes and the atoms of the product.
    weight : float
        Number of signals of the statistics, or sum of their weights.
    strides : sequence of tuples
        Of each layer.
    mid_penalty : MidLayerPenalty, optional
        None if the intermediate layers are not penalised.
    """

    def __init__(self, statistics, weight, strides, mid_penalty=None):
        self.statistics, self.weight, self.strides = statistics, weight, strides
        self.mid_penalty = mid_penalty

    def at(self, layers):
        """`Point` at these atoms."""
        parts, stride = compose(layers, self.strides), product(self.strides)
        phi, psi, energy = self.statistics
        product_atoms, psi = parts[0], psi.reshape(parts[0].shape)
        correlated = stats.correlate(phi, product_atoms, stride)
        linear, quadratic = (float((a * product_atoms).sum()) for a in (psi, correlated))
        data_term = (energy - linear + 0.5 * quadratic) / self.weight
        penalty_value = 0.0 if self.mid_penalty is None else self.mid_penalty.value(layers)
        gradient = (correlated - psi) / self.weight
        return Point(layers, parts, gradient, data_term + penalty_value)

    def gradient(self, point, i):
        """Gradient with respect to the atoms of layer i >= 0."""
        upper = point.product_gradient
        for d, stride in zip(point.layers[:i], self.strides, strict=False):
            upper = Dictionary(d, "full", stride).adjoint(upper)
        layer = Dictionary(point.layers[i], "full", self.strides[i])
        gradient = layer.adjoint_atoms(upper, point.parts[i + 1])
        if self.mid_penalty is None:
            return gradient
        return gradient + self.mid_penalty.gradient(point.layers, i)

    def code_energies(self, point, i):
        """Mean energy per signal of the codes of each atom of layer i, ``(K_i,)``."""
        part = point.parts[i + 1]
        stride = product(self.strides[i + 1 :]) or (1,) * (part.ndim - 2)
        correlated = stats.correlate(self.statistics.phi, part, stride)
        return (correlated * part).sum(axis=(0, *range(2, part.ndim))) / self.weight


class MidLayerPenalty:
    """Mean penalty per signal of the codes of intermediate layers, ``g_i = D_{i+1} ... D_L g_L``.

    Parameters
    ----------
    coded : list of EncodedLayers
        With multi-layer problems.
    """

    def __init__(self, coded):
        self.parts = [
            MidLayerCodes(
                flat.z, problem.dictionary, problem.penalties, problem.spatial_shapes, flat.weight
            )
            for flat, problem, _ in coded
        ]
        weights = [part.weight for part in self.parts]
        self.n = sum(
            part.z.shape[0] if weight is None else float(weight.sum())
            for part, weight in zip(self.parts, weights, strict=True)
        )

    def value(self, layers):
        """Penalty of the codes at these atoms."""
        return sum(mid_penalty_value(part, layers) for part in self.parts) / self.n

    def gradient(self, layers, i):
        """Gradient with respect to the atoms of layer i >= 0; zero for the first layer."""
        if i == 0:
            return namespace(layers[0]).zeros(layers[0].shape)
        return (
            tree_sum((mid_penalty_gradient(part, layers, i) for part in self.parts), add) / self.n
        )


class MidLayerCodes(NamedTuple):
    """Deepest codes, and all that determines those of intermediate layers except the atoms."""

    z: object  # deepest codes, dense or SparseCodes
    dictionary: object  # MultiLayerDictionary: mode, strides and precision of the layers
    penalties: Sequence
    spatial_shapes: list  # of the signals and of the codes of every layer
    weight: np.ndarray | None = None  # of each signal; None if all are 1


def mid_penalty_value(part, layers):
    """Penalty of the codes of the intermediate layers at these atoms."""
    codes, _ = _synthesize_all(part, layers)
    pairs = zip(part.penalties, codes[:-1], strict=False)
    if part.weight is None:
        return sum(p.value(g) for p, g in pairs)
    return sum(w * p.value(g[n : n + 1]) for p, g in pairs for n, w in enumerate(part.weight))


def mid_penalty_gradient(part, layers, i):
    """Gradient of `mid_penalty_value` with respect to the atoms of layer i >= 1."""
    codes, dictionaries = _synthesize_all(part, layers)
    penalties = part.penalties
    code_gradient = _penalty_gradient(penalties[0], codes[0])
    for j in range(1, i):
        own = _penalty_gradient(penalties[j], codes[j])
        code_gradient = dictionaries[j].adjoint(code_gradient) + own
    if part.weight is not None:
        weight = namespace(code_gradient).asarray(part.weight, dtype=code_gradient.dtype)
        code_gradient = code_gradient * weight.reshape(-1, *(1,) * (code_gradient.ndim - 1))
    return dictionaries[i].adjoint_atoms(code_gradient, codes[i]).astype(layers[i].dtype)


def _synthesize_all(part, layers):
    """Codes ``g_1, ..., g_L`` synthesised from the deepest ones, and the dictionaries."""
    z, old = part.z, part.dictionary.layers
    dictionaries = [
        Dictionary(d.astype(D.dtype), D.mode, D.stride) for d, D in zip(layers, old, strict=True)
    ]
    codes = [dense_codes(z)]
    for D, spatial_shape in zip(dictionaries[:0:-1], part.spatial_shapes[-2:0:-1], strict=True):
        codes.insert(0, D(codes[0], spatial_shape))
    return codes, dictionaries


def _penalty_gradient(penalty, g):
    """Gradient of the Moreau envelope of the penalty at codes: smooth where the penalty is not."""
    top = float(abs(g).max())
    if top == 0 or penalty.lmbda == 0:
        return np.zeros_like(g)
    step = MOREAU_STEP * top / penalty.lmbda
    return (g - penalty.prox(g, step)) / g.dtype.type(step)


def descend_layers(objective, layers, constraints, rates, n_passes=1):
    """Projected gradient steps on the atoms of each layer in turn [1]_.

        d_k <- P( d_k - rate / u_k * gradient_k ),   u_k the energy of the codes of atom k

    P is the projection onto the layer's constraint: for sparse atoms of norm one it keeps the
    largest values and divides by their norm (iterative hard thresholding). A step is halved until
    the objective is below its quadratic upper model (backtracking). No step raises the objective,
    for any closed constraint sets.

    Parameters
    ----------
    objective : Objective
    layers : list of arrays (K_i, K_{i-1}, *s_i)
    constraints : list of Constraint
    rates : tuple of L floats
        Initial step lengths.
    n_passes : int
        Passes over the layers.

    Returns
    -------
    layers : list of arrays
        Same dtype; computed in float64.
    rates : tuple of floats
        Step lengths with which to continue.

    References
    ----------
    .. [1] J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse modeling:
       pursuit and dictionary learning", IEEE TSP 66(15), 2018, Algorithm 3.
    """
    dtype, rates = layers[0].dtype, list(rates)
    pairs = zip(constraints, layers, strict=True)
    point = objective.at([c.project(d.astype("float64")) for c, d in pairs])
    for _ in range(n_passes):
        for i, constraint in enumerate(constraints):
            point, rates[i] = _step(objective, point, i, constraint, rates[i])
    return [d.astype(dtype) for d in point.layers], tuple(rates)


def _step(objective, point, i, constraint, rate):
    d, gradient = point.layers[i], objective.gradient(point, i)
    code_energies = objective.code_energies(point, i)
    if not code_energies.any():
        return point, rate
    scale = np.maximum(code_energies, MIN_RELATIVE_ENERGY * code_energies.max())
    scale = scale.reshape(-1, *(1,) * (d.ndim - 1))
    before = rate
    for _ in range(MAX_HALVINGS):
        candidate = constraint.project(d - rate / scale * gradient)
        step = candidate - d
        bound = float((gradient * step).sum()) + float((scale * step * step).sum()) / (2 * rate)
        new = objective.at([*point.layers[:i], candidate, *point.layers[i + 1 :]])
        if new.value <= point.value + min(bound, 0):
            return new, RATE_GROWTH * rate
        rate /= 2
    return point, max(before / 2, MIN_RATE)


def compose(layers, strides):
    """Atoms of ``D_i ... D_L`` for i = 1, ..., L + 1; the last is the identity."""
    k, ndim = len(layers[-1]), layers[-1].ndim - 2
    parts = [namespace(layers[-1]).eye(k).reshape(k, k, *(1,) * ndim)]
    for d, stride in zip(reversed(layers), reversed(strides), strict=True):
        parts.insert(0, Dictionary(d, "full", stride)(parts[0]))
    return parts


def product(strides):
    """Stride of several layers together: the product along each axis."""
    return tuple(map(prod, zip(*strides, strict=True)))
