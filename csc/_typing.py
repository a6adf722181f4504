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
Shape: TypeAlias = tuple[int, ...]
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


class DataTerm(Protocol):
    """What every problem needs of a data term; `csc.data_terms.Huber` and others have more."""

    @property
    def weights(self) -> Any:
        """Weights of the samples, or None."""

    @property
    def smooth(self) -> bool:
        """Whether the slope is Lipschitz continuous, so that there is a ``curvature``."""

    def loss(self, x: Array, u: Array) -> Array:
        """Loss of each sample x at its fit u."""

    def slope(self, x: Array, u: Array) -> Array:
        """Minus the derivative of the loss with respect to u."""

    def conjugate(self, x: Array, t: Array) -> Array:
        """``max_u  -t u - loss(x, u)``."""

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """argmin_u  ``step loss(x, u) + 1/2 (u - v)^2``."""


class ProblemLike(Protocol):
    """What every solver needs of a problem, of one layer or several."""

    @property
    def x(self) -> Any:
        """Signals."""

    @property
    def dictionary(self) -> Any:
        """Dictionary, of one layer or several."""

    @property
    def code_shape(self) -> Shape:
        """Shape of the codes; of several layers, of the deepest."""

    def zeros(self) -> Any:
        """Codes of zeros."""

    def certificate(self, z: Any, /) -> tuple[float, float]:
        """Objective and duality gap at codes ``z``."""


class LayerProblem(ProblemLike, Protocol):
    """What solvers of one layer need: a smooth data term and a penalty; see `csc.Problem`."""

    @property
    def penalty(self) -> Any:
        """Penalty with a resolved ``lmbda``."""

    @property
    def mask(self) -> Array | None:
        """1 = observed; None if all samples are."""

    @property
    def data_term(self) -> Any:
        """Loss of the samples; see `csc.data_terms`."""

    @property
    def structure(self) -> Any:
        """What lets a solver take a faster path: patches, lambda of each atom, Gram matrices."""

    def synthesize(self, z: Any, /) -> Array:
        """``D z``."""

    def residual(self, z: Any, /) -> Array:
        """``M (x - D z)``."""

    def lipschitz(self) -> float:
        """Upper bound of the Lipschitz constant of the gradient of the data term."""

    def prox_grad(self, z: Array, step: float) -> Array:
        """One proximal-gradient step from ``z``."""

    def proximal_step(self, codes: Any, fits: Any, momentum: Any, step: float) -> tuple[Array, Any]:
        """One proximal-gradient step from ``z + momentum (z - z_old)``."""


class LayersProblem(ProblemLike, Protocol):
    """What solvers of several layers need; see `csc.MultiLayerProblem`."""

    @property
    def penalties(self) -> Any:
        """One penalty per layer."""

    @property
    def layers(self) -> Any:
        """Each layer as a problem of its own."""

    @property
    def code_shapes(self) -> list[Shape]:
        """Shapes of the codes of every layer."""

    @property
    def step_sizes(self) -> tuple[float, ...]:
        """One step length per layer."""

    @property
    def is_convex(self) -> bool:
        """Whether all penalties are convex."""

    @property
    def on_host(self) -> bool:
        """Whether arrays are NumPy's."""

    def layer(self, i: int, below: Array, /) -> Any:
        """Layer i alone, with the codes ``below`` of the last layer as its signals."""

    def synthesize_all(self, z: Array, /) -> tuple[Array, ...]:
        """Signals, codes of each intermediate layer, and ``z``."""

    def adjoint_sum(self, arrays: Any, /) -> Array:
        """Adjoint of `synthesize_all`."""

    def layerwise_prox_step(
        self, chain: Any, chain_old: Any, momentum: Any, step_sizes: Sequence[float]
    ) -> tuple[tuple[Array, ...], Any]:
        """Proximal-gradient steps from the first layer to the last."""


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
