"""From `csc` to modules and back: dictionaries and certificates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from csc._backend import numpy_of_tensor
from csc._typing import ArrayLike, DTypeLike, Mode, Stride
from csc._validation import check_count
from csc.nn._multi_layer_pursuit import MultiLayerPursuit
from csc.nn._parameters import check_tensor
from csc.nn._sparse_code import SparseCode
from csc.operators import Dictionary, MultiLayerDictionary
from csc.solvers import ratio


class Certificate(NamedTuple):
    """Objective and duality gap of a batch of codes, in float64.

    Attributes
    ----------
    objective : float
    gap : float
        The objective is at most this far above its minimum; infinite without convexity.

    Examples
    --------
    >>> import csc
    >>> csc.nn.Certificate(2.0, 0.5).relative_gap
    0.25
    """

    objective: float
    gap: float

    @property
    def relative_gap(self) -> float:
        """``gap / objective``; 0 where both are 0."""
        return ratio(self.gap, self.objective)


def certify(
    module: torch.nn.Module, x: torch.Tensor, codes: torch.Tensor | Sequence[torch.Tensor]
) -> Certificate:
    """How far codes are from the minimum of a module's problem, with its present parameters.

    Parameters
    ----------
    module : SparseCode, MultiLayerPursuit, LCA or ImplicitSparseCode
    x : tensor (N, C, *S)
        Signals.
    codes : tensor (N, K, *V), or a sequence of them
        What the module returned for ``x``, or any other codes.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If ``module`` has no problem, or codes are not of its shape.

    Examples
    --------
    >>> import csc, torch
    >>> D = csc.nn.random_dictionary((8, 1, 5))
    >>> module = csc.nn.SparseCode(D, lmbda=0.1, n_steps=300, accelerated=True)
    >>> x = torch.randn(2, 1, 30)
    >>> csc.nn.certify(module, x, module(x)).relative_gap < 1e-2
    True
    """
    if not hasattr(module, "problem"):
        raise TypeError(
            "module must be a pursuit of csc.nn such as csc.nn.SparseCode, got "
            f"{type(module).__name__}"
        )
    problem = module.problem(x)
    if isinstance(codes, list | tuple):
        for i, own in enumerate(codes):
            check_tensor(f"codes[{i}]", own)
        return Certificate(*problem.certificate([numpy_of_tensor(own) for own in codes]))
    check_tensor("codes", codes)
    return Certificate(*problem.certificate(numpy_of_tensor(codes)))


def from_dictionary(
    dictionary: Dictionary | MultiLayerDictionary,
    lmbda: ArrayLike | Sequence[ArrayLike],
    n_steps: int = 10,
    *,
    accelerated: bool = False,
    positive: bool = False,
    unit_norm: bool = True,
) -> SparseCode | MultiLayerPursuit:
    """A module whose codes are ``n_steps`` steps of ISTA or ML-ISTA with this dictionary.

    Parameters
    ----------
    dictionary : Dictionary or MultiLayerDictionary
    lmbda : float or array (K,), or one of them for each layer
    n_steps : int
    accelerated : bool
        FISTA, or ML-FISTA; without restart.
    positive : bool
        Whether codes are >= 0.
    unit_norm : bool
        Keep the atoms at unit norm.

    Returns
    -------
    SparseCode, or MultiLayerPursuit with ``n_unfoldings = n_steps - 1``
        Its method ``to_dictionary`` is the inverse.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the atoms do not have unit norm but should.

    Examples
    --------
    >>> import csc, numpy as np
    >>> D = csc.Dictionary(np.eye(3)[:, None])
    >>> module = csc.nn.from_dictionary(D, lmbda=0.1)
    >>> module.to_dictionary()
    Dictionary(3 atoms 3, 1 channel(s), mode='full', float64)
    """
    check_count("n_steps", n_steps)
    options = {"accelerated": accelerated, "positive": positive, "unit_norm": unit_norm}
    if isinstance(dictionary, MultiLayerDictionary):
        return MultiLayerPursuit(dictionary, lmbda, n_steps - 1, **options)
    return SparseCode(dictionary, lmbda, n_steps, **options)


def random_dictionary(
    atom_shape: tuple[int, ...],
    mode: Mode = "full",
    stride: Stride = 1,
    *,
    dtype: DTypeLike = "float32",
) -> Dictionary:
    """Gaussian atoms of unit norm, to start training from; ``torch.manual_seed`` fixes them.

    Parameters
    ----------
    atom_shape : tuple (K, C, *s)
    mode : {"full", "valid", "same", "circular"}
    stride : int or tuple of ints
    dtype : {"float32", "float64"}

    Returns
    -------
    Dictionary

    Examples
    --------
    >>> import csc
    >>> csc.nn.random_dictionary((16, 3, 5, 5), stride=2)
    Dictionary(16 atoms 5x5, 3 channel(s), mode='full', stride=2, float32)
    """
    atoms = torch.randn(atom_shape, dtype=torch.float64)
    norms = atoms.flatten(1).norm(dim=1).reshape(-1, *(1,) * (atoms.ndim - 1))
    return Dictionary((atoms / norms).numpy().astype(np.dtype(dtype)), mode, stride)
