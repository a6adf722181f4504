"""Atoms that the channels of a picture share."""

from dataclasses import dataclass

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_count, check_real
from csc.constraints._sets import Constraint


@dataclass(frozen=True)
class SharedByChannels(Constraint):
    """Single-channel atoms that all channels share: one copy of each atom for every channel [1]_.

    With C channels, atoms ``C k, ..., C k + C - 1`` are the copies of atom k: copy c is that atom in
    channel c, and zero in the others. Each copy has codes of its own, and a penalty such as
    ``csc.SparseGroupL21(lmbda, C)`` joins the channels. A subspace; followed by a ball or sphere, it is the
    projection onto the intersection.

    Parameters
    ----------
    n_channels : int
        C, a divisor of the number of atoms, and their number of channels.

    References
    ----------
    .. [1] B. Wohlberg, "Convolutional sparse representation of color images", IEEE SSIAI 2016, sec. III.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.SharedByChannels(2).project(np.array([[[1.0], [5.0]], [[5.0], [2.0]]]))
    array([[[1.5],
            [0. ]],
    <BLANKLINE>
           [[0. ],
            [1.5]]])
    """

    n_channels: int

    def __post_init__(self):
        check_count("n_channels", self.n_channels)

    @property
    def group_size(self) -> int:
        """``n_channels``: the copies of an atom are constrained together."""
        return self.n_channels

    def project(self, atoms: Array) -> Array:
        """Take the mean of each atom's copies, each in its own channel."""
        atoms, c = check_real("atoms", atoms), self.n_channels
        if atoms.shape[1] != c or len(atoms) % c:
            raise ValueError(
                f"n_channels is {c}: atoms must have {c} channels, and their number must be a multiple, "
                f"got shape {atoms.shape}"
            )
        copies = atoms.reshape(-1, c, *atoms.shape[1:])
        mean = sum(copies[:, i, i] for i in range(c)) / atoms.dtype.type(c)
        shared = namespace(atoms).zeros_like(copies)
        for i in range(c):
            shared[:, i, i] = mean
        return shared.reshape(atoms.shape)
