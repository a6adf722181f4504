"""Orthogonal matching pursuit."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csc._typing import Array, LayerProblem, ProblemLike
from csc.penalties import L0
from csc.solvers._run import GREEDY, Outcome, Status, check_rules

DEPENDENT = 1  # the kernel's code for a pursuit that ended at a linearly dependent atom


class OMPState(NamedTuple):
    """State of the pursuit."""

    z: object  # codes
    done: bool  # whether the pursuit has run
    outcome: Outcome = GREEDY


@dataclass(frozen=True)
class OMP:
    """Select the atom of largest correlation, refit all codes, repeat: for `L0` on patches.

    Batch OMP [1]_: it works on the Gram matrix with a Cholesky factor that grows by one row per
    step. A signal stops when the next atom would decrease ``1/2 ||r||^2`` by at most ``lmbda``, at
    ``n_nonzero`` atoms, or when ``||r||^2 <= max_squared_residual``. The status is STALLED where a
    signal stopped earlier, because the next atom depends linearly on the selected ones. Signals
    in float32 that stop by rounding are solved again in float64.

    With a mask, x and the atoms are those values that were seen of a signal: ``||M r||^2`` takes the
    place of ``||r||^2``, and the norms of the atoms are those of their seen part.

    Parameters
    ----------
    n_nonzero : int, optional
        Largest number of non-zero codes per signal; None sets no limit.
    max_squared_residual : float
        Stop when ``||r||^2`` is at most this.

    References
    ----------
    .. [1] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD
       algorithm using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L0(1.0))
    >>> csc.solve(problem, csc.solvers.OMP()).codes.ravel().round(2)
    array([3., 4.])
    """

    n_nonzero: int | None = None
    max_squared_residual: float = 0.0

    check_every = 1
    requirements = (
        "needs an L0 penalty without positive, codes with one position (patches) and NumPy arrays"
    )

    def __post_init__(self):
        check_rules(self.n_nonzero, self.max_squared_residual)

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem is an L0-penalised patch problem."""
        structure = problem.structure
        return (
            (structure.is_patch or structure.is_masked_patch)
            and type(problem.penalty) is L0
            and not problem.penalty.positive
            and hasattr(structure.kernels, "omp_gram")
        )

    def init(self, problem: LayerProblem, z0: Array) -> OMPState:  # noqa: ARG002
        """State before the pursuit, which ignores ``z0`` and starts from zero."""
        return OMPState(z0, done=False)

    def step(self, problem: LayerProblem, state: OMPState) -> OMPState:  # noqa: ARG002
        """The whole pursuit."""
        z = problem.zeros()
        rows = z.reshape(len(z), -1)
        if problem.structure.is_masked_patch:
            return OMPState(z, done=True, outcome=_outcome(self._pursue_seen(problem, rows)))
        ends = self._pursue(problem, problem.structure.gram_form, rows)
        unsure = np.flatnonzero(ends)
        if len(unsure) and z.dtype != "float64":  # is it rounding? float64 decides
            form = problem.structure.gram_form_double
            form = form._replace(
                correlations=form.correlations[unsure], energies=form.energies[unsure]
            )
            again = np.empty((len(unsure), z.shape[1]))
            ends[unsure] = self._pursue(problem, form, again)
            rows[unsure] = again
        return OMPState(z, done=True, outcome=_outcome(ends))

    def _pursue(self, problem, form, z):
        """Write codes into ``z``; returns the kernel's reason to stop for each signal."""
        return problem.structure.kernels.omp_gram(*form, *self._rules(problem, z), z)

    def _pursue_seen(self, problem, z):
        """As `_pursue`, where each signal has a mask of its own and so no Gram matrix is shared."""
        x = problem.x.reshape(len(z), -1)
        seen = np.broadcast_to(problem.mask, problem.x.shape).reshape(x.shape)
        atoms = problem.dictionary.atoms.reshape(z.shape[1], -1).astype("float64")
        omp_seen = problem.structure.kernels.omp_seen
        return omp_seen(x, seen.astype(x.dtype), atoms, *self._rules(problem, z), z)

    def _rules(self, problem, z):
        """The rules by which a pursuit stops, in the order of the kernels' arguments."""
        max_nonzero = z.shape[1] if self.n_nonzero is None else int(self.n_nonzero)
        return float(problem.penalty.lmbda), max_nonzero, float(self.max_squared_residual)


def _outcome(ends):
    """Why the pursuits of all signals ended."""
    stalled = int((ends == DEPENDENT).sum())
    if not stalled:
        return GREEDY
    return Outcome(
        Status.STALLED,
        f"stalled in {stalled} of {len(ends)} signals: the best atom depends linearly on the selected "
        "ones; the atoms are too coherent for more",
    )
