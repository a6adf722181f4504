"""The locally competitive algorithm."""

import torch

from csc._typing import ArrayLike
from csc.nn._parameters import (
    check_options,
    per_atom,
    whole_signals,
)
from csc.nn._pursuit import Pursuit
from csc.nn._soft_threshold import hard_threshold, soft_threshold
from csc.operators import Dictionary
from csc.penalties import L0
from csc.problems import Problem


class LCA(Pursuit):
    """Codes of the locally competitive algorithm [1]_: thresholded potentials of leaky integrators.

        tau du/dt = D^T x - u - (D^T D a - a),   a = T_lmbda(u)

    integrated by Euler steps of length 1 from u = 0. With the soft threshold the fixed points are
    the minimisers of ``1/2 ||x - D a||^2 + sum_k lmbda_k ||a_k||_1``; with the hard threshold they
    are local minimisers of the same with ``sum_k lmbda_k^2 / 2 ||a_k||_0``.

    Parameters
    ----------
    dictionary : Dictionary
        Initial atoms, mode, stride and precision.
    lmbda : float or array (K,)
        Initial thresholds; a parameter, stored as logarithms.
    n_steps : int
    tau : float, optional
        Time constant in steps. None takes the certified bound L of ``||D||^2`` of the initial atoms,
        with which the steps are stable. It is part of `state_dict`.
    hard : bool
        Hard threshold: thresholds then get no gradient.
    positive : bool
        Whether codes are >= 0.
    unit_norm : bool
        Keep the atoms at unit norm.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the atoms do not have unit norm but should.

    References
    ----------
    .. [1] C. Rozell, D. Johnson, R. Baraniuk, B. Olshausen, "Sparse coding via thresholding and
       local competition in neural circuits", Neural Computation 20(10), 2008.

    Examples
    --------
    >>> import csc, torch
    >>> module = csc.nn.LCA(csc.nn.random_dictionary((8, 1, 5)), lmbda=0.1, n_steps=200)
    >>> module(torch.randn(2, 1, 30)).shape
    torch.Size([2, 8, 26])
    """

    def __init__(
        self,
        dictionary: Dictionary,
        lmbda: ArrayLike,
        n_steps: int = 100,
        *,
        tau: float | None = None,
        hard: bool = False,
        positive: bool = False,
        unit_norm: bool = True,
    ):
        check_options(n_steps, tau)
        super().__init__(dictionary, lmbda, positive=positive, unit_norm=unit_norm)
        self.n_steps, self.hard = n_steps, hard
        self.tau = dictionary.lipschitz() if tau is None else float(tau)

    def _codes(self, x):
        D, rate = self.dictionary.convolution(x.shape[2:]), 1 / self.tau
        threshold = hard_threshold if self.hard else soft_threshold
        lmbda, u, a = per_atom(self.lmbda, x.ndim - 2), None, None
        for _ in range(self.n_steps):
            if u is None:
                u = rate * D.correlate(x)
            else:
                u = torch.lerp(u, a, rate).add(D.correlate_residual(x, a), alpha=rate)
            a = threshold(u, lmbda, positive=self.positive)
        return a, D

    def get_extra_state(self) -> torch.Tensor:
        """``tau``, for `state_dict`: other initial atoms have another bound."""
        return torch.tensor(self.tau, dtype=torch.float64)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Take ``tau`` from a `state_dict`."""
        self.tau = float(state)

    def problem(self, x: torch.Tensor) -> Problem:
        """The `csc.Problem` whose (local) minimisers are the fixed points."""
        if not self.hard:
            return super().problem(x)
        lmbda = self.lmbda.detach()
        if not bool((lmbda == lmbda[0]).all()):
            raise ValueError(
                "csc.L0 has one lmbda for all atoms, but the thresholds of this module differ"
            )
        penalty = L0(float(lmbda[0]) ** 2 / 2, positive=self.positive)
        return Problem(whole_signals(x), self.to_dictionary(), penalty)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return (
            f"n_steps={self.n_steps}, tau={self.tau:.4g}, hard={self.hard}, "
            f"positive={self.positive}"
        )
