"""The dictionary: a linear operator from codes to signals, and its adjoints."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from csc._backend import namespace, to_host
from csc._repr_html import AtomsReprMixin
from csc._typing import Array, ArrayLike, Mode, Shape, Stride
from csc._validation import check_atoms, check_floats, check_like_atoms, check_signals
from csc.kernels._arguments import MomentumPoint, SoftThreshold
from csc.operators._atom_sizes import check_sizes, runs, stack
from csc.operators._conv_geometry import ConvGeometry
from csc.operators._conv_plan import ConvPlan
from csc.operators._norm_bound import norm_bound, polyphase
from csc.operators._patch_matrix import PatchMatrix
from csc.operators._synthesis_matrix import synthesis_matrix


@dataclass(frozen=True, eq=False)
class Dictionary(AtomsReprMixin):
    """Convolutional dictionary: ``x[n, c] = sum_k d[k, c] * z[n, k]``.

    In mode ``"full"`` every atom lies wholly inside the signal,

        x[n, c, u] = sum_k sum_v d[k, c, u - t v] z[n, k, v],    V = (S - s) // t + 1,

    so a signal of the atoms' own spatial shape (a patch) has codes with one position. In mode
    ``"valid"`` atoms may overhang the border (V = (S + s - 2) // t + 1) and in ``"same"`` those
    at the border are cropped (V = ceil(S / t)); in ``"circular"`` they wrap around (V = S / t).
    The object is immutable: it keeps a read-only copy of the atoms.

    Parameters
    ----------
    atoms : array (K, C, *s), float32 or float64, or a list of such arrays
        K atoms of C channels with 1 to 3 spatial axes. No axis is guessed: single-channel
        atoms need ``atoms[:, None]``. A list holds atoms of several sizes, one array per size; they
        are stored as one array, padded with zeros, which take no time in computations.
    mode : {"full", "valid", "same", "circular"}
        Positions of the atoms relative to the signal; see `csc.operators._conv_geometry.ConvGeometry`.
    stride : int or tuple of ints
        Codes are at every t-th sample, t = ``stride``; one number for all axes, or one per axis.
    sizes : sequence of tuples, optional
        Spatial shapes of the atoms, if ``atoms`` are padded with zeros already.

    Raises
    ------
    TypeError, ValueError
        If atoms are not floats, not finite, all zero, or of the wrong number of axes.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.ones((1, 1, 2)))
    >>> D(np.array([[[1.0, 0.0, 3.0]]]))
    array([[[1., 1., 3., 3.]]])
    >>> D.adjoint(np.array([[[1.0, 1.0, 3.0, 3.0]]]))
    array([[[2., 4., 6.]]])

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017 (the convolutional sparse model).
    """

    atoms: Array
    mode: Mode = "full"
    stride: Stride = 1
    sizes: Sequence[Shape] | None = None

    is_convolution = True

    if TYPE_CHECKING:  # the field has the stored type, the argument may be any array-like

        def __init__(
            self,
            atoms: ArrayLike,
            mode: Mode = "full",
            stride: Stride = 1,
            sizes: Sequence[Shape] | None = None,
        ) -> None: ...

    def __post_init__(self):
        atoms, sizes = self.atoms, self.sizes
        if isinstance(atoms, list | tuple):
            atoms, sizes = stack(atoms)
        atoms = check_atoms(atoms)
        ConvGeometry.of(self.mode, self.stride, atoms.shape[2:])  # raises if they do not fit
        sizes = None if sizes is None else check_sizes(atoms, sizes)
        xp = namespace(atoms)
        atoms = xp.array(atoms, order="C")
        if xp is np:
            atoms.flags.writeable = False
        object.__setattr__(self, "atoms", atoms)
        object.__setattr__(self, "sizes", sizes)

    def __repr__(self):
        k, c = self.atoms.shape[:2]
        size = " and ".join("x".join(map(str, a.shape[2:])) for _, a in self.parts)
        kind = f"mode={self.mode!r}" + ("" if self.geometry.is_dense else f", stride={self.stride}")
        return f"Dictionary({k} atoms {size}, {c} channel(s), {kind}, {self.dtype})"

    @cached_property
    def geometry(self) -> ConvGeometry:
        """Positions of the atoms in a signal."""
        return ConvGeometry.of(self.mode, self.stride, self.atom_shape)

    @cached_property
    def parts(self) -> tuple[tuple[slice, Array], ...]:
        """Which atoms, and their samples ``(K_i, C, *s_i)``, for each run of atoms of one size."""
        return tuple((own[0], self.atoms[own]) for own in self.part_slices)

    @cached_property
    def part_slices(self) -> list[tuple[slice, ...]]:
        """Where in ``atoms`` the samples of each of the `parts` are."""
        sizes = self.sizes or (self.atom_shape,) * self.n_atoms
        return [(which, slice(None), *map(slice, sizes[which.start])) for which in runs(sizes)]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the atoms and of all results."""
        return self.atoms.dtype

    @property
    def n_atoms(self) -> int:
        """K."""
        return self.atoms.shape[0]

    @cached_property
    def n_terms(self) -> int:
        """Number of nonzero samples of the atoms."""
        return int((self.atoms != 0).sum())

    @property
    def atom_shape(self) -> Shape:
        """Spatial shape *s* of one atom."""
        return self.atoms.shape[2:]

    def spatial_code_shape(self, signal_shape: Shape) -> Shape:
        """Spatial shape *V* of the codes of signals with shape *S*."""
        return self.geometry.spatial_code_shape(signal_shape)

    def signal_shape(self, spatial_code_shape: Shape) -> Shape:
        """Spatial shape *S* of the smallest signals whose codes have spatial shape *V*."""
        return self.geometry.signal_shape(spatial_code_shape)

    def pad(self, x: Array) -> Array:
        """Signals in which every atom lies wholly, E x: zeros or wrapped samples around x."""
        return self.geometry.pad(x)

    def is_patch(self, signal_shape: Shape) -> bool:
        """Whether the dictionary is one matrix: atoms as large as the signals."""
        return self.mode == "full" and tuple(signal_shape) == tuple(self.atom_shape)

    def __call__(self, z: Array, shape: Shape | None = None) -> Array:
        """Synthesise signals from codes.

        Parameters
        ----------
        z : array (N, K, *V)
            Codes, same dtype as the atoms.
        shape : tuple, optional
            Spatial shape *S* of the signals, which the codes do not determine if there are strides; the
            smallest by default.

        Returns
        -------
        x : array (N, C, *S)
        """
        z = self._checked_codes(z)
        spatial_shape = self.geometry.signal_shape_of(z, shape)
        return ConvPlan.of(self, z, spatial_shape).synthesize(z)

    def adjoint(self, x: Array) -> Array:
        """Correlate signals with the atoms: ``(D^T x)[n, k, v] = <d_k, x[n] at v>``.

        Parameters
        ----------
        x : array (N, C, *S)
            Signals, same dtype as the atoms, no smaller than them.

        Returns
        -------
        z : array (N, K, *V)
        """
        x = self.check_signals("x", x, values=self._checks_values)
        return ConvPlan.of(self, x, x.shape[2:]).correlate(x)

    def has_proximal_step(self, r: Array) -> bool:
        """Whether `proximal_step` takes signals like ``r``, in their shape and order of memory."""
        return ConvPlan.of(self, r, r.shape[2:]).has_proximal_step

    def proximal_step(
        self,
        x: Array,
        step: Any,
        point: MomentumPoint,
        prox: SoftThreshold,
        fits: tuple[Array, ...] = (),
    ) -> tuple[Array, Any]:
        """``prox(y + step D^T r)`` in one pass over the codes, if `has_proximal_step`.

        Parameters
        ----------
        x : array (N, C, *S)
            Residuals r if there are no ``fits``; else signals, and ``r = x - D y``.
        step : float
        point : MomentumPoint
            The extrapolated point ``y = z + momentum (z - z_old)``, which is never stored.
        prox : SoftThreshold
        fits : (D z, D z_old), arrays (N, C, *S), optional

        Returns
        -------
        z_new : array (N, K, *V)
        restart_score : float
            ``<y - z_new, z_new - z>``: above 0, the momentum increases the objective.
        """
        plan = ConvPlan.of(self, fits[0] if fits else x, x.shape[2:])
        return plan.proximal_step(x, step, point, prox, fits)

    def adjoint_atoms(self, r: Array, z: Array) -> Array:
        """Adjoint of ``d -> sum_k d_k * z_k``, used in learning.

        Parameters
        ----------
        r : array (N, C, *S)
            Residuals, same dtype as the atoms.
        z : array (N, K, *V)
            Codes.

        Returns
        -------
        g : array (K, C, *s)
            ``g[k, c, l] = sum_{n, v} (E r)[n, c, t v + l] z[n, k, v]``; 0 behind smaller atoms.
        """
        z, r = self._checked_codes(z), self.check_signals("r", r, values=self._checks_values)
        if (r.shape[0], *self.spatial_code_shape(r.shape[2:])) != (z.shape[0], *z.shape[2:]):
            raise ValueError(f"r of shape {r.shape} does not fit codes z of shape {z.shape}")
        return ConvPlan.of(self, r, r.shape[2:]).correlate_atoms(r, z)

    @property
    def matrix(self) -> Array:
        """The atoms as rows, ``(K, C * prod(s))``: the whole dictionary of a patch."""
        return self.atoms.reshape(self.n_atoms, -1)

    @cached_property
    def patch_gram(self) -> Array:
        """Gram matrix ``(K, K)`` of the atoms at one position."""
        return self.patch_matrix.correlate(self.matrix)

    def gram(self) -> Array:
        """Correlations of all pairs of atoms at all shifts.

        Returns
        -------
        g : array (K, K, *(2s - 1))
            ``g[j, k, d + s - 1] = sum_{c, l} d_j[c, l + d] d_k[c, l]``: zero shift in the
            middle, where it is the Gram matrix of a patch dictionary.
        """
        return Dictionary(self.atoms, "valid").adjoint(self.atoms)

    def lipschitz(self, signal_shape: Shape | None = None) -> float:
        """Certified upper bound of the squared operator norm ``||D||^2``.

        D is a part of the circular operator on the P samples of each axis that the atoms cover. Its
        norm is the largest eigenvalue over the DFT frequencies w of ``sum_k d_k(w) d_k(w)^H``.
        With strides, the same holds if every phase of the samples is a separate channel. If P is
        above 16 taps, the frequencies are sampled more coarsely, at n points per axis, and
        the bound is divided by ``cos(pi (s - 1) / n)``: no trigonometric polynomial of degree s - 1
        exceeds its largest sample by more [1]_. Exact for patches (S = s), and in mode "circular" up
        to 16 taps.

        Parameters
        ----------
        signal_shape : tuple, optional
            Spatial shape *S*; None gives a bound for signals of any size.

        Returns
        -------
        float

        References
        ----------
        .. [1] H. Ehlich, K. Zeller, "Schwankung von Polynomen zwischen Gitterpunkten",
           Math. Z. 86, 1964.
        """
        if signal_shape is not None and self.is_patch(signal_shape):
            return float(self._norm_squared_patch)
        atoms = to_host(self.atoms).astype("float64")  # small: slower on a device
        phases, lengths = polyphase(atoms, self.geometry.stride), None
        if signal_shape is not None:
            margin = [0 if self.mode == "circular" else s - 1 for s in phases.shape[2:]]
            codes = self.spatial_code_shape(signal_shape)
            lengths = [v + s for v, s in zip(codes, margin, strict=True)]
        return norm_bound(phases, lengths)

    @cached_property
    def as_double(self) -> "Dictionary":
        """The same dictionary in float64, for certificates."""
        if self.dtype == "float64":
            return self
        return Dictionary(self.atoms.astype("float64"), self.mode, self.stride, self.sizes)

    @cached_property
    def _norm_squared_patch(self):
        return np.linalg.norm(to_host(self.matrix).astype("float64"), 2) ** 2

    @cached_property
    def patch_matrix(self) -> PatchMatrix:
        """`matrix` and its products."""
        return PatchMatrix(self.matrix)

    def synthesis_matrix(self, signal_shape: Shape) -> Any:
        """D as a matrix, one row for each code; see `csc.operators._synthesis_matrix`."""
        return synthesis_matrix(self, signal_shape)

    def check_signals(self, name: str, x: Array, *, values: bool = True) -> Array:
        """Return signals ``(N, C, *S)`` that fit this dictionary, or raise an error."""
        fit = self.geometry.must_fit
        x = check_signals(x, self.atoms.shape[1:], name, fit=fit, values=values)
        self.spatial_code_shape(x.shape[2:])
        check_like_atoms(name, x, self.atoms)
        return x

    def __getstate__(self):
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _checked_codes(self, z):
        z = check_floats("z", z, values=self._checks_values)
        check_like_atoms("z", z, self.atoms)
        if z.ndim != self.atoms.ndim or z.shape[1] != self.n_atoms:
            raise ValueError(
                f"z must be (N, K, *V) with K = {self.n_atoms} and {self.atoms.ndim - 2} spatial "
                f"axes, got shape {z.shape}"
            )
        return z

    @property
    def _checks_values(self):  # for NaN: on a device the host would wait in every iteration
        return namespace(self.atoms) is np
