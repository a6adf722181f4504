"""Constraints on atoms, as projections; combine them with ``&``."""

from dataclasses import dataclass
from functools import cache, cached_property, reduce
from math import lcm

import numpy as np

from csc._backend import kernels, namespace, to_host
from csc._norms import to_unit_range, without_mean
from csc._typing import Array
from csc._validation import check_count, check_flag, check_floats, check_number, check_real

MAX_NEWTON_STEPS = 60  # for the Lagrange multiplier; three to eight are enough in practice
# of the norm over 1 before the last step: its square, left after it, is rounding
LAST_EXCESS = 1e-7
MAX_POWER_STEPS = 500  # of the higher-order power method; near a product some ten are enough
POWER_TOL = 1e-13  # it ends where a step lengthens no product by more than this fraction
TINY = 1e-300  # against division by 0 for atoms of zeros
MAX_MODULUS = 1e100  # of samples that are squared; longer atoms under a window keep their direction


def _scaled_and_norms(atoms):
    """Atoms times powers of two, the norms of these, and 1 in their units ``(K, 1, ...)``."""
    xp, axes = namespace(atoms), tuple(range(1, atoms.ndim))
    scaled, exponents = to_unit_range(atoms, axes)
    norms = xp.sqrt((scaled * scaled).sum(axis=axes, keepdims=True))
    return scaled, norms, xp.ldexp(xp.ones_like(norms), -exponents)


class Constraint:
    """A closed set of atoms; ``project`` maps atoms ``(K, C, *s)`` to the nearest in it.

    ``group_size`` consecutive atoms are constrained together, by default each on its own.
    """

    group_size = 1

    def __and__(self, other: "Constraint") -> "Intersection":
        return Intersection(self, other)


@dataclass(frozen=True)
class Intersection(Constraint):
    """``first & second``: projects onto the first, then onto the second.

    This is the projection onto the intersection if ``first`` is a subspace (``ZeroMean``) and
    ``second`` a ball or sphere around zero, or `OrthonormalGroups`; these must come last.

    Parameters
    ----------
    first, second : Constraint
    """

    first: Constraint
    second: Constraint

    @property
    def group_size(self) -> int:
        """Number of consecutive atoms that are constrained together."""
        return lcm(*(getattr(c, "group_size", 1) for c in (self.first, self.second)))

    def project(self, atoms: Array) -> Array:
        """Project onto ``first``, then onto ``second``."""
        return reduce(lambda a, c: c.project(a), (self.first, self.second), atoms)


@dataclass(frozen=True)
class UnitBall(Constraint):
    """``||d_k|| <= 1``: the usual convex constraint of dictionary learning.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.UnitBall().project(np.array([[[3.0, 4.0]], [[0.3, 0.4]]]))
    array([[[0.6, 0.8]],
           [[0.3, 0.4]]])
    """

    def project(self, atoms: Array) -> Array:
        """Divide atoms of norm above 1 by their norm."""
        atoms = check_real("atoms", atoms)
        scaled, norms, one = _scaled_and_norms(atoms)
        return scaled / namespace(atoms).maximum(norms, one)


@dataclass(frozen=True)
class UnitSphere(Constraint):
    """``||d_k|| = 1``. An atom of zeros has no nearest point and stays unchanged.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.UnitSphere().project(np.array([[[0.3, 0.4]], [[0.0, 0.0]]]))
    array([[[0.6, 0.8]],
           [[0. , 0. ]]])
    """

    def project(self, atoms: Array) -> Array:
        """Divide every atom by its norm."""
        atoms = check_real("atoms", atoms)
        scaled, norms, _ = _scaled_and_norms(atoms)
        return scaled / namespace(atoms).where(norms > 0, norms, 1)


@dataclass(frozen=True)
class ZeroMean(Constraint):
    """Every channel of every atom sums to zero; a constant atom becomes zero.

    Examples
    --------
    >>> import numpy as np, csc
    >>> (csc.constraints.ZeroMean() & csc.constraints.UnitBall()).project(np.array([[[1.0, 3.0]]])).round(3)
    array([[[-0.707,  0.707]]])
    """

    def project(self, atoms: Array) -> Array:
        """Subtract the mean of each channel."""
        atoms = check_real("atoms", atoms)
        return without_mean(atoms, tuple(range(2, atoms.ndim)))


