"""Encoding of signals by several layers, for learning."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import namespace, to_host
from csc._solve import solve_quietly
from csc.learning._encode import encode
from csc.learning._step import EncodedBatch
from csc.operators import MultiLayerDictionary, SparseCodes, dense_codes
from csc.problems import MultiLayerProblem, Problem

MAX_LAYERED_CODES = 2**24  # codes of all layers in memory during a multi-layer pursuit


class LayersModel(NamedTuple):
    """Dictionaries, penalties and pursuit of the codes of all layers."""

    dictionary: MultiLayerDictionary
    penalties: Sequence  # one per layer
    pursuit: object = None  # solver of `MultiLayerProblem`; None for the default

    @property
    def is_layered(self):
        """Whether the codes of all layers are unknowns, not only the deepest ones."""
        return self.pursuit is not None or any(p.lmbda for p in self.penalties[:-1])


class EncodedLayers(NamedTuple):
    """Signals with the codes of all layers."""

    flat: EncodedBatch  # deepest codes, on the product of all layers as one dictionary
    problem: MultiLayerProblem | None  # None if only the deepest codes are penalised
    # of all layers, as returned by the pursuit: z_{i-1} = D_i z_i need not hold
    codes: tuple | None


def encode_layers(groups, model, limits, starts=None):
    """Codes of groups of signals.

    Parameters
    ----------
    groups : iterable of Group
    model : LayersModel
        With resolved penalties.
    limits : (tol, max_iter)
    starts : list, optional
        Deepest codes of each group to start from. A signal keeps them if the pursuit finds no
        better ones.

    Returns
    -------
    list of EncodedLayers
    """
    if not model.is_layered:
        D, penalty = model.dictionary.effective(), model.penalties[-1]
        coded = encode(groups, D, penalty, starts, limits[0])
        return [EncodedLayers(batch, None, None) for batch in coded]
    coded = []
    for i, (problem, weight) in enumerate(problems(groups, model)):
        start = None if starts is None or i >= len(starts) else starts[i]
        if start is not None:
            start = dense_codes(start)
            start = None if start.shape != problem.code_shape else start
        flat, z = _coded(problem, model.pursuit, limits, start)
        coded.append(EncodedLayers(EncodedBatch(*flat, weight), problem, z))
    return coded


def problems(groups, model):
    """Problems of groups and their weights, in parts with at most `MAX_LAYERED_CODES` codes."""
    dictionary = model.dictionary
    for x, _, weight in groups:
        pairs = zip(dictionary.layers, dictionary.spatial_shapes(x.shape[2:])[1:], strict=True)
        size = max(1, MAX_LAYERED_CODES // sum(D.n_atoms * prod(v) for D, v in pairs))
        for first in range(0, len(x), size):
            own = None if weight is None else weight[first : first + size]
            yield MultiLayerProblem(x[first : first + size], dictionary, model.penalties), own


def resolve_lmbdas(groups, model):
    """The penalties of the layers with ``lmbda`` resolved on each part of the groups."""
    return [problem.penalties for problem, _ in problems(groups, model)]


def largest(found):
    """Of several lists of the layers' penalties, those with the largest ``lmbda``."""
    return [max(own, key=lambda penalty: penalty.lmbda) for own in zip(*found, strict=True)]


def _coded(problem, pursuit, limits, start):
    """Codes of one group by a multi-layer pursuit: the deepest with their `Problem`, and all."""
    tol, max_iter = limits
    init = None if start is None else problem.synthesize_all(start)[1:]
    z = solve_quietly(problem, pursuit, tol=tol, max_iter=max_iter, init=init).z
    if start is not None:
        worse = objectives(problem, z[-1]) > objectives(problem, start)
        xp = namespace(start)
        rows = xp.asarray(worse).reshape(-1, *(1,) * (start.ndim - 1))
        pairs = zip(init, z, strict=True)
        z = tuple(xp.where(rows, old, new) for old, new in pairs) if worse.any() else z
    flat = Problem(problem.x, problem.dictionary.effective(), problem.penalties[-1])
    deepest = (
        SparseCodes.of(z[-1]) if flat.structure.on_host and not flat.structure.is_patch else z[-1]
    )
    return (flat, deepest), z


def objectives(problem, z):
    """Objective of each signal at deepest codes ``z``: ``(N,)``, in float64."""
    fit, *codes = problem.synthesize_all(z)
    r = (problem.x - fit).astype("float64")
    squares = to_host((r * r).reshape(len(r), -1).sum(axis=1))
    return 0.5 * squares + sum(
        np.array([p.value(g[n : n + 1]) for n in range(len(r))])
        for p, g in zip(problem.penalties, codes, strict=True)
    )
