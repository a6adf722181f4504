"""Orthogonal matching pursuit on signals larger than the atoms."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from csc._typing import LayerProblem, ProblemLike
from csc.operators import SparseCodes
from csc.penalties import L0
from csc.solvers._greedy import GreedyState
from csc.solvers._run import check_rules


class ConvOMPState(NamedTuple):
    """State of the pursuit."""

    z: object  # codes, sparse
    done: bool  # whether a stopping rule holds in every signal
    greedy: Any = None  # the same codes with their residual and what is known of correlations


@dataclass(frozen=True)
class ConvOMP:
    """Select the atom and position of largest correlation, refit all codes, repeat [1]_, for `L0`.

    A signal stops when the next code would decrease ``1/2 ||r||^2`` by at most ``lmbda``, at
    ``n_nonzero`` codes, or when ``||r||^2 <= max_squared_residual``. Conjugate gradients refit the
    codes, from their last values. Memory grows with the signal and its non-zero codes only.

    Parameters
    ----------
    n_nonzero : int, optional
        Largest number of non-zero codes per signal; None sets no limit.
    max_squared_residual : float
        Stop when ``||r||^2`` is at most this.
    weak_factor : float
        In (0, 1]. With 1, each round selects one code, as in the paper. With less, it selects
        every code that decreases the objective by at least ``weak_factor`` times the largest
        decrease and is the best among the codes that overlap it: fewer rounds on large signals.

    References
    ----------
    .. [1] Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar
       Conference, 1993.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, atoms = np.zeros((1, 1, 8)), np.array([[[0.6, 0.8]]])
    >>> x[0, 0, 3:5] = 3.0, 4.0
    >>> problem = csc.Problem(x, csc.Dictionary(atoms), csc.L0(1.0))
    >>> csc.solve(problem, csc.solvers.ConvOMP()).codes.ravel().round(3)
    array([0., 0., 0., 5., 0., 0., 0.])
    """

    n_nonzero: int | None = None
    max_squared_residual: float = 0.0
    weak_factor: float = 1.0

    check_every = 20
    sparse = True
    requirements = (
        "needs an L0 penalty without positive, mode 'full' or 'circular', no mask, and NumPy arrays"
    )

    def __post_init__(self):
        check_rules(self.n_nonzero, self.max_squared_residual)
        if not 0 < self.weak_factor <= 1:
            raise ValueError(f"weak_factor must be in (0, 1], got {self.weak_factor}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the penalty is L0 and no atom is cut by a border or a mask."""
        return (
            type(problem.penalty) is L0
            and not problem.penalty.positive
            and problem.structure.sees_whole_atoms
        )

    def init(self, problem: LayerProblem, z0: Any) -> ConvOMPState:  # noqa: ARG002
        """State at codes ``z0``, from which the pursuit continues."""
        return ConvOMPState(z0, done=False)

    def step(self, problem: LayerProblem, state: ConvOMPState) -> ConvOMPState:
        """One round."""
        if state.done:
            return state
        greedy = state.greedy
        if greedy is None or greedy.codes is not state.z:
            greedy = GreedyState(problem.x, problem.dictionary, SparseCodes.of(state.z))
        decreases = greedy.decreases(self.weak_factor)
        remaining = greedy.remaining(self.n_nonzero, self.max_squared_residual)
        n_selected = greedy.select(
            decreases, float(problem.penalty.lmbda), remaining, self.weak_factor
        )
        if n_selected == 0:
            return ConvOMPState(state.z, done=True)
        greedy.refit()
        return ConvOMPState(greedy.codes, done=False, greedy=greedy)