@dataclass(frozen=True)
class NonNegative(Constraint):
    """All samples are at least zero.

    Examples
    --------
    >>> import numpy as np, csc
    >>> (csc.constraints.NonNegative() & csc.constraints.UnitBall()).project(np.array([[[-1.0, 3.0, 4.0]]]))
    array([[[0. , 0.6, 0.8]]])
    """

    def project(self, atoms: Array) -> Array:
        """Set negative samples to zero."""
        atoms = check_real("atoms", atoms)
        return namespace(atoms).maximum(atoms, 0)


@dataclass(frozen=True)
class SparseAtoms(Constraint):
    """At most ``n_nonzero`` non-zero samples per atom: ``||d_k||_0 <= n_nonzero``.

    Not convex. Followed by a ball or sphere, it is the projection onto the intersection.

    Parameters
    ----------
    n_nonzero : int

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.SparseAtoms(2).project(np.array([[[1.0, -3.0, 2.0]]]))
    array([[[ 0., -3.,  2.]]])
    """

    n_nonzero: int

    def __post_init__(self):
        check_count("n_nonzero", self.n_nonzero)

    def project(self, atoms: Array) -> Array:
        """Keep the samples of largest modulus; of equal ones the first."""
        atoms = check_real("atoms", atoms)
        xp, rows = namespace(atoms), atoms.reshape(len(atoms), -1)
        order = xp.argsort(-abs(rows), axis=1, kind="stable")
        kept = xp.zeros(rows.shape, bool)
        xp.put_along_axis(kept, order[:, : self.n_nonzero], True, axis=1)
        return (rows * kept).reshape(atoms.shape)


@dataclass(frozen=True)
class Separable(Constraint):
    """Atoms of rank one: an outer product of vectors, one for each axis.

    A 1-D atom is a vector over the channels times a vector over time, ``d = u v`` [1]_. Of an atom with
    more spatial axes each channel is such a product, ``d[c] = v1 v2`` or ``v1 v2 v3``; with
    ``share_channels`` all channels have the same one, ``d = u v1 v2`` or ``u v1 v2 v3``.
    Not convex. Followed by a ball or sphere, it is the projection onto the intersection.

    Of two vectors, the projection is exact (the largest singular value). Of three or four, finding the
    nearest product is NP-hard in general: the projection is the best of several runs of the higher-order
    power method [2]_, one for each axis, which start from the leading singular vectors of the atoms as
    matrices. For atoms close to a product this is the nearest one; for pure noise it can be a product that is a
    few percent shorter.

    Parameters
    ----------
    share_channels : bool
        Whether the channels of an atom with two or three spatial axes differ by a factor only.

    References
    ----------
    .. [1] T. Dupre la Tour, T. Moreau, M. Jas, A. Gramfort, "Multivariate convolutional sparse
       coding for electromagnetic brain signals", NeurIPS 2018, eq. (4).
    .. [2] L. De Lathauwer, B. De Moor, J. Vandewalle, "On the best rank-1 and rank-(R1, ..., RN)
       approximation of higher-order tensors", SIAM J. Matrix Anal. Appl. 21(4), 2000.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.Separable().project(np.array([[[[2.0, 0.0], [0.0, 1.0]]]]))
    array([[[[2., 0.],
             [0., 0.]]]])
    >>> two = np.array([[[[2.0, 0.0]], [[2.0, 0.0]]]])  # one row, two channels
    >>> csc.constraints.Separable(share_channels=True).project(two).round(3)
    array([[[[2., 0.]],
            [[2., 0.]]]])
    """

    share_channels: bool = False

    def __post_init__(self):
        check_flag("share_channels", self.share_channels)

    def project(self, atoms: Array) -> Array:
        """Replace each atom, or each channel of it, by the nearest outer product of vectors."""
        atoms = check_real("atoms", atoms)
        if atoms.ndim > 5:
            raise ValueError(
                f"atoms must have at most three spatial axes, (K, C, *s), got shape {atoms.shape}"
            )
        first = 1 if self.share_channels or atoms.ndim == 3 else 2
        sizes = [n for n in atoms.shape[first:] if n > 1]
        if len(sizes) < 2 or atoms.size == 0:
            return atoms.copy()
        tensors = atoms.reshape(-1, *sizes)
        if len(sizes) == 2:
            u, s, v = namespace(atoms).linalg.svd(tensors, full_matrices=False)
            return (u[..., :1] * s[..., None, :1] @ v[..., :1, :]).reshape(atoms.shape)
        xp, axes = namespace(atoms), tuple(range(1, tensors.ndim))
        scaled, exponents = to_unit_range(tensors.astype("float64"), axes)
        nearest = xp.ldexp(_nearest_products(scaled), exponents)
        return nearest.astype(atoms.dtype).reshape(atoms.shape)


