"""Holistic pursuit: zeros of the mid layers are found one by one and constrain the deepest codes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csc._typing import Array, LayersProblem, ProblemLike
from csc.solvers._admm_common import layer_scales, mean_lmbda, rho_factor
from csc.solvers._conjugate_gradients import conjugate_gradients


class Sweep(NamedTuple):
    """State of ADMM within a round."""

    gamma: object  # deepest codes of the quadratic problem
    s: object  # deepest codes, sparse
    w: tuple  # w_1, ..., w_L   scaled duals; those of a mid layer are zero off its cosupport
    rho: float


class HolisticPursuitState(NamedTuple):
    """State of the pursuit."""

    z: tuple  # g_1, ..., g_L; g_1, ..., g_{L-1} are 0 on their cosupports
    cosupports: tuple  # of g_1, ..., g_{L-1}: boolean arrays
    sweep: Sweep
    done: bool


@dataclass(frozen=True)
class HolisticPursuit:
    """Deepest codes by synthesis, zeros of the mid layers by analysis, in turn [1]_.

    With ``K_i = D_{i+1} ... D_L`` and Lambda_i the known zeros of g_i, each step solves

        minimise over g  1/2 ||x - K_0 g||^2 + p_L(g)   such that  (K_i g) = 0 on Lambda_i

    and adds to every Lambda_i the ``per_round`` codes of ``K_i g`` nearest to 0. It ends with the
    solution for full cosupports. Penalties of the mid layers have no effect. A zero takes one degree
    of freedom from the deepest codes, and with it noise.

    The problem of a step is solved by alternating directions [2]_: ``g`` is split from its sparse
    copy, ``K_i g`` from zeros on Lambda_i; nothing is split elsewhere. The quadratic problems of
    small signals, whose normal matrices are at most 2^24 numbers together, are solved by inverses.
    Beyond that they are left to some warm-started conjugate gradients, which keep nothing larger
    than the codes. No null space is computed. (The authors' code projects on it, by its SVD.)

    Parameters
    ----------
    cosparsity : int or sequence of L - 1 ints
        Zeros of ``g_1, ..., g_{L-1}`` to find in each signal. Zeros that no deepest code reaches
        count too: they come first.
    per_round : int
        Zeros per layer that a round finds, 1 in the paper.
    debias : bool
        Fit the values of the last support once more by least squares, under the constraints.
    rho : float, optional
        First penalty parameter; None takes the mean lambda of the deepest penalty.
    sweep_tol : float
        Relative residuals at which the sweeps of a round stop.
    max_sweeps : int
        Largest number of sweeps per round.

    References
    ----------
    .. [1] A. Aberdam, J. Sulam, M. Elad, "Multi-layer sparse coding: the holistic way", SIAM J.
       Math. Data Sci. 1(1), 2019.
    .. [2] S. Boyd et al., "Distributed optimization and statistical learning via the alternating
       direction method of multipliers", Found. Trends Mach. Learn. 3(1), 2011, (3.2)-(3.4),
       sec. 3.3.1, 3.4.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(9, 1, 8), (6, 9, 1)], rng=0)  # dense layers
    >>> x, codes, (zeros,) = csc.datasets.make_cosparse_signals(D, 3, 2, (8,), rng=4)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), csc.L1(0.01)])
    >>> found = csc.solve(problem, csc.solvers.HolisticPursuit(2, debias=True))
    >>> bool(abs(found.codes[1] - codes[1]).max() < 1e-4), found.n_iter
    (True, 3)
    """

    cosparsity: int | tuple
    per_round: int = 1
    debias: bool = False
    rho: float | None = None
    sweep_tol: float = 1e-6
    max_sweeps: int = 2000

    check_every = 1
    layered = True
    requirements = (
        "needs a csc.MultiLayerProblem of two or more layers, NumPy arrays, and no positive=True "
        "in a mid layer, whose penalties have no effect"
    )

    def __post_init__(self):
        given = self.cosparsity
        for count in given if isinstance(given, tuple | list) else [given]:
            if count != int(count) or count < 0:
                raise ValueError(f"cosparsity must be integers >= 0, got {given}")
        for name in ("per_round", "max_sweeps"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value}")
        if not self.sweep_tol > 0:
            raise ValueError(f"sweep_tol must be > 0, got {self.sweep_tol}")
        if self.rho is not None and not self.rho > 0:
            raise ValueError(f"rho must be > 0, got {self.rho}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers, and one between the signal and the deepest."""
        if not hasattr(problem, "layers") or len(problem.layers) < 2:
            return False
        mids = problem.penalties[:-1]
        return problem.on_host and not any(getattr(p, "positive", False) for p in mids)

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> HolisticPursuitState:
        """State at codes ``z0``, of all layers, with empty cosupports."""
        self._counts(problem)
        masks = tuple(g != g for g in z0[:-1])
        w = tuple(0 * g for g in z0)
        sweep = Sweep(z0[-1], z0[-1], w, self._unit(problem))
        return HolisticPursuitState(z0, masks, sweep, done=False)

    def step(self, problem: LayersProblem, state: HolisticPursuitState) -> HolisticPursuitState:
        """One round: the codes for the present cosupports, then larger cosupports."""
        if state.done:
            return state
        penalty, masks = problem.penalties[-1], state.cosupports
        sweep = self._solve(problem, masks, state.sweep, penalty.prox)
        counts = self._counts(problem)
        done = all((_per_signal(m) >= n).all() for m, n in zip(masks, counts, strict=True))
        if done and self.debias:
            sweep = self._refit(problem, masks, sweep)
        _, *codes = problem.synthesize_all(sweep.s)
        z = (*(g * ~m for g, m in zip(codes, masks, strict=False)), sweep.s)
        if not done:
            masks = tuple(
                _with_smallest(g, m, self.per_round, n)
                for g, m, n in zip(codes, masks, counts, strict=False)
            )
        return HolisticPursuitState(z, masks, sweep, done)

    def _counts(self, problem):
        """Zeros to find in each mid layer."""
        shapes, counts = problem.code_shapes[:-1], self.cosparsity
        counts = list(counts) if isinstance(counts, tuple | list) else [counts] * len(shapes)
        if len(counts) != len(shapes):
            raise ValueError(
                f"cosparsity must be one for each of the {len(shapes)} mid layers, got "
                f"{len(counts)}"
            )
        for i, (count, (_, *shape)) in enumerate(zip(counts, shapes, strict=True), 1):
            if count > np.prod(shape):
                raise ValueError(
                    f"cosparsity must be <= {np.prod(shape)}, the codes of layer {i} of one "
                    f"signal, got {count}"
                )
        return counts

    def _refit(self, problem, masks, sweep):
        """Least squares on the support of the codes, under the constraints."""
        support = sweep.s != 0
        start = sweep._replace(w=(*sweep.w[:-1], sweep.w[-1] * ~support))
        return self._solve(problem, masks, start, lambda h, step: h * support)  # noqa: ARG005

    def _solve(self, problem, masks, sweep, prox):
        """Sweep until the residuals are small; every tenth sweep balances rho."""
        masks = _in_units_of_the_codes(problem, masks)
        normal = _normal(problem, masks)
        least_squares, unit = normal(sweep.rho), self._unit(problem)
        for n in range(1, self.max_sweeps + 1):
            s_old = sweep.s
            sweep, primal = _sweep(problem, masks, sweep, prox, least_squares)
            if n % BALANCE_EVERY == 0:
                # in units of the dual variables, of the size of lmbda, not of D^T x: [2], sec. 3.3.1
                dual, size = _energy(sweep.s - s_old), _energy(sweep.gamma)
                scale = sum(map(_energy, sweep.w)) or size  # no duals: no penalty
                if primal <= self.sweep_tol**2 * size and dual <= self.sweep_tol**2 * scale:
                    break
                rho = sweep.rho
                limits = unit / MAX_RHO_CHANGE, unit * MAX_RHO_CHANGE
                factor = rho_factor(primal, dual, size, scale, BALANCED_RATIO)
                sweep = _balanced(sweep, factor, limits)
                if sweep.rho != rho:
                    least_squares = normal(sweep.rho)
        return sweep

    def _unit(self, problem):
        """First rho."""
        return self.rho or mean_lmbda(problem.penalties[-1]) or 1.0


