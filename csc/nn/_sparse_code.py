"""Sparse codes of one layer: ISTA, FISTA and LISTA unrolled."""

import torch
from torch import nn

from csc._typing import ArrayLike
from csc.nn._autocast import full_precision
from csc.nn._convolution import suits_kernels
from csc.nn._parameters import (
    TrainableDictionary,
    check_options,
    log_step_size,
    per_atom,
)
from csc.nn._proximal_steps import Steps, proximal_gradient
from csc.nn._pursuit import Pursuit
from csc.operators import Dictionary
from csc.problems import Problem
from csc.solvers import FISTA, ISTA


class SparseCode(Pursuit):
    """Codes after a fixed number of steps of ISTA [1]_ or FISTA [2]_, or LISTA [3]_.

        z <- prox_{mu lmbda}( y + mu W^T (x - D y) ),    y = z, or extrapolated (accelerated)

    from zero codes, for ``1/2 ||x - D z||^2 + sum_k lmbda_k ||z_k||_1``. Atoms, ``lmbda`` and the
    step size mu are parameters; lmbda and mu are stored as logarithms and so remain positive. The
    first step size is 1 / L with the certified bound L of the dictionary. Codes are those of
    `solver` after ``n_steps`` steps (without ``free_analysis`` and ``per_step``). All is computed
    in the precision of the atoms, also under autocast.

    Parameters
    ----------
    dictionary : Dictionary
        Initial atoms, mode, stride and precision; see `random_dictionary`.
    lmbda : float or array (K,)
        Initial lambda of all atoms, or of each.
    n_steps : int
    accelerated : bool
        FISTA (without restart) instead of ISTA.
    free_analysis : bool
        LISTA: W is a parameter of its own, at first D. Otherwise W is D.
    per_step : bool
        Every step has its own lambda and step size.
    positive : bool
        Whether codes are >= 0: one-sided thresholds, as a ReLU with a bias.
    unit_norm : bool
        Keep the atoms at unit norm.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the atoms do not have unit norm but should.

    References
    ----------
    .. [1] I. Daubechies, M. Defrise, C. De Mol, Comm. Pure Appl. Math. 57, 2004.
    .. [2] A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2(1), 2009, eqs. (4.1)-(4.3).
    .. [3] K. Gregor, Y. LeCun, "Learning fast approximations of sparse coding", ICML 2010; with
       the residual written out, as W^T (x - D z): D. Simon, M. Elad, "Rethinking the CSC model
       for natural images", NeurIPS 2019.

    Examples
    --------
    >>> import csc, torch
    >>> module = csc.nn.SparseCode(csc.nn.random_dictionary((8, 1, 5, 5), stride=2), lmbda=0.1)
    >>> x = torch.randn(2, 1, 15, 15)
    >>> module(x).shape, module.reconstruct(x).shape
    (torch.Size([2, 8, 6, 6]), torch.Size([2, 1, 15, 15]))
    """

    def __init__(  # noqa: PLR0913
        self,
        dictionary: Dictionary,
        lmbda: ArrayLike,
        n_steps: int = 10,
        *,
        accelerated: bool = False,
        free_analysis: bool = False,
        per_step: bool = False,
        positive: bool = False,
        unit_norm: bool = True,
    ):
        check_options(n_steps)
        super().__init__(dictionary, lmbda, positive=positive, unit_norm=unit_norm)
        self.analysis = TrainableDictionary(dictionary, False) if free_analysis else None
        self.n_steps, self.accelerated = n_steps, accelerated
        self.per_step = per_step
        self.log_step_size = nn.Parameter(log_step_size(dictionary))
        if per_step:
            self.log_lmbda = nn.Parameter(self.log_lmbda.detach().repeat(n_steps, 1))
            self.log_step_size = nn.Parameter(self.log_step_size.detach().repeat(n_steps))

    @property
    def step_size(self) -> torch.Tensor:
        """mu, one number; with ``per_step`` one for each step."""
        return self.log_step_size.exp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Codes ``(N, K, *V)`` of signals ``(N, C, *S)``."""
        with full_precision(x, self.dictionary) as x:
            if self._suits_solver():
                return self._codes_of_solver(x)
            return self._codes(x)[0]

    def _suits_solver(self):
        """Whether the solver of `csc` takes the same steps, and faster: without gradients, on the CPU.

        With strides it is hardly faster (python -m demos.bench nn).
        """
        if torch.is_grad_enabled() or self.per_step or self.analysis is not None:
            return False
        return suits_kernels(self.dictionary.raw_atoms) and self.dictionary.geometry.is_dense

    def _codes_of_solver(self, x):
        """Codes by the fused steps of `solver`."""
        problem, solver = self.problem(x), self.solver()
        state = solver.init(problem, problem.zeros())
        for _ in range(self.n_steps):
            state = solver.step(problem, state)
        return torch.from_numpy(state.z)

    def _codes(self, x):
        """Codes of signals in the precision of the atoms, and D for signals of their spatial shape."""
        D = self.dictionary.convolution(x.shape[2:])
        W = D if self.analysis is None else self.analysis.convolution(x.shape[2:])
        ndim, step_size, lmbda = x.ndim - 2, self.step_size, self.lmbda
        if self.per_step:
            step_sizes = step_size.unbind()
            analysis = [W.scaled(mu) for mu in step_sizes]
            thresholds = [
                per_atom(mu * own, ndim) for mu, own in zip(step_sizes, lmbda, strict=True)
            ]
        else:
            analysis = [W.scaled(step_size)] * self.n_steps
            thresholds = [per_atom(step_size * lmbda, ndim)] * self.n_steps
        steps = Steps(analysis, thresholds, self.accelerated, self.positive)
        return proximal_gradient(x, D, steps), D

    def problem(self, x: torch.Tensor) -> Problem:
        """The `csc.Problem` that the codes of ``x`` solve approximately."""
        if self.per_step:
            raise ValueError(
                "a module with per_step=True has one lambda for each step and so solves no single "
                "problem; take csc.Problem(x, module.to_dictionary(), csc.L1(lmbda)) with a lambda "
                "of your choice"
            )
        return super().problem(x)

    def solver(self) -> ISTA | FISTA:
        """The solver of `csc` whose ``n_steps`` steps from zero give the codes."""
        if self.per_step or self.analysis is not None:
            raise ValueError(
                "with per_step or free_analysis the steps are not those of a solver of csc"
            )
        step_size = self.step_size.item()
        return FISTA(step_size, restart=False) if self.accelerated else ISTA(step_size)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return (
            f"n_steps={self.n_steps}, accelerated={self.accelerated}, per_step={self.per_step}, "
            f"positive={self.positive}"
        )