def _nearest_products(tensors):
    """Outer products of vectors near tensors ``(B, *n)``: the best of one run for each axis."""
    xp = namespace(tensors)
    best, largest = xp.zeros_like(tensors), xp.zeros(len(tensors))
    for axis in range(tensors.ndim - 1):
        vectors, sizes = _higher_order_power(tensors, _leading_vectors(tensors, axis))
        product = sizes
        for v in vectors:
            product = product[..., None] * v.reshape(len(v), *(1,) * (product.ndim - 1), -1)
        better = sizes > largest
        best = xp.where(better.reshape(-1, *(1,) * (tensors.ndim - 1)), product, best)
        largest = xp.maximum(largest, sizes)
    return best


def _leading_vectors(tensors, first):
    """Unit vectors of all axes, each the leading one of what the axes before it leave; ``first`` first."""
    xp, order = namespace(tensors), tensors.ndim - 1
    vectors, left = {}, list(range(order))
    for axis in [*range(first, order), *range(first)][:-1]:
        at = left.index(axis)
        rows = xp.moveaxis(tensors, at + 1, 1).reshape(len(tensors), tensors.shape[at + 1], -1)
        vectors[axis] = xp.linalg.eigh(rows @ rows.swapaxes(1, 2))[1][:, :, -1]
        tensors = _contract(tensors, at, vectors[axis])
        left.remove(axis)
    vectors[left[0]] = tensors  # of any norm: the first update replaces it
    return [vectors[axis] for axis in range(order)]


def _higher_order_power(tensors, vectors):
    """Unit vectors and sizes ``(B,)`` after alternating updates, which never lower the sizes."""
    xp, order = namespace(tensors), len(vectors)
    sizes = xp.zeros(len(tensors))
    for _ in range(MAX_POWER_STEPS):
        before = sizes
        for axis in reversed(range(order)):
            fit = tensors
            for other in reversed(range(order)):
                fit = fit if other == axis else _contract(fit, other, vectors[other])
            sizes = xp.sqrt((fit * fit).sum(axis=1))
            vectors[axis] = fit / xp.where(sizes > 0, sizes, 1)[:, None]
        if bool((sizes - before <= POWER_TOL * sizes).all()):
            break
    return vectors, sizes


def _contract(tensors, axis, vectors):
    """Sum of tensors ``(B, *n)`` times vectors ``(B, n_axis)`` along an axis."""
    last = namespace(tensors).moveaxis(tensors, axis + 1, -1)
    flat = last.reshape(len(last), -1, last.shape[-1]) @ vectors[:, :, None]
    return flat.reshape(last.shape[:-1])


@dataclass(frozen=True)
class OrthonormalGroups(Constraint):
    """The atoms of each group are orthonormal: ``<d_j, d_k> = 1`` if j = k, else 0.

    A group are ``group_size`` consecutive atoms, as in `csc.GroupL21`, whose penalty does not change
    if the atoms of a group are rotated into each other. Without this constraint, atoms of a group can
    become equal. Not convex. The projection is the polar factor ``U V^T`` of the group's atoms
    ``U S V^T``, one per row [1]_.

    Parameters
    ----------
    group_size : int
        Atoms in a group, a divisor of their number K, at most the number of samples of an atom.

    References
    ----------
    .. [1] N. J. Higham, "Matrix nearness problems and applications", in Applications of Matrix
       Theory, Oxford University Press, 1989, sec. 4.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.OrthonormalGroups(2).project(np.array([[[2.0, 0.0]], [[1.0, 1.0]]])).round(3)
    array([[[ 0.949, -0.316]],
           [[ 0.316,  0.949]]])
    """

    group_size: int = 2

    def __post_init__(self):
        check_count("group_size", self.group_size)

    def project(self, atoms: Array) -> Array:
        """Replace the singular values of every group by 1."""
        atoms, size = check_real("atoms", atoms), self.group_size
        n_samples = atoms[0].size if len(atoms) else size
        if len(atoms) % size:
            raise ValueError(
                f"group_size must divide the number of atoms, got group_size = {size} for "
                f"{len(atoms)} atoms"
            )
        if size > n_samples:
            raise ValueError(
                f"group_size must be at most the number of samples of an atom, got {size} for "
                f"{n_samples} samples"
            )
        groups = atoms.astype("float64").reshape(-1, size, n_samples)
        u, _, v = namespace(atoms).linalg.svd(groups, full_matrices=False)
        return (u @ v).astype(atoms.dtype).reshape(atoms.shape)