ZEROS_RHO_FACTOR = 100.0  # rho of the zeros over rho of the codes
RELAXATION = 1.7  # [2], sec. 3.4.3
CG_STEPS = 50
CG_REDUCTION = 0.1  # of the norm of the residual, at which conjugate gradients stop
BALANCE_EVERY = 10  # sweeps
BALANCED_RATIO = 10.0  # of the relative residuals: another rho takes another matrix
MAX_RHO_CHANGE = 1e6  # largest factor between rho and its first value, up or down
MAX_MATRIX_SIZE = 2**24  # entries of all normal matrices, and of their factors: 128 MB each
MAX_INVERTED_CODES = 2**10  # codes per signal: for more, conjugate gradients are faster


def _in_units_of_the_codes(problem, masks):
    """The zeros of each mid layer over the norm of ``D_{i+1} ... D_L``: no atoms' scale matters."""
    *scales, deepest = layer_scales(problem.dictionary)
    number = problem.x.dtype.type
    return tuple(m * number((a / deepest) ** 0.5) for m, a in zip(masks, scales, strict=True))


def _sweep(problem, masks, sweep, prox, least_squares):
    """One sweep, and the squared distance of the codes from their copies and from the zeros."""
    (gamma, s_old, w, rho), number = sweep, sweep.s.dtype.type
    mid = (-number(ZEROS_RHO_FACTOR * rho) * a * m for a, m in zip(w, masks, strict=False))
    b = problem.adjoint_sum((problem.x, *mid, number(rho) * (s_old - w[-1])))
    gamma = least_squares(b, gamma)
    _, *codes = problem.synthesize_all(gamma)
    violations = [g * m for g, m in zip(codes, masks, strict=False)]
    h = number(RELAXATION) * gamma + number(1 - RELAXATION) * s_old
    s = prox(h + w[-1], 1 / rho)
    duals = [a + number(RELAXATION) * b for a, b in zip(w, violations, strict=False)]
    primal = _energy(gamma - s) + sum(map(_energy, violations))
    return Sweep(gamma, s, (*duals, w[-1] + h - s), rho), primal


