"""What the modules train: atoms, and numbers that are positive by construction."""

from typing import Any

import numpy as np
import torch
from torch import nn

from csc._backend import numpy_of_tensor, to_host
from csc._typing import ArrayLike, Shape
from csc._validation import check_count, check_number
from csc.nn._convolution import Convolution, suits_kernels
from csc.operators import Dictionary
from csc.penalties import L1

NORM_TOLERANCE = 1e-3  # within which atoms count as of unit norm


class TrainableDictionary(nn.Module):
    """`csc.Dictionary` whose atoms are a parameter.

    The other modules hold one; to write a pursuit of your own, use `synthesize` and `correlate`.

    Parameters
    ----------
    dictionary : Dictionary
        Initial atoms, mode, stride, precision.
    unit_norm : bool
        Keep atoms at unit norm: they are the parameter `raw_atoms` divided by their norms.

    Raises
    ------
    TypeError, ValueError
        If ``dictionary`` is no `Dictionary`, or its atoms do not have unit norm but should.

    Examples
    --------
    >>> import csc, torch
    >>> D = csc.nn.TrainableDictionary(csc.nn.random_dictionary((4, 1, 3)))
    >>> z = D.correlate(torch.ones(1, 1, 10))
    >>> z.shape, D.synthesize(z, (10,)).shape
    (torch.Size([1, 4, 8]), torch.Size([1, 1, 10]))
    """

    def __init__(self, dictionary: Dictionary, unit_norm: bool = True):
        super().__init__()
        _check_dictionary(dictionary, unit_norm)
        self.geometry, self.sizes = dictionary.geometry, dictionary.sizes
        self.unit_norm = unit_norm
        atoms = torch.from_numpy(np.array(to_host(dictionary.atoms)))
        self.raw_atoms = nn.Parameter(atoms)
        inside = _inside(dictionary)
        self.register_buffer("_inside", inside, persistent=False)

    @property
    def atoms(self) -> torch.Tensor:
        """Atoms ``(K, C, *s)``; a function of the parameter `raw_atoms`."""
        atoms = self.raw_atoms if self._inside is None else self.raw_atoms * self._inside
        if not self.unit_norm:
            return atoms
        atoms = _to_unit_range(atoms)
        norms = atoms.flatten(1).norm(dim=1).reshape(-1, *(1,) * (atoms.ndim - 1))
        return atoms / norms.clamp_min(torch.finfo(atoms.dtype).tiny)

    @property
    def n_atoms(self) -> int:
        """K."""
        return self.raw_atoms.shape[0]

    def convolution(self, signal_shape: Shape) -> Convolution:
        """D of the present atoms for signals of shape *S*: cheaper if used more than once."""
        return Convolution(self.atoms, self.geometry, signal_shape)

    def synthesize(self, z: torch.Tensor, signal_shape: Shape) -> torch.Tensor:
        """Signals ``D z``, ``(N, C, *S)``, of codes ``(N, K, *V)``."""
        return self.convolution(signal_shape).synthesize(z)

    def correlate(self, x: torch.Tensor) -> torch.Tensor:
        """Codes ``D^T x``, ``(N, K, *V)``, of signals ``(N, C, *S)``."""
        return self.convolution(self.check_signals(x).shape[2:]).correlate(x)

    def to_dictionary(self) -> Dictionary:
        """The present atoms as `csc.Dictionary`, on the CPU."""
        atoms = numpy_of_tensor(self.atoms)
        return Dictionary(atoms, self.geometry.mode, self.geometry.stride, self.sizes)

    def check_signals(self, x: torch.Tensor) -> torch.Tensor:
        """Return signals that fit the atoms, or raise an error."""
        shape, ndim = tuple(self.raw_atoms.shape), self.raw_atoms.ndim
        check_tensor("x", x)
        if x.ndim != ndim or x.shape[1] != shape[1]:
            raise ValueError(
                f"x must be (N, C, *S) with C = {shape[1]} and {ndim - 2} spatial axes, as the "
                f"atoms {shape} ask for, got {tuple(x.shape)}"
            )
        if x.dtype != self.raw_atoms.dtype:
            other_way = f", or module.to({x.dtype})" if x.dtype.is_floating_point else ""
            raise TypeError(
                f"x is {x.dtype} but the atoms are {self.raw_atoms.dtype}; use "
                f"x.to({self.raw_atoms.dtype}){other_way}"
            )
        if suits_kernels(self.raw_atoms):  # which refuse codes of NaN, and empty ones
            _check_values(x)
        return x

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        shape, g = tuple(self.raw_atoms.shape), self.geometry
        return f"{shape}, mode={g.mode!r}, stride={g.stride}, unit_norm={self.unit_norm}"