@dataclass(frozen=True)
class ComplexPairs(Constraint):
    """Atoms 2 k and 2 k + 1 are d and i d, with real parts before imaginary parts along the channels.

    For learning with complex codes: the atoms of `csc.operators.complex_dictionary`. It is a subspace,
    so that ``ComplexPairs() & UnitBall()`` projects onto the intersection. With ``a`` and ``b`` the two
    complex atoms of a pair, the nearest d is ``(a - i b) / 2``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> pair = np.array([[[3.0], [0.0]], [[0.0], [1.0]]])  # 3 and i
    >>> csc.constraints.ComplexPairs().project(pair)  # 2 and 2i
    array([[[ 2.],
            [ 0.]],
           [[-0.],
            [ 2.]]])
    """

    group_size = 2

    def project(self, atoms: Array) -> Array:
        """Replace each pair by the mean of what its two atoms say of d."""
        atoms = check_real("atoms", atoms)
        if len(atoms) % 2 or atoms.shape[1] % 2:
            raise ValueError(
                "ComplexPairs takes an even number of atoms (d and i d) and of channels (real and "
                f"imaginary parts), got shape {atoms.shape}"
            )
        half, a, b = atoms.shape[1] // 2, atoms[::2], atoms[1::2]
        real, imaginary = (a[:, :half] + b[:, half:]) / 2, (a[:, half:] - b[:, :half]) / 2
        xp = namespace(atoms)
        d, turned = xp.concatenate([real, imaginary], 1), xp.concatenate([-imaginary, real], 1)
        return xp.stack([d, turned], axis=1).reshape(atoms.shape)


@dataclass(frozen=True)
class TaperedBall(Constraint):
    """Atoms with a window: ``d = w c`` with ``||c|| <= 1``, that is ``sum (d / w)^2 <= 1``.

    Atoms vanish where the window does, smoothly at their ends. This keeps them centred and avoids that
    their border cuts them. The window is the same for all channels. Convex; use it instead of
    `UnitBall`. The projection is exact: the multiplier of the ellipsoid is found by Newton's method.

    By default w is a Tukey window along every axis, zero at the first and last sample. Of ``edge=1`` it is
    a Hann window. After `Separable`, atoms of one spatial axis keep their rank one, but are not the
    nearest ones; with more axes, use `Separable` without it.

    Parameters
    ----------
    edge : float
        Share of each axis, in (0, 1], on which the Tukey window rises and falls.
    window : array (*s), float32 or float64, optional
        Any other window w >= 0 for atoms of this spatial shape, such as those of
        `scipy.signal.windows`; of several axes their outer product. ``edge`` is then not used.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.constraints.TaperedBall(1.0).project(np.full((1, 1, 5), 4.0)).round(2)
    array([[[0.  , 0.23, 0.77, 0.23, 0.  ]]])
    >>> csc.constraints.TaperedBall(window=np.hamming(5)).project(np.full((1, 1, 5), 4.0)).round(2)
    array([[[0.01, 0.25, 0.75, 0.25, 0.01]]])
    """

    edge: float = 0.5
    window: Array | None = None

    def __post_init__(self):
        if check_number("edge", self.edge, strict=True) > 1:
            raise ValueError(f"edge must be <= 1, got {self.edge}")
        if self.window is not None:
            window = check_floats("window", self.window)
            if not bool((window >= 0).all()) or not bool(window.any()):
                raise ValueError(
                    f"window must be >= 0 and not 0 everywhere, got {window.min()} to {window.max()}"
                )
            window = window.copy()  # its levels are computed once
            if namespace(window) is np:
                window.flags.writeable = False
            object.__setattr__(self, "window", window)

    def __eq__(self, other):
        if not isinstance(other, TaperedBall):
            return NotImplemented
        window, others = self.window, other.window
        if self.edge != other.edge or window is None or others is None:
            return self.edge == other.edge and window is others
        return np.array_equal(to_host(window), to_host(others))

    def __hash__(self):
        return hash((self.edge, getattr(self.window, "shape", None)))

    def __repr__(self):
        window = "" if self.window is None else f", window=<array {self.window.shape}>"
        return f"TaperedBall(edge={self.edge!r}{window})"

    def _levels(self, spatial_shape):
        if self.window is None:
            return _tukey_levels(self.edge, spatial_shape)
        if self.window.shape != spatial_shape:
            raise ValueError(
                f"window of shape {self.window.shape} does not fit atoms of spatial shape "
                f"{spatial_shape}"
            )
        return self._own_levels

    @cached_property
    def _own_levels(self):
        return _levels(to_host(self.window).astype("float64"))

    def project(self, atoms: Array) -> Array:
        """Project onto the ellipsoid: ``v w^2 / (w^2 + m)``, with m found by Newton's method."""
        atoms = check_real("atoms", atoms)
        xp = namespace(atoms)
        squares, which, levels = map(xp.asarray, self._levels(atoms.shape[2:]))
        v = _limited(xp.where(squares > 0, atoms, 0).astype("float64"))
        energies = (v * v).sum(axis=1).reshape(len(atoms), -1)
        if xp is np:
            m = np.empty(len(atoms))
            limits = MAX_NEWTON_STEPS, LAST_EXCESS
            energies = np.ascontiguousarray(energies)
            kernels(atoms).taper_multiplier(energies, which, levels, *limits, m)
        else:
            order = xp.argsort(squares.ravel())[int((which < 0).sum()) :]
            inside = squares.ravel()[order]
            m = _multiplier(energies[:, order] * inside, inside)
        m = m.reshape(-1, *(1,) * (atoms.ndim - 1))
        scales = squares / (squares + (squares == 0) + m)
        return (v * scales).astype(atoms.dtype)


