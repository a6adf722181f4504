"""Layered basis pursuit: one lasso per layer."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayersProblem, ProblemLike
from csc._validation import check_instance
from csc.operators import dense_codes
from csc.solvers._run import Outcome, Status, iterate, start
from csc.solvers._select import fastest

DONE = Outcome(
    Status.DONE,
    "done: each layer is within tol of its own minimum; the gap is that of the whole problem",
)


class LayeredBasisPursuitState(NamedTuple):
    """State of the pursuit."""

    z: tuple  # (g_1, ..., g_L)  codes of all layers, zeros where none were coded yet
    n_coded: int
    done: bool
    outcome: Outcome


@dataclass(frozen=True)
class LayeredBasisPursuit:
    """One lasso per layer, from the signal down, each to its own certified gap [1]_.

        g_i = argmin 1/2 ||g_{i-1} - D_i g||^2 + p_i(g),   g_0 = x,   i = 1, ..., L

    The chain ``g_{i-1} = D_i g_i`` holds up to the residuals of the layers; objective and gap of
    the solution are those of the whole multi-layer problem at the deepest codes. The certificate of
    layer i is ``problem.layer(i, below).certificate(codes)``.

    Parameters
    ----------
    solver : solver of one layer, optional
        None takes the fastest for each layer.
    tol : float
        Relative gap of each layer.
    max_iter : int
        Largest number of steps per layer.

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017, Algorithm 2.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    >>> x = np.array([[[3.0, 4.0]]])
    >>> D = csc.MultiLayerDictionary(D)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.5), csc.L1(1.0)])
    >>> solution = csc.solve(problem, csc.solvers.LayeredBasisPursuit())
    >>> [codes.ravel().round(2) for codes in solution.codes]
    [array([2.5, 3.5]), array([1.5, 2.5])]
    """

    solver: object = None
    tol: float = 1e-4
    max_iter: int = 10_000

    check_every = 1
    layered = True
    requirements = "needs a csc.MultiLayerProblem, and a solver for each of its layers"

    def __post_init__(self):
        if self.solver is not None:
            check_instance("solver", self.solver, "supports", "csc.solvers.FISTA()")
        if hasattr(self.solver, "layered"):
            raise ValueError(
                f"solver must be of one layer, got {self.solver!r}; try csc.solvers.FISTA()"
            )
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol}")
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be >= 1, got {self.max_iter}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers, all supported by the solver."""
        if not hasattr(problem, "layers"):
            return False
        return self.solver is None or all(map(self.solver.supports, problem.layers))

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> LayeredBasisPursuitState:  # noqa: ARG002
        """State before the first layer is coded."""
        return LayeredBasisPursuitState(problem.zeros(), 0, done=False, outcome=DONE)

    def step(
        self, problem: LayersProblem, state: LayeredBasisPursuitState
    ) -> LayeredBasisPursuitState:
        """Code the next layer."""
        z, i, _, outcome = state
        part = problem.layer(i + 1, z[i - 1] if i else problem.x)
        solver = fastest(part, self.tol) if self.solver is None else self.solver
        run = iterate(part, solver, start(part, solver), (self.tol, self.max_iter))
        if run.outcome.status is Status.INTERRUPTED:  # the layer is not finished
            raise KeyboardInterrupt
        status, message = run.outcome
        if outcome == DONE and not status.converged:
            outcome = Outcome(status, f"layer {i + 1} did not reach its tol: {message}")
        codes = dense_codes(run.z)
        z = (*z[:i], codes, *z[i + 1 :])
        return LayeredBasisPursuitState(z, i + 1, done=i + 1 == len(z), outcome=outcome)