def _normal(problem, masks):
    """``rho -> (b, guess) -> gamma`` that solves ``A gamma = b``, exactly for small signals.

    ``A = K_0^T K_0 + rho (I + ZEROS_RHO_FACTOR sum_i K_i^T M_i^2 K_i)``, M_i the zeros.
    """
    n, *shape = problem.code_shape
    size = int(np.prod(shape))
    rows = sum(int(np.prod(a[1:])) for a in (problem.x.shape, *problem.code_shapes))
    small = size <= MAX_INVERTED_CODES and size * max(n * size, rows) <= MAX_MATRIX_SIZE
    return (_by_inverses if small else _by_gradients)(problem, masks)


def _by_inverses(problem, masks):
    """One inverse for each signal, in float64."""
    n, *shape = problem.code_shape
    size = int(np.prod(shape))
    basis = np.eye(size, dtype=problem.x.dtype).reshape(size, *shape)
    K_0, *mids, _ = (a.reshape(size, -1).astype("float64") for a in problem.synthesize_all(basis))
    fit, constraint = K_0 @ K_0.T, np.tile(np.eye(size), (n, 1, 1))
    for K, M in zip(mids, masks, strict=True):  # rows are what each code adds to the mid layer
        for i, zeros in enumerate(M.reshape(n, -1)):
            part = K[:, zeros != 0] * zeros[zeros != 0]
            constraint[i] += ZEROS_RHO_FACTOR * part @ part.T

    def at(rho):
        inverses = np.linalg.inv(fit + rho * constraint)

        def solve(b, guess):  # noqa: ARG001  needs none
            return (inverses @ b.reshape(n, size, 1)).reshape(b.shape).astype(b.dtype)

        return solve

    return at


def _by_gradients(problem, masks):
    """Conjugate gradients from a guess: nothing larger than the codes is kept."""

    def at(rho):
        def normal(g):
            fit, *codes = problem.synthesize_all(g)
            number = g.dtype.type
            mid = (
                number(ZEROS_RHO_FACTOR * rho) * a * m * m
                for a, m in zip(codes, masks, strict=False)
            )
            return problem.adjoint_sum((fit, *mid, number(rho) * g))

        def solve(b, guess):
            rel_tol = np.finfo(b.dtype).eps
            return conjugate_gradients(
                normal, b, CG_STEPS, start=guess, rel_tol=rel_tol, reduction=CG_REDUCTION
            )

        return solve

    return at


def _balanced(sweep, factor, limits):
    """The sweep with rho times a factor, if that is within limits."""
    if not limits[0] <= sweep.rho * factor <= limits[1]:
        return sweep
    w = tuple(a / a.dtype.type(factor) for a in sweep.w)
    return sweep._replace(w=w, rho=sweep.rho * factor)


def _with_smallest(g, mask, per_round, count):
    """The cosupport and, in each signal, the smallest codes outside it, up to ``count``."""
    sizes = np.where(mask, np.inf, abs(g)).reshape(len(g), -1)
    n_new = np.minimum(per_round, count - _per_signal(mask))
    order = sizes.argsort(axis=1, kind="stable")
    rank = order.argsort(axis=1)
    return mask | (rank < n_new[:, None]).reshape(mask.shape)


def _per_signal(mask):
    return mask.reshape(len(mask), -1).sum(axis=1)


def _energy(a):
    return float((a * a).sum(dtype="float64"))
