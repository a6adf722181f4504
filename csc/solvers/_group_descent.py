"""Block coordinate descent for the group lasso, on patches and on signals."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from csc._typing import Array, ProblemLike
from csc.certificates import group_lmbdas
from csc.penalties import GroupL21, SparseGroupL21
from csc.solvers._active_groups import ActiveGroups
from csc.solvers._rounds import Progress, step_in_rounds
from csc.solvers._small_signals import code_small_signals

MAX_ROUNDS = 1000  # of selecting groups for one patch: far above what was ever needed
MAX_ROUNDS_FLOAT32 = 50
MAX_GAP_RATIO = 0.5  # of the gaps after and before a step in float64
LESS_TOL_PER_STEP = 0.01
LEAST_TOL = 1e-16  # below, only rounding is left


class GroupDescentState(NamedTuple):
    """State of group descent."""

    z: object  # codes: sparse for larger signals
    tol: float  # relative gap of the next step
    gap: float = inf  # after the last step, of patches if it was in float64
    exact: bool = False  # patches: whether correlations are computed in float64
    progress: Progress = Progress()  # larger signals


@dataclass(frozen=True)
class GroupDescent:
    """The group lasso: block coordinate descent over active groups [1]_, for patches and for signals of any size.

    For each patch, the groups that violate optimality most become active, a few sweeps minimise over one
    active group at a time, and this is repeated until the duality gap is small enough. A group's
    curvature is the largest eigenvalue of its Gram matrix, so that a sweep is exact for orthonormal
    groups (`csc.constraints.OrthonormalGroups`), and never raises the objective for others. Sweeps alternate
    with primal-dual Newton steps [2]_ of the groups that are not 0, which converge quickly where atoms are
    coherent. The sparse group lasso (`SparseGroupL21`) is solved in the same way, with a soft-threshold before
    that of the group.

    Signals of at most 1024 codes with the same mask are solved as patches whose atoms are all columns of the
    dictionary, in float64.

    Larger signals, and those with different masks: in each round, correlations with the residual select the groups
    that violate optimality most near them. Sweeps over the active groups keep the residual, so that one update costs as
    many operations as the atoms of the group have samples. Once few groups are new, the Newton step of the non-zero
    groups is solved by conjugate gradients; in one dimension, after exact solves of blocks of neighbouring groups [3]_.
    Codes are stored sparse.

    On patches, the second step computes in float64, and each step has a tolerance a hundred times smaller than
    the one before. On larger signals a step is ten rounds, or thirty of at most 2^18 samples.

    Parameters
    ----------
    tol : float
        Relative gap of each signal at which the first step ends.

    References
    ----------
    .. [1] Z. Qin, K. Scheinberg, D. Goldfarb, "Efficient block-coordinate descent algorithms for
       the group lasso", Math. Program. Comput. 5, 2013, sec. 2.
    .. [2] T. F. Chan, G. H. Golub, P. Mulet, "A nonlinear primal-dual method for total variation-based
       image restoration", SIAM J. Sci. Comput. 20(6), 1999, sec. 3.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.GroupL21(1.0, group_size=2))
    >>> csc.solve(problem, csc.solvers.GroupDescent()).codes.ravel().round(2)
    array([2.4, 3.2])
    """

    tol: float = 1e-4

    check_every = 1
    sparse = True  # codes of larger signals
    requirements = (
        "needs a GroupL21 with a group_size or a SparseGroupL21 (lmbda > 0), least squares without weights, and NumPy "
        "arrays; measured signals must have at most 1024 codes and one mask for all"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether it is a group lasso, or a sparse one, with groups of one size."""
        penalty, structure = problem.penalty, problem.structure
        if type(penalty) not in (GroupL21, SparseGroupL21) or not structure.on_host:
            return False
        if getattr(penalty, "groups", None) is not None or not penalty.lmbda > 0:
            return False
        return structure.is_patch or structure.is_small or structure.has_group_dual

    def init(self, problem: ProblemLike, z0: Array) -> GroupDescentState:  # noqa: ARG002
        """State at codes ``z0``."""
        return GroupDescentState(z0, self.tol)

    def step(self, problem: ProblemLike, state: GroupDescentState) -> GroupDescentState:
        """Solve to ``tol``, which then falls. Larger signals: some rounds, or fewer to ``tol``."""
        structure = problem.structure
        if not (structure.is_patch or structure.is_small):
            return _code_signals(problem, state)
        code = _code_patches if structure.is_patch else _code_small
        while state.tol > LEAST_TOL:
            after = code(problem, state)
            if after is not None and (after.gap == 0 or not np.array_equal(after.z, state.z)):
                return after
            # the codes met the tolerance, or only rounding is left: unchanged ones would end the loop
            state = after or state._replace(tol=state.tol * LESS_TOL_PER_STEP)
        return state


def _code_patches(problem, state):
    """State after a step, or None if it did not make the gap much smaller."""
    structure, exact = problem.structure, state.exact
    form = structure.gram_form_double if exact else structure.gram_form
    start = state.z.reshape(len(state.z), -1).astype(form.gram.dtype)
    z, gaps = np.empty_like(start), form.energies.copy()
    rounds = MAX_ROUNDS if form.gram.dtype == "float64" else MAX_ROUNDS_FLOAT32
    structure.kernels.group_lasso_gram(
        *form, group_curvatures(form.gram, problem.penalty.group_size), group_lmbdas(problem.penalty),
        (state.tol, rounds), start, z, gaps,
    )  # fmt: skip
    gap = float(gaps.sum())
    if exact and gap > MAX_GAP_RATIO * state.gap:
        return None
    z = z.reshape(state.z.shape).astype(state.z.dtype, copy=False)
    gap = gap if form.gram.dtype == "float64" else inf
    return GroupDescentState(z, state.tol * LESS_TOL_PER_STEP, gap, exact=True)


def _code_small(problem, state):
    """As `_code_patches`, of signals with few codes."""

    def kernel(form, products, start, out, gaps):
        curvatures = group_curvatures(form.gram, problem.penalty.group_size)
        options = group_lmbdas(problem.penalty), (state.tol, MAX_ROUNDS)
        problem.structure.kernels.group_lasso_gram(
            form.gram, *products[:2], curvatures, *options, start, out, gaps
        )

    z, gap = code_small_signals(problem, state.z, kernel)
    if gap > MAX_GAP_RATIO * state.gap:
        return None
    return GroupDescentState(z, state.tol * LESS_TOL_PER_STEP, gap, exact=True)


def _code_signals(problem, state):
    step = step_in_rounds(problem, state, ActiveGroups)
    if step is None:
        return state  # unchanged codes end the loop
    return GroupDescentState(step.codes, step.tol, progress=step.progress)


def group_curvatures(gram, size):
    """Largest eigenvalue of the Gram matrix of each group, ``(G,)``."""
    g = np.arange(len(gram) // size)
    blocks = gram.astype("float64").reshape(len(g), size, len(g), size)[g, :, g]
    return np.linalg.eigvalsh(blocks)[:, -1].clip(0) * (1 + 16 * np.finfo(gram.dtype).eps)
