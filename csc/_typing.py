"""Types of the public signatures.

The type of an array has no shape; docstrings give it.

- ``Array``: an array of NumPy, or of CuPy where data lie on a device.
- ``ArrayLike``: an array, or what NumPy makes one of.
- ``SignalsLike``: signals ``(N, C, *S)`` in one array, or a list of ``(C, *S)`` of several sizes.
- ``DTypeLike``: a precision, such as ``"float32"``.
- ``Rng``: a `numpy.random.Generator`, a seed, or None for a random one.
- ``Codes``: an array; of layers, or of signals of several sizes, a list of arrays.
"""

from collections.abc import Sequence
from inspect import formatannotation
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from numpy.typing import ArrayLike as ArrayLike
    from numpy.typing import DTypeLike as DTypeLike
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]  # CuPy has no types
    Rng: TypeAlias = np.random.Generator | int | Sequence[int] | None
    SignalsLike: TypeAlias = ArrayLike | Sequence[ArrayLike]
else:

    class ShortName:
        """Stands for a type of many lines, so that ``help`` prints its name."""

        def __init__(self, name):
            self.name = name

        def __repr__(self):
            return self.name

        def __or__(self, other):
            return ShortName(f"{self} | {formatannotation(other)}")

        def __ror__(self, other):
            return ShortName(f"{formatannotation(other)} | {self}")

    Axes = Figure = Any  # matplotlib is imported by plots only
    Array, ArrayLike, DTypeLike = ShortName("Array"), ShortName("ArrayLike"), ShortName("DTypeLike")
    Rng, SignalsLike = ShortName("Rng"), ShortName("SignalsLike")

Codes: TypeAlias = Any  # an array; of layers, or of signals of several sizes, a list of arrays
Extents: TypeAlias = tuple[int, ...]
File: TypeAlias = str | PathLike[str]
Mode: TypeAlias = Literal["full", "valid", "same", "circular"]
Stride: TypeAlias = int | tuple[int, ...]


class Penalty(Protocol):
    """What every problem needs of a penalty; `csc.L1` and others have more."""

    @property
    def lmbda(self) -> Any:
        """Regularization parameter: a number, or what a problem resolves to one."""

    @property
    def convex(self) -> bool:
        """Whether a duality gap can be given."""

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``."""

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  ``step penalty(u) + 1/2 ||u - z||^2``."""


class ProblemLike(Protocol):
    """What every solver needs of a problem, of one layer or several.

    Solvers of one kind need more, such as `csc.Problem.structure`.
    """

    @property
    def x(self) -> Any:
        """Signals."""

    @property
    def dictionary(self) -> Any:
        """Dictionary, of one layer or several."""

    @property
    def code_shape(self) -> Extents:
        """Shape of the codes; of several layers, of the deepest."""

    def zeros(self) -> Any:
        """Codes of zeros."""

    def certificate(self, z: Any, /) -> tuple[float, float]:
        """Objective and duality gap at codes ``z``."""


class Solver(Protocol):
    """What `csc.solve` needs of a solver; docs/extending.md shows one.

    Its problems are `ProblemLike`; a solver may name a narrower type.
    """

    @property
    def requirements(self) -> str:
        """What a problem must have, for the error message."""

    @property
    def check_every(self) -> int:
        """Steps between certificates."""

    def supports(self, problem: Any) -> bool:
        """Whether it can solve the problem."""

    def init(self, problem: Any, z0: Any) -> Any:
        """State at codes ``z0``."""

    def step(self, problem: Any, state: Any) -> Any:
        """The next state."""


class AtomSet(Protocol):
    """What learners need of a constraint on atoms."""

    def project(self, atoms: Array) -> Array:
        """The nearest atoms that satisfy it."""
