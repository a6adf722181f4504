"""Update of the atoms of all layers, from the statistics of their product."""

from collections.abc import Sequence
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from csc._backend import namespace
from csc.learning import _statistics as stats
from csc.learning._batch import tree_sum
from csc.operators import Dictionary

MAX_HALVINGS = 12  # of a step, before a layer stays where it is
RATE_GROWTH = 1.5  # of the next step after one that was short enough
MIN_RATE = 1e-6  # rate
MIN_RELATIVE_ENERGY = (
    1e-3  # of the largest use of an atom: what is used less, is taken for as much used
)
MOREAU_STEP = 1e-3  # of the largest code: below it, the gradient of a penalty_value fades to zero


class Point(NamedTuple):
    """Atoms with what the objective knows of them."""

    layers: list  # atoms (K_i, K_{i-1}, *s_i), i = 1, ..., L, in float64
    parts: list  # atoms of D_i ... D_L for i = 1, ..., L + 1
    product_gradient: np.ndarray  # of the data term for the atoms of the product
    value: float


class Objective:
    """Mean objective per signal as a function of the atoms of all layers, the codes fixed.

        f(D_1, ..., D_L) = mean_n  1/2 ||x_n - D_1 ... D_L g_n||^2 + sum_{i<L} p_i(D_{i+1} ... g_n)

    The data term comes from the statistics of the product ``D_1 ... D_L``, whose atoms are the
    layers' codes of one another; the mid_penalty of the layers between are those of the batch at hand.

    Parameters
    ----------
    statistics : Statistics
        Of the deepest codes and atoms of the product's extents.
    weight : float
        Signals behind the statistics.
    strides : sequence of tuples
        Of every layer.
    mid_penalty : Prices, optional
        None if the layers between have none.
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
        value = (
            energy
            - float((psi * product_atoms).sum())
            + 0.5 * float((correlated * product_atoms).sum())
        )
        penalty_value = 0.0 if self.mid_penalty is None else self.mid_penalty.value(layers)
        return Point(
            layers, parts, (correlated - psi) / self.weight, value / self.weight + penalty_value
        )

    def gradient(self, point, i):
        """Gradient for the atoms of layer i, counted from 0."""
        upper = point.product_gradient
        for d, stride in zip(point.layers[:i], self.strides, strict=False):
            upper = Dictionary(d, "full", stride).adjoint(upper)
        layer = Dictionary(point.layers[i], "full", self.strides[i])
        gradient = layer.adjoint_atoms(upper, point.parts[i + 1])
        return (
            gradient
            if self.mid_penalty is None
            else gradient + self.mid_penalty.gradient(point.layers, i)
        )

    def code_energies(self, point, i):
        """Mean energy per signal of the codes of each atom of layer i, ``(K_i,)``."""
        part = point.parts[i + 1]
        stride = product(self.strides[i + 1 :]) or (1,) * (part.ndim - 2)
        correlated = stats.correlate(self.statistics.phi, part, stride)
        return (correlated * part).sum(axis=(0, *range(2, part.ndim))) / self.weight


class MidLayerPenalty:
    """Mean mid_penalty per signal of the codes of the layers between, ``g_i = D_{i+1} ... D_L g_L``.

    Parameters
    ----------
    coded : list of EncodedLayers
        With multi-layer problems.
    """

    def __init__(self, coded):
        self.parts = [
            MidLayerCodes(flat.z, problem.dictionary, problem.penalties, problem.extents)
            for flat, problem, _ in coded
        ]
        self.n = sum(part.z.shape[0] for part in self.parts)

    def value(self, layers):
        """Of the codes at these atoms."""
        return sum(mid_penalty_value(part, layers) for part in self.parts) / self.n

    def gradient(self, layers, i):
        """Gradient for the atoms of layer i, counted from 0; the first has no penalty_value above it."""
        if i == 0:
            return namespace(layers[0]).zeros(layers[0].shape)
        return (
            tree_sum((mid_penalty_gradient(part, layers, i) for part in self.parts), add) / self.n
        )


class MidLayerCodes(NamedTuple):
    """Deepest codes, and what the codes of the layers between hang on besides the atoms."""

    z: object  # deepest codes, dense or SparseCodes
    dictionary: object  # MultiLayerDictionary: mode, strides and precision of the layers
    penalties: Sequence
    extents: list  # of the signals and of the codes of every layer


def mid_penalty_value(part, layers):
    """Price of the codes of the layers between, at these atoms."""
    codes, _ = _below(part, layers)
    return sum(p.value(g) for p, g in zip(part.penalties, codes[:-1], strict=False))


def mid_penalty_gradient(part, layers, i):
    """Gradient of `mid_penalty_value` for the atoms of layer i >= 1, counted from 0."""
    codes, dictionaries = _below(part, layers)
    penalties = part.penalties
    code_gradient = _penalty_gradient(penalties[0], codes[0])
    for j in range(1, i):
        code_gradient = dictionaries[j].adjoint(code_gradient) + _penalty_gradient(
            penalties[j], codes[j]
        )
    return dictionaries[i].adjoint_atoms(code_gradient, codes[i]).astype(layers[i].dtype)


def _below(part, layers):
    """Codes ``g_1, ..., g_L`` of the deepest ones, and the dictionaries that make them."""
    z, old = part.z, part.dictionary.layers
    dictionaries = [
        Dictionary(d.astype(D.dtype), D.mode, D.stride) for d, D in zip(layers, old, strict=True)
    ]
    codes = [z.dense() if hasattr(z, "dense") else z]
    for D, extents in zip(dictionaries[:0:-1], part.extents[-2:0:-1], strict=True):
        codes.insert(0, D(codes[0], extents))
    return codes, dictionaries


def _penalty_gradient(penalty, g):
    """Slope of the penalty at codes, of its Moreau envelope where it has a kink."""
    top = float(abs(g).max())
    if top == 0 or penalty.lmbda == 0:
        return np.zeros_like(g)
    step = MOREAU_STEP * top / penalty.lmbda
    return (g - penalty.prox(g, step)) / g.dtype.type(step)


def descend_layers(objective, layers, constraints, rates, n_passes=1):
    """Projected gradient steps on the atoms of one layer after the other [1]_.

        d_k <- P( d_k - rate / u_k * slope_k ),   u_k the energy of the codes of atom k

    P is the projection of the layer's constraint: for sparse atoms of norm one it keeps the
    largest values and divides by their norm (iterative hard thresholding). A step that does not
    keep what its gradient promised is halved. No step raises the objective, whatever closed sets the
    atoms must lie in.

    Parameters
    ----------
    objective : Objective
    layers : list of arrays (K_i, K_{i-1}, *s_i)
    constraints : list of Constraint
    rates : tuple of L floats
        To begin with.
    n_passes : int
        Over the layers.

    Returns
    -------
    layers : list of arrays
        In the precision of those given; computed in float64.
    rates : tuple of floats
        To go on with.

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
    d, gradient, code_energies = (
        point.layers[i],
        objective.gradient(point, i),
        objective.code_energies(point, i),
    )
    if not code_energies.any():
        return point, rate
    scale = np.maximum(code_energies, MIN_RELATIVE_ENERGY * code_energies.max()).reshape(
        -1, *(1,) * (d.ndim - 1)
    )
    before = rate
    for _ in range(MAX_HALVINGS):
        candidate = constraint.project(d - rate / scale * gradient)
        step = candidate - d
        promised = float((gradient * step).sum()) + float((scale * step * step).sum()) / (2 * rate)
        new = objective.at([*point.layers[:i], candidate, *point.layers[i + 1 :]])
        if new.value <= point.value + min(promised, 0):
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
    """Stride of layers together."""
    return tuple(map(prod, zip(*strides, strict=True)))
