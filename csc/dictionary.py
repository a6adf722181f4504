"""The dictionary: a linear operator from codes to signals, with both its adjoints."""

from dataclasses import dataclass
from functools import cached_property
from math import cos, pi, prod

import numpy as np

from csc._device import kernels, namespace
from csc._validate import check_atoms, check_choice, check_count, check_floats, check_signals

MODES = ("full",)
GRID = 16  # frequencies per tap where the Lipschitz bound samples large signals


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Convolutional dictionary: ``x[n, c] = sum_k d[k, c] * z[n, k]``.

    In mode ``"full"`` every atom lies wholly inside the signal,

        x[n, c, u] = sum_k sum_v d[k, c, u - v] z[n, k, v],    V = S - s + 1,

    so a signal of the atoms' own extents (a patch) has codes with one position. The object
    is immutable: it keeps a read-only copy of the atoms.

    Parameters
    ----------
    atoms : array (K, C, *s), float32 or float64
        K atoms of C channels with 1 to 3 spatial axes. No axis is guessed: single-channel
        atoms need ``atoms[:, None]``.
    mode : {"full"}
        Which positions an atom may take.
    stride : int
        Codes live on every ``stride``-th position; 1 in this version.

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

    atoms: np.ndarray
    mode: str = "full"
    stride: int = 1

    def __post_init__(self):
        check_atoms(self.atoms)
        check_choice("mode", self.mode, MODES)
        if check_count("stride", self.stride) != 1:
            raise ValueError(f"stride must be 1 in this version, got {self.stride}")
        xp = namespace(self.atoms)
        atoms = xp.array(self.atoms, order="C")
        if xp is np:
            atoms.flags.writeable = False
        object.__setattr__(self, "atoms", atoms)

    def __repr__(self):
        k, c, *extents = self.atoms.shape
        size = "x".join(map(str, extents))
        return f"Dictionary({k} atoms {size}, {c} channel(s), mode={self.mode!r}, {self.dtype})"

    @property
    def dtype(self):
        """Precision of the atoms, and of all that this dictionary computes."""
        return self.atoms.dtype

    @property
    def n_atoms(self):
        """K."""
        return self.atoms.shape[0]

    @property
    def extents(self):
        """Spatial extents *s* of one atom."""
        return self.atoms.shape[2:]

    def code_extents(self, signal_extents):
        """Spatial extents *V* of the codes of signals with extents *S*: V = S - s + 1."""
        return tuple(big - s + 1 for big, s in zip(signal_extents, self.extents, strict=True))

    def signal_extents(self, code_extents):
        """Spatial extents *S* of the signals whose codes have extents *V*: S = V + s - 1."""
        return tuple(v + s - 1 for v, s in zip(code_extents, self.extents, strict=True))

    def __call__(self, z, shape=None):
        """Synthesise signals from codes.

        Parameters
        ----------
        z : array (N, K, *V)
            Codes, same dtype as the atoms.
        shape : tuple, optional
            Extents *S* of the signals where the codes leave them open (strides); here it
            can only confirm ``V + s - 1``.

        Returns
        -------
        x : array (N, C, *S)
        """
        self._check_codes(z)
        extents = self.signal_extents(z.shape[2:])
        if shape is not None and tuple(shape) != extents:
            raise ValueError(f"shape must be {extents} for codes of shape {z.shape}, got {shape}")
        n, channels = z.shape[0], self.atoms.shape[1]
        if prod(z.shape[2:]) == 1:  # one position: a matrix product
            return (z.reshape(n, -1) @ self.matrix).reshape(n, channels, *extents)
        out = namespace(z, self.atoms).empty((n, channels, *extents), z.dtype)
        kernels(z).synthesize(_given(z), _given(self.atoms), (1, 1, 1), _volume(out))
        return out

    def adjoint(self, x):
        """Correlate signals with the atoms: ``(D^T x)[n, k, v] = <d_k, x[n] at v>``.

        Parameters
        ----------
        x : array (N, C, *S)
            Signals, same dtype as the atoms, no smaller than them.

        Returns
        -------
        z : array (N, K, *V)
        """
        self._check_dtype("x", check_signals(x, self.atoms.shape[1:]))
        extents = self.code_extents(x.shape[2:])
        n = x.shape[0]
        if prod(extents) == 1:
            return self._correlate_patches(x.reshape(n, -1)).reshape(n, self.n_atoms, *extents)
        out = namespace(x, self.atoms).empty((n, self.n_atoms, *extents), x.dtype)
        kernels(x).correlate(_given(x), _given(self.atoms), (1, 1, 1), _volume(out))
        return out

    def adjoint_atoms(self, r, z):
        """Adjoint of ``d -> sum_k d_k * z_k``, the map that a learner differentiates.

        Parameters
        ----------
        r : array (N, C, *S)
            Residuals, same dtype as the atoms.
        z : array (N, K, *V)
            Codes.

        Returns
        -------
        g : array (K, C, *s)
            ``g[k, c, l] = sum_{n, v} r[n, c, v + l] z[n, k, v]``
        """
        self._check_codes(z)
        self._check_dtype("r", check_signals(r, self.atoms.shape[1:], "r"))
        expected = (z.shape[0], *self.signal_extents(z.shape[2:]))
        if (r.shape[0], *r.shape[2:]) != expected:
            raise ValueError(f"r of shape {r.shape} does not fit codes z of shape {z.shape}")
        out = namespace(r, z, self.atoms).empty(self.atoms.shape, r.dtype)
        if prod(z.shape[2:]) == 1:
            n = r.shape[0]
            out[...] = (z.reshape(n, -1).T @ r.reshape(n, -1)).reshape(out.shape)
        else:
            kernels(r).correlate_atoms(_given(r), _given(z), (1, 1, 1), _volume(out))
        return out

    @property
    def matrix(self):
        """The atoms as rows, ``(K, C * prod(s))``: the whole dictionary of a patch."""
        return self.atoms.reshape(self.n_atoms, -1)

    @cached_property
    def patch_gram(self):
        """Gram matrix ``(K, K)`` of the atoms at one position."""
        return self._correlate_patches(self.matrix)

    def gram(self):
        """Correlations of all pairs of atoms at all shifts.

        Returns
        -------
        g : array (K, K, *(2s - 1))
            ``g[j, k, d + s - 1] = sum_{c, l} d_j[c, l + d] d_k[c, l]``: zero shift in the
            middle, where it is the Gram matrix of a patch dictionary.
        """
        border = [(0, 0), (0, 0), *((s - 1, s - 1) for s in self.extents)]
        return self.adjoint(namespace(self.atoms).pad(self.atoms, border))

    def lipschitz(self, signal_extents=None):
        """Certified upper bound of the squared operator norm ``||D||^2``.

        Codes of extents V fill signals of extents S without wrapping, so D is a restriction
        of the circular operator on S, whose norm is the largest eigenvalue over the DFT
        frequencies w of ``sum_k d_k(w) d_k(w)^H`` (C x C). For S above 16 taps an axis the
        frequencies are sampled more coarsely, at n points an axis, and the bound divided by
        ``cos(pi (s - 1) / n)``: no trigonometric polynomial of degree s - 1 exceeds its
        largest sample by more [1]_. A patch (S = s) gets its exact spectral norm.

        Parameters
        ----------
        signal_extents : tuple, optional
            Extents *S*; None gives a bound for signals of any size.

        Returns
        -------
        float

        References
        ----------
        .. [1] H. Ehlich, K. Zeller, "Schwankung von Polynomen zwischen Gitterpunkten",
           Math. Z. 86, 1964.
        """
        if signal_extents is not None and tuple(signal_extents) == tuple(self.extents):
            return float(self._norm_squared_patch)
        caps = [GRID * s for s in self.extents]
        wanted = signal_extents if signal_extents is not None else caps
        samples = [min(cap, int(n)) for cap, n in zip(caps, wanted, strict=True)]
        bound = self._largest_eigenvalue(tuple(samples))
        coarse = [signal_extents is None or n > cap for n, cap in zip(wanted, caps, strict=True)]
        for s, n, is_coarse in zip(self.extents, samples, coarse, strict=True):
            bound /= cos(pi * (s - 1) / n) if is_coarse else 1.0
        return bound

    @cached_property
    def as_double(self):
        """The same dictionary in float64, for certificates."""
        if self.dtype == "float64":
            return self
        return Dictionary(self.atoms.astype("float64"), self.mode, self.stride)

    @cached_property
    def _norm_squared_patch(self):
        xp = namespace(self.atoms)
        return xp.linalg.norm(self.matrix.astype("float64"), 2) ** 2

    def _largest_eigenvalue(self, samples):
        """Largest eigenvalue of D(w) D(w)^H over a grid of frequencies."""
        xp = namespace(self.atoms)
        axes = tuple(range(2, self.atoms.ndim))
        spectra = xp.fft.rfftn(self.atoms.astype("float64"), samples, axes=axes)
        spectra = xp.moveaxis(spectra.reshape(*spectra.shape[:2], -1), 2, 0)  # (w, K, C)
        if spectra.shape[1] < spectra.shape[2]:
            spectra = spectra.swapaxes(1, 2)  # the smaller of D D^H and D^H D
        grams = spectra.conj().swapaxes(1, 2) @ spectra
        return float(xp.linalg.eigvalsh(grams)[:, -1].max())

    def _correlate_patches(self, rows):
        out = namespace(rows).empty((len(rows), self.n_atoms), self.dtype)
        kernels(rows).correlate_patches(rows, self.matrix, out)
        return out

    def _check_codes(self, z):
        self._check_dtype("z", check_floats("z", z))
        if z.ndim != self.atoms.ndim or z.shape[1] != self.n_atoms:
            raise ValueError(
                f"z must be (N, K, *V) with K = {self.n_atoms} and {self.atoms.ndim - 2} spatial "
                f"axes, got shape {z.shape}"
            )

    def _check_dtype(self, name, a):
        namespace(a, self.atoms)  # refuses mixed devices
        if a.dtype != self.dtype:
            raise TypeError(
                f"{name} is {a.dtype} but the atoms are {self.dtype}; use one precision, "
                f"for example {name}.astype(atoms.dtype)"
            )


def _volume(a):
    """View ``(n, c, *S)`` with three spatial axes, as the kernels take it."""
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


def _given(a):
    """Contiguous, read-only volume: one type for all inputs, so a kernel compiles once."""
    xp = namespace(a)
    view = _volume(xp.ascontiguousarray(a)).view()
    if xp is np:
        view.flags.writeable = False
    return view
