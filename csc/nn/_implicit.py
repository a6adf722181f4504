"""Codes at the minimum, with the gradient of the minimiser."""

import warnings
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from csc._solve import solve_quietly
from csc._typing import ArrayLike
from csc._validation import check_count, check_number
from csc.nn._convolution import Convolution
from csc.nn._device_solve import solve_on_device
from csc.nn._parameters import (
    per_atom,
)
from csc.nn._pursuit import Pursuit
from csc.operators import ConvGeometry, Dictionary
from csc.solvers import Status

MAX_CG_STEPS = 1000  # of the system on the support
CG_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}  # of its residual, relative


class ImplicitSparseCode(Pursuit):
    """Codes of minimal ``1/2 ||x - D z||^2 + sum_k lmbda_k ||z_k||_1``, with their gradient.

    On the CPU the fastest solver of `csc` finds the minimum to a certified gap; on a device, FISTA.
    The backward pass differentiates the optimality condition on the support S of the codes [1]_,
    ``D_S^T (x - D_S z_S) = lmbda_S sign(z_S)``, by conjugate gradients on ``D_S^T D_S``. Memory does
    not depend on the number of steps. The support must stay the same in a small neighbourhood,
    which holds for almost all signals; atoms of the support must be linearly independent.

    Parameters
    ----------
    dictionary : Dictionary
        Initial atoms, mode, stride and precision.
    lmbda : float or array (K,)
        Initial lambda; a parameter, stored as logarithms.
    tol : float
        Relative duality gap of the batch.
    max_iter : int
        Largest number of steps of the solver.
    positive : bool
        Whether codes are >= 0.
    unit_norm : bool
        Keep the atoms at unit norm.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the atoms do not have unit norm but should.

    Warns
    -----
    UserWarning
        If the solver needs more than ``max_iter`` steps: the gradient is then inexact, too.

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce, "Task-driven dictionary learning", IEEE TPAMI 34(4), 2012,
       Proposition 1.

    Examples
    --------
    >>> import csc, torch
    >>> module = csc.nn.ImplicitSparseCode(csc.nn.random_dictionary((8, 1, 5)), lmbda=0.1)
    >>> x = torch.randn(2, 1, 30)
    >>> codes = module(x)
    >>> codes.square().sum().backward()  # gradients of atoms and lambda
    >>> csc.nn.certify(module, x, codes).relative_gap <= 1e-4
    True
    """

    def __init__(
        self,
        dictionary: Dictionary,
        lmbda: ArrayLike,
        tol: float = 1e-4,
        max_iter: int = 10_000,
        *,
        positive: bool = False,
        unit_norm: bool = True,
    ):
        check_number("tol", tol)
        check_count("max_iter", max_iter)
        super().__init__(dictionary, lmbda, positive=positive, unit_norm=unit_norm)
        self.tol, self.max_iter = tol, max_iter

    def _codes(self, x):
        if torch.compiler.is_compiling():  # the solver is of NumPy and Numba
            return torch.compiler.disable(self._minimiser_with_gradient)(x)
        return self._minimiser_with_gradient(x)

    def _minimiser_with_gradient(self, x):
        D = self.dictionary.convolution(x.shape[2:])
        with torch.no_grad():
            z = self._minimiser(x.detach())
        return _Minimiser.apply(x, D.atoms, self.lmbda, z, self.dictionary.geometry), D

    def _minimiser(self, x):
        if x.device.type == "cpu":
            found = solve_quietly(self.problem(x), tol=self.tol, max_iter=self.max_iter)
            if found.status is Status.MAX_ITER:
                warnings.warn(f"ImplicitSparseCode: {found.message}", stacklevel=4)
            return torch.from_numpy(found.codes).to(x.dtype)
        D = self.dictionary.convolution(x.shape[2:])
        step_size = 1 / self.to_dictionary().lipschitz(tuple(x.shape[2:]))
        lmbda = per_atom(self.lmbda, x.ndim - 2)
        return solve_on_device(
            x, D, lmbda, step_size, self.tol, self.max_iter, positive=self.positive
        )

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"tol={self.tol:g}, max_iter={self.max_iter}, positive={self.positive}"


class _Minimiser(torch.autograd.Function):
    """The codes z, which were found before, as a function of signals, atoms and lambda."""

    @staticmethod
    def forward(x, atoms, lmbda, z, geometry):  # noqa: ARG004
        """The codes."""
        return z.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the backward pass needs."""
        x, atoms, _, _, ctx.geometry = inputs
        ctx.save_for_backward(x, atoms, output)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Gradients in all inputs."""
        x, atoms, z = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        gradients = _implicit_gradients(grad, x, atoms, z, ctx.geometry, of_atoms=wanted[1])
        pairs = zip(gradients, wanted[:3], strict=True)
        return *(g if is_wanted else None for g, is_wanted in pairs), None, None


class _Gradients(NamedTuple):
    x: torch.Tensor
    atoms: torch.Tensor
    lmbda: torch.Tensor


def _implicit_gradients(grad, x, atoms, z, geometry: ConvGeometry, *, of_atoms):
    """Gradients of ``<grad, z>`` through ``D_S^T (x - D_S z_S) = lmbda_S sign(z_S)``.

    With w of ``D_S^T D_S w = grad_S``, a change of x, D and lmbda changes ``<grad, z>`` by
    ``<D w, dx> + <x - D z, dD w> - <D w, dD z> - <w, sign(z) dlmbda>``.
    """
    D = Convolution(atoms.detach(), geometry, x.shape[2:])
    support = z != 0
    w = _solve_on_support(D, support, torch.where(support, grad, 0))
    Dw, Dz = D.synthesize(w), D.synthesize(z)
    of_lmbda = -(w * z.sign()).sum(dim=(0, *range(2, z.ndim)))
    gradient_of_atoms = None
    if of_atoms:
        with torch.enable_grad():
            leaf = atoms.detach().requires_grad_()
            free = Convolution(leaf, geometry, x.shape[2:])
            change = ((x - Dz) * free.synthesize(w)).sum() - (Dw * free.synthesize(z)).sum()
        (gradient_of_atoms,) = torch.autograd.grad(change, leaf)
    return _Gradients(Dw, gradient_of_atoms, of_lmbda)


def _solve_on_support(D, support, b):
    """w of ``D_S^T D_S w = b``, zero outside of the support, by conjugate gradients per signal."""
    tol = CG_TOLERANCE.get(b.dtype, 1e-3)
    w, r = torch.zeros_like(b), b
    p, energy = r, _inner(r, r)
    goal = tol**2 * energy
    for _ in range(MAX_CG_STEPS):
        going = energy > goal
        if not bool(going.any()):
            break
        Ap = torch.where(support, D.correlate(D.synthesize(p)), 0)
        curvature = _inner(p, Ap)
        going = going & (curvature > 0)
        if not bool(going.any()):
            break
        alpha = torch.where(going, energy / torch.where(going, curvature, 1), 0)
        w, r = w + alpha * p, r - alpha * Ap
        energy_old, energy = energy, _inner(r, r)
        beta = torch.where(going, energy / torch.where(going, energy_old, 1), 0)
        p = r + beta * p
    return w


def _inner(a, b):
    """Inner product of each signal, which broadcasts to codes."""
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)
