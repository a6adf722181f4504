"""Dictionaries in layers: the codes of one layer are the signals of the next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from csc._backend import namespace
from csc._repr_html import AtomsReprMixin
from csc._soft_threshold import soft_threshold
from csc._typing import Array, Shape
from csc._validation import check_choice, check_count, check_floats
from csc.operators._conv_plan import batch_last_pays
from csc.operators._dictionary import Dictionary

RULES = ("soft", "hard", "relu")
COMPOSABLE = ("full", "valid", "circular")  # modes in which a product is a convolution, too


@dataclass(frozen=True, eq=False)
class MultiLayerDictionary(AtomsReprMixin):
    """Multi-layer convolutional dictionary: ``x = D_1 g_1``, ``g_1 = D_2 g_2``, and so on [1]_.

    The signals of layer i are the codes of layer i - 1, with K_{i-1} channels; layer 0 is the
    signal. Each layer has its own atoms, mode and stride. The product ``D_1 ... D_L`` is itself a
    dictionary (`effective`), and thresholding ``D_i^T`` layer by layer is the forward pass of a
    convolutional network (`forward`).

    Parameters
    ----------
    layers : sequence of Dictionary
        D_1, ..., D_L; the atoms of D_i have as many channels as D_{i-1} has atoms.

    Raises
    ------
    TypeError, ValueError
        If a layer is no `Dictionary`, or two of them do not fit.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D1 = csc.Dictionary(np.array([[[1.0, 1.0]], [[1.0, -1.0]]]))
    >>> D2 = csc.Dictionary(np.array([[[1.0, 0.0], [0.0, 1.0]]]))
    >>> D = csc.MultiLayerDictionary([D1, D2])
    >>> D(np.array([[[2.0]]]))
    array([[[ 2.,  4., -2.]]])
    >>> D.effective().atoms
    array([[[ 1.,  2., -1.]]])

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via
       convolutional sparse coding", JMLR 18, 2017.
    """

    layers: tuple[Dictionary, ...]

    is_convolution = False  # a product of them; see `effective`
    mode = "multi-layer"

    if TYPE_CHECKING:  # the field has the stored type, the argument may be any iterable

        def __init__(self, layers: Iterable[Dictionary]) -> None: ...

    def __post_init__(self):
        layers = tuple(self.layers)
        if not layers:
            raise ValueError("layers is empty; pass at least one csc.Dictionary")
        for i, D in enumerate(layers, 1):
            if not isinstance(D, Dictionary):
                raise TypeError(f"layer {i} must be a csc.Dictionary, got {type(D).__name__}")
        for i, (upper, lower) in enumerate(zip(layers, layers[1:], strict=False), 1):
            _check_fit(i, upper, lower)
        object.__setattr__(self, "layers", layers)

    def __repr__(self):
        return f"MultiLayerDictionary({', '.join(map(repr, self.layers))})"

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def atoms(self) -> Array:
        """Atoms of the first layer."""
        return self.layers[0].atoms

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the atoms and of all results."""
        return self.layers[0].dtype

    @property
    def n_atoms(self) -> int:
        """K_L."""
        return self.layers[-1].n_atoms

    def spatial_shapes(self, signal_shape: Shape) -> list[Shape]:
        """Spatial shapes of the signals and of the codes of every layer, L + 1 tuples."""
        chain = [tuple(signal_shape)]
        for i, D in enumerate(self.layers, 1):
            try:
                chain.append(D.spatial_code_shape(chain[-1]))
            except ValueError as error:
                raise ValueError(f"layer {i} does not fit: {error}") from None
        return chain

    def spatial_code_shape(self, signal_shape: Shape) -> Shape:
        """Spatial shape of the deepest codes."""
        return self.spatial_shapes(signal_shape)[-1]

    def signal_shape(self, spatial_code_shape: Shape) -> Shape:
        """Spatial shape of the smallest signals whose deepest codes have this spatial shape."""
        for D in reversed(self.layers):
            spatial_code_shape = D.signal_shape(spatial_code_shape)
        return spatial_code_shape

    def is_patch(self, signal_shape: Shape) -> bool:  # noqa: ARG002
        """False: the Gram matrix of a patch dictionary is not that of a product."""
        return False

    def batch_last_pays(self, x: Array) -> bool:
        """Whether signals ``x`` and the codes of all layers should be stored batch last."""
        return len(self.layers) > 1 and batch_last_pays(self.layers[0], x)

    def synthesize(
        self,
        gamma: Array,
        from_layer: int | None = None,
        to_layer: int = 0,
        shape: Shape | None = None,
    ) -> Array:
        """``D_{j+1} ... D_i g_i``: the codes of layer i, synthesised to layer j.

        Parameters
        ----------
        gamma : array (N, K_i, *V_i)
            Codes of layer i.
        from_layer : int, optional
            i; the deepest by default.
        to_layer : int
            j < i; 0 is the signal.
        shape : tuple, optional
            Spatial shape *S* of the signal (layer 0), which the codes do not determine if there are
            strides; the smallest by default.

        Returns
        -------
        array (N, K_j, *V_j), signals (N, C, *S) for j = 0
        """
        i = self._check_layers(from_layer, to_layer)
        spatial_shape = None if shape is None else self.spatial_shapes(shape)
        for layer in range(i, to_layer, -1):
            own = None if spatial_shape is None else spatial_shape[layer - 1]
            gamma = self.layers[layer - 1](gamma, own)
        return gamma

    def __call__(self, z: Array, shape: Shape | None = None) -> Array:
        """Signals ``D_1 ... D_L z``."""
        return self.synthesize(z, shape=shape)

    def reconstruct(self, z: Array) -> Array:
        """Signals of codes."""
        return self(z)

    def adjoint(self, x: Array, from_layer: int = 0, to_layer: int | None = None) -> Array:
        """``D_i^T ... D_{j+1}^T x``: correlations of layer j's codes with layer i's atoms.

        Parameters
        ----------
        x : array (N, C, *S), or codes (N, K_j, *V_j) of layer j = ``from_layer``
        from_layer, to_layer : int
            j, and i; by default the signal and the deepest layer.
        """
        i = self._check_layers(to_layer, from_layer)
        for D in self.layers[from_layer:i]:
            x = D.adjoint(x)
        return x

    def effective(self, i: int | None = None) -> Dictionary:
        """``D_1 ... D_i`` as a `Dictionary`, itself convolutional.

        Its stride is the product of the strides; its atoms are those of layer i seen in the
        signal. Exact if all layers share one of the modes "full", "valid" and "circular":
        in other modes layers are cropped in between, and atoms change near the border.

        Raises
        ------
        ValueError
            For other modes.
        """
        i = self._check_layers(i, 0)
        if i == 1:
            return self.layers[0]
        modes = {D.mode for D in self.layers[:i]}
        if not (len(modes) == 1 and modes <= set(COMPOSABLE)):
            raise ValueError(
                f"layers of modes {', '.join(sorted(modes))} are no convolution together: atoms "
                "are cropped between them; use one of the modes "
                f"{', '.join(COMPOSABLE)}, or look at atoms by synthesize"
            )
        atoms = self.layers[i - 1].atoms
        for D in reversed(self.layers[: i - 1]):
            inside = Dictionary(D.atoms, "full", D.stride, D.sizes)
            atoms = inside(atoms)  # an atom of layer j + 1 is a code of layer j
        strides = zip(*(D.geometry.stride for D in self.layers[:i]), strict=True)
        return Dictionary(atoms, self.layers[0].mode, tuple(map(prod, strides)))

    def forward(
        self,
        x: Array,
        thresholds: Sequence[float | Array],
        rule: Literal["soft", "hard", "relu"] = "soft",
    ) -> list[Array]:
        """Layered thresholding: ``g_i = P(D_i^T g_{i-1})``, the forward pass of a CNN [1]_.

        Parameters
        ----------
        x : array (N, C, *S)
        thresholds : sequence of L floats or arrays (K_i,)
            beta_i; with rule "relu" minus the bias of a network's layer.
        rule : {"soft", "hard", "relu"}
            ``sign(v) max(|v| - beta, 0)``, v where ``|v| > beta``, or ``max(v - beta, 0)``.

        Returns
        -------
        list of arrays (N, K_i, *V_i)
            Codes of all layers; their chain ``g_{i-1} = D_i g_i`` does not hold.
        """
        check_choice("rule", rule, RULES)
        self.check_one_each("thresholds", thresholds)
        codes = []
        for i, (D, beta) in enumerate(zip(self.layers, thresholds, strict=True), 1):
            x = _threshold(D.adjoint(x), _as_channels(i, beta, D, rule), rule)
            codes.append(x)
        return codes

    def lipschitz(self, signal_shape: Shape | None = None) -> float:
        """Certified upper bound of ``||D_1 ... D_L||^2``: the smaller of two bounds."""
        chain = [None] * len(self.layers)
        if signal_shape is not None:
            chain = self.spatial_shapes(signal_shape)[:-1]
        bound = prod(D.lipschitz(S) for D, S in zip(self.layers, chain, strict=True))
        if {D.mode for D in self.layers} <= {"full"}:
            bound = min(bound, self.effective().lipschitz(signal_shape))
        return bound

    @cached_property
    def as_double(self) -> "MultiLayerDictionary":
        """The same in float64, for certificates."""
        return MultiLayerDictionary(D.as_double for D in self.layers)

    def check_signals(self, name: str, x: Array) -> Array:
        """Return signals that fit the layers, or raise an error."""
        x = check_floats(
            name, x, hint="fill the gaps first: multi-layer problems do not support masks"
        )
        x = self.layers[0].check_signals(name, x, values=False)
        self.spatial_shapes(x.shape[2:])
        return x

    def check_one_each(self, name: str, values: Sequence[Any]) -> None:
        """Raise an error unless there is one value per layer."""
        if len(values) != len(self.layers):
            raise ValueError(
                f"{name} must be one for each of the {len(self.layers)} layers, got {len(values)}"
            )

    def _check_layers(self, deep, shallow):
        """Return the index of the deeper of two layers; layer 0 is the signal."""
        deep = len(self.layers) if deep is None else check_count("layer", deep)
        check_count("layer", shallow, low=0)
        if not shallow < deep <= len(self.layers):
            raise ValueError(
                f"layers must be 0 (the signal) to {len(self.layers)}, the one nearer to the "
                f"signal first, got {shallow} and {deep}"
            )
        return deep