def _limited(atoms):
    """Atoms, shortened where they are so long that only their direction counts: ``m >> w^2``."""
    xp = namespace(atoms)
    largest = abs(atoms).max(axis=tuple(range(1, atoms.ndim)), keepdims=True)
    too_large = largest > MAX_MODULUS
    return xp.where(too_large, atoms / xp.where(too_large, largest, 1) * MAX_MODULUS, atoms)


def _multiplier(energies, levels):
    """Root ``m >= 0`` of ``phi(m) = sum(e / (w^2 + m)^2) = 1`` of each row e; 0 if phi(0) <= 1.

    For arrays on the GPU; on the CPU the kernel ``taper_multiplier`` finds it in the same way. This
    is the equation of a trust region. ``phi^(-1/2)`` is concave and nearly linear, so Newton's
    method for ``phi^(-1/2) = 1`` rises to the root from every point below it [1]_. Such a point is
    ``sqrt(sum(e)) - max(w^2)`` over any part of the samples, here over those of the smallest w.

    Parameters
    ----------
    energies : array (K, L)
        ``v^2 w^2``.
    levels : array (L,)
        ``w^2 > 0``, ascending.

    References
    ----------
    .. [1] J. J. More, D. C. Sorensen, "Computing a trust region step", SIAM J. Sci. Stat. Comput.
       4(3), 1983, sec. 3.
    """
    xp, ones = namespace(energies), levels / levels
    if levels.size == 0:  # the window is zero everywhere
        return xp.zeros(len(energies))
    below = (xp.sqrt(energies.cumsum(axis=1)) - levels).max(axis=1, keepdims=True)
    m = xp.maximum(below, 0)
    for _ in range(MAX_NEWTON_STEPS):
        inverse = 1 / (levels + m)
        terms = energies * inverse
        terms *= inverse
        phi = (terms @ ones)[:, None]
        terms *= inverse
        excess = xp.maximum(xp.sqrt(phi) - 1, 0)
        m += phi * excess / ((terms @ ones)[:, None] + TINY)
        if bool(excess.max() <= LAST_EXCESS):
            break
    return m[:, 0]


@cache
def _tukey_levels(edge, spatial_shape):
    """`_levels` of a Tukey window along every axis."""
    window = np.ones(())
    for s in spatial_shape:
        place = np.minimum(np.arange(s), np.arange(s)[::-1]) / max(s - 1, 1)
        rise = np.minimum(2 * place / edge, 1) if s > 1 else np.ones(1)
        window = np.multiply.outer(window, 0.5 - 0.5 * np.cos(np.pi * rise))
    return _levels(window)


def _levels(window):
    """``w^2``; of each sample the index of its w^2 in its values > 0, or -1; these, ascending."""
    squares = window**2
    levels = np.unique(squares[squares > 0])
    which = np.searchsorted(levels, squares.ravel())
    return squares, np.where(squares.ravel() > 0, which, -1), levels