def whole_signals(x: torch.Tensor) -> Any:
    """Signals as NumPy array; NaN, which `csc.Problem` takes for missing samples, is refused."""
    check_tensor("x", x)
    _check_values(x)
    return numpy_of_tensor(x)


def check_tensor(name: str, value: Any) -> None:
    """Refuse what is no tensor."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor, got {type(value).__name__}; use torch.as_tensor({name})"
        )


def _check_values(x):
    if 0 in x.shape:
        raise ValueError(f"x is empty: shape {tuple(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ValueError(
            "x holds NaN or inf, and the modules of csc.nn code whole signals; for missing samples "
            "take csc.Problem, with NaN or a mask"
        )


def per_atom(numbers: torch.Tensor, ndim: int) -> torch.Tensor:
    """Numbers ``(K,)`` that broadcast to codes of ``ndim`` spatial axes."""
    return numbers.reshape(-1, *(1,) * ndim)


def log_parameter(name: str, values: ArrayLike, like: TrainableDictionary) -> nn.Parameter:
    """Logarithms of one positive number per atom: their exponentials stay positive.

    Parameters
    ----------
    name : str
    values : float or array (K,), > 0
    like : TrainableDictionary
        Its number of atoms and precision.
    """
    array = np.asarray(values, "float64") if _is_numeric(values) else None
    if array is None or array.shape not in ((), (like.n_atoms,)):
        got = type(values).__name__ if array is None else f"shape {array.shape}"
        raise ValueError(
            f"{name} must be a number, or one for each of the {like.n_atoms} atoms, got {got}"
        )
    if not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"{name} must be finite and > 0, got {array.min()}")
    logs = torch.from_numpy(np.log(np.broadcast_to(array, (like.n_atoms,))))
    return nn.Parameter(logs.to(like.raw_atoms.dtype))


def log_step_size(dictionary: Dictionary) -> torch.Tensor:
    """Logarithm of 1 / L, with the certified bound L for signals of any size."""
    return torch.tensor(
        -np.log(dictionary.lipschitz()), dtype=getattr(torch, dictionary.dtype.name)
    )


def check_options(n_steps: int, tau: float | None = None) -> None:
    """Refuse a number of steps below 1, and a time constant that is not positive."""
    check_count("n_steps", n_steps)
    if tau is not None:
        check_number("tau", tau, strict=True)


def l1_penalty(lmbda: torch.Tensor, ndim: int, *, positive: bool) -> L1:
    """The penalty of codes with ``lmbda`` for each atom."""
    weights = numpy_of_tensor(lmbda).reshape(-1, *(1,) * ndim)
    return L1(1.0, weights, positive=positive)


def _is_numeric(values):
    try:
        np.asarray(values, "float64")
    except (TypeError, ValueError):
        return False
    return True


def _to_unit_range(atoms):
    """Each atom over a power of two, of largest modulus about 1: its square is in range.

    The powers have no gradient: atoms over their norms do not depend on them.
    """
    with torch.no_grad():
        largest = atoms.flatten(1).abs().amax(dim=1).reshape(-1, *(1,) * (atoms.ndim - 1))
        smallest = torch.finfo(atoms.dtype).tiny  # its reciprocal is finite
        scales = torch.exp2(-torch.frexp(largest.clamp_min(smallest))[1].to(atoms.dtype))
    return atoms * scales


def _inside(dictionary):
    """1 on the samples of each atom, 0 behind smaller ones; None if all have one size."""
    if dictionary.sizes is None:
        return None
    inside = torch.zeros(dictionary.atoms.shape, dtype=getattr(torch, dictionary.dtype.name))
    for own in dictionary.part_slices:
        inside[own] = 1
    return inside


def _check_dictionary(dictionary, unit_norm):
    if not isinstance(dictionary, Dictionary):
        raise TypeError(
            f"dictionary must be a csc.Dictionary, got {type(dictionary).__name__}; take "
            "csc.Dictionary(atoms), or csc.nn.random_dictionary((K, C, *s))"
        )
    if not unit_norm:
        return
    norms = np.linalg.norm(to_host(dictionary.matrix), axis=1)
    worst = norms[np.argmax(abs(norms - 1))]
    if abs(worst - 1) > NORM_TOLERANCE:
        raise ValueError(
            f"dictionary has an atom of norm {worst:.3g}; pass unit_norm=False, or bring atoms to "
            "unit norm by csc.constraints.UnitSphere().project(atoms)"
        )