def _check_fit(i, upper, lower):
    """Whether the codes of layer i can be the signals of layer i + 1."""
    namespace(upper.atoms, lower.atoms)  # refuses mixed devices
    pairs = {
        "channels": (upper.n_atoms, lower.atoms.shape[1]),
        "spatial axes": (upper.atoms.ndim - 2, lower.atoms.ndim - 2),
        "dtype": (upper.dtype, lower.dtype),
    }
    for what, (codes, atoms) in pairs.items():
        if codes != atoms:
            raise ValueError(
                f"layers {i} and {i + 1} do not fit: the codes of layer {i} have {what} {codes}, "
                f"the atoms of layer {i + 1} {atoms}"
            )


def _as_channels(i, beta, D, rule):
    """Thresholds of layer i that broadcast to its codes, in their precision."""
    xp = namespace(D.atoms)
    beta = xp.asarray(beta, dtype=D.dtype)
    if beta.ndim > 1 or beta.size not in (1, D.n_atoms) or not xp.isfinite(beta).all():
        raise ValueError(
            f"thresholds[{i - 1}] must be a finite number, or one for each of the {D.n_atoms} "
            f"atoms of layer {i}, got {beta!r}"
        )
    if rule != "relu" and (beta < 0).any():
        raise ValueError(f"thresholds[{i - 1}] must be >= 0 for rule {rule!r}, got {beta.min()}")
    return beta.reshape(-1, *(1,) * (D.atoms.ndim - 2))


def _threshold(v, beta, rule):
    if rule == "hard":
        return namespace(v).where(abs(v) > beta, v, 0)
    return soft_threshold(v, beta, positive=rule == "relu")
