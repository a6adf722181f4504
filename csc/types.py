"""Words of the public signatures, for readers and type checkers.

Of arrays a type says no shape: docstrings do.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:  # matplotlib is imported when a picture is asked for
    Axes = Figure = Any

Array: TypeAlias = NDArray[Any]  # NumPy's; where data lie on a device CuPy's, which has no types
Codes: TypeAlias = Any  # an array; of layers, or of signals of several sizes, a list of arrays
Extents: TypeAlias = tuple[int, ...]
File: TypeAlias = str | PathLike[str]
Mode: TypeAlias = Literal["full", "valid", "same", "circular"]
ProblemLike: TypeAlias = Any  # solvers see a problem only through its methods, each its own
Rng: TypeAlias = np.random.Generator | int | Sequence[int] | None
SignalsLike: TypeAlias = ArrayLike | Sequence[ArrayLike]  # (N, C, *S), or a list of (C, *S)
Stride: TypeAlias = int | tuple[int, ...]


class Penalty(Protocol):
    """What every problem asks of a penalty; `csc.L1` and its like give more."""

    @property
    def lmbda(self) -> Any:
        """Strength: a number, or what a problem resolves to one."""

    @property
    def convex(self) -> bool:
        """Whether a duality gap can be given."""

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``."""

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  ``step penalty(u) + 1/2 ||u - z||^2``."""


class Solver(Protocol):
    """What `csc.solve` asks of a solver; docs/extending.md shows one."""

    @property
    def needs(self) -> str:
        """For the error where it does not suit."""

    @property
    def check_every(self) -> int:
        """Steps between certificates."""

    def suits(self, problem: ProblemLike) -> bool:
        """Whether it can solve the problem."""

    def init(self, problem: ProblemLike, z0: Any) -> Any:
        """State at codes ``z0``."""

    def step(self, problem: ProblemLike, state: Any) -> Any:
        """The next state."""


class AtomSet(Protocol):
    """What learners ask of a constraint on atoms."""

    def project(self, atoms: Array) -> Array:
        """The nearest atoms that obey it."""
