"""Projection onto the multi-layer model, greedily."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from csc._typing import Array, LayersProblem, ProblemLike
from csc.operators import SparseCodes
from csc.solvers._greedy import GreedyState
from csc.solvers._multilayer_common import back_substitute, effective_problem, stripe_norms
from csc.solvers._run import check_rules


class ProjectionPursuitState(NamedTuple):
    """State of the pursuit."""

    z: tuple  # (g_1, ..., g_L)  last codes within all limits, g_{i-1} = D_i g_i
    effective: object  # the problem of one layer, D_1 ... D_L
    growing: object  # (N,)  signals that may still take in a code
    done: bool  # whether none may


@dataclass(frozen=True)
class ProjectionPursuit:
    """The nearest signal of the multi-layer model, by deepest codes that grow one by one [1]_.

    With ``||g||_{0,inf}`` the most codes that meet in a stripe (`csc.theory.stripe_norm`),

        minimise over g_L  ||x - D_1 ... D_L g_L||   such that   g_{i-1} = D_i g_i
                                                     and ||g_i||_{0,inf} <= limits[i - 1].

    Each step is one of orthogonal matching pursuit on the effective dictionary ``D_1 ... D_L``;
    the codes of the other layers follow by back-substitution. A signal keeps its last codes within
    all limits when the next ones would not be. The penalties have no effect.

    Parameters
    ----------
    limits : sequence of L ints or None
        Largest stripe norm of each layer; None does not limit a layer.
    n_nonzero : int, optional
        Largest number of non-zero deepest codes per signal.
    max_squared_residual : float
        Stop when ``||r||^2`` is at most this.

    References
    ----------
    .. [1] J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse modeling:
       pursuit and dictionary learning", IEEE TSP 66(15), 2018, Algorithm 2.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    >>> sample = csc.datasets.make_sparse_signals(D, 1, (20,), rng=0)
    >>> problem = csc.MultiLayerProblem(sample.x, D, [csc.L1(0.0), csc.L1(0.0)])
    >>> found = csc.solve(problem, csc.solvers.ProjectionPursuit([2, 1]))
    >>> bool(abs(found.codes[0] - sample.codes[0]).max() < 1e-12)
    True
    """

    limits: tuple
    n_nonzero: int | None = None
    max_squared_residual: float = 0.0

    check_every = 20
    layered = True
    requirements = (
        "needs a csc.MultiLayerProblem whose layers all have mode 'full', or all 'circular', NumPy "
        "arrays, and no penalty with positive=True: least squares gives codes of both signs"
    )

    def __post_init__(self):
        limits = tuple(self.limits)
        for i, limit in enumerate(limits):
            if limit is not None and not limit >= 1:
                raise ValueError(f"limits[{i}] must be >= 1 or None, got {limit}")
        check_rules(self.n_nonzero, self.max_squared_residual)
        object.__setattr__(self, "limits", limits)

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the layers together are one convolution that sees every atom whole."""
        if not hasattr(problem, "layers"):
            return False
        modes = {D.mode for D in problem.dictionary.layers}
        positive = any(getattr(p, "positive", False) for p in problem.penalties)
        return modes in ({"full"}, {"circular"}) and problem.on_host and not positive

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> ProjectionPursuitState:
        """State at codes ``z0``, of all layers; the pursuit goes on from the deepest."""
        problem.dictionary.check_one_each("limits", self.limits)
        growing = np.ones(len(problem.x), bool)
        z = back_substitute(problem, z0[-1])
        return ProjectionPursuitState(z, effective_problem(problem), growing, done=False)

    def step(self, problem: LayersProblem, state: ProjectionPursuitState) -> ProjectionPursuitState:
        """One code more in every signal that may grow."""
        if state.done:
            return state
        greedy = GreedyState(
            state.effective.x, state.effective.dictionary, SparseCodes.of(state.z[-1])
        )
        before = _counts(greedy.codes)
        remaining = np.where(
            state.growing, greedy.remaining(self.n_nonzero, self.max_squared_residual), 0
        )
        if greedy.select(greedy.decreases(), 0.0, remaining, 1.0) == 0:
            return state._replace(done=True)
        growing = state.growing & (_counts(greedy.codes) > before)
        greedy.refit()
        codes = back_substitute(problem, greedy.codes.dense())
        limits = np.array([inf if limit is None else limit for limit in self.limits])
        fits = growing & (stripe_norms(problem, codes) <= limits[:, None]).all(axis=0)
        grown = fits.reshape(-1, *(1,) * (codes[-1].ndim - 1))
        z = tuple(np.where(grown, new, old) for new, old in zip(codes, state.z, strict=True))
        return state._replace(z=z, growing=fits, done=not fits.any())


def _counts(codes):
    return codes.sums(np.ones(len(codes.index)))
