"""Groups of atoms that may overlap: norms, proximal operator, dual norm, and maps of groups."""

from collections.abc import Sequence
from functools import cache
from operator import index
from typing import NamedTuple

import numpy as np
import scipy  # its modules load when first used

from csc._backend import kernels, namespace
from csc._norms import to_unit_range
from csc._typing import Shape
from csc._validation import check_count

PROX_GAPS = {"float32": 1e-11, "float64": 1e-15}  # duality gap of the prox, relative to ||z||^2
MAX_SWEEPS = 1000  # over the groups, per prox
BISECTIONS = 12  # of lmbda_max: to 0.1 % of its first bounds


class GroupTable(NamedTuple):
    """Groups as arrays, as the kernel takes them."""

    members: np.ndarray  # atoms of all groups, one group after the other
    starts: np.ndarray  # (G + 1,)  where groups begin
    counts: np.ndarray  # (K,)  groups that an atom is in


def neighbourhoods(shape: Shape, width: int) -> tuple[tuple[int, ...], ...]:
    """Groups of neighbouring atoms on a grid that wraps around, for topographic maps [1]_.

    Group g holds the ``width`` x ... x ``width`` atoms around atom g.

    Parameters
    ----------
    shape : tuple of int
        Of the grid; its product is the number of atoms.
    width : int
        Of a neighbourhood, at most the shortest side.

    Returns
    -------
    tuple of tuples
        For `csc.GroupL21`.

    References
    ----------
    .. [1] A. Hyvarinen, P. O. Hoyer, M. Inki, "Topographic independent component analysis", Neural
       Comput. 13, 2001, sec. 3.

    Examples
    --------
    >>> import csc
    >>> csc.penalties.neighbourhoods((4,), 2)
    ((0, 1), (1, 2), (2, 3), (0, 3))
    """
    for extent in shape:
        check_count("shape", extent)
    if check_count("width", width) > min(shape):
        raise ValueError(f"width must be at most the shortest side of shape, got {width}, {shape}")
    offsets = np.indices((width,) * len(shape)).reshape(len(shape), -1) - (width - 1) // 2
    places = np.indices(shape).reshape(len(shape), -1)
    around = (places[:, :, None] + offsets[:, None]) % np.reshape(shape, (-1, 1, 1))
    groups = np.sort(np.ravel_multi_index(tuple(around), shape), axis=1)
    return tuple(map(tuple, groups.tolist()))


def checked_groups(groups: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Groups as tuples of atoms' numbers, or an error."""
    try:
        groups = tuple(tuple(index(k) for k in group) for group in groups)
    except TypeError as error:
        raise TypeError(
            f"groups must be sequences of atoms' numbers, such as [(0, 1)]: {error}"
        ) from None
    if not groups or not all(groups):
        raise ValueError("groups must be at least one, each with at least one atom")
    for group in groups:
        if len(set(group)) < len(group) or min(group) < 0:
            raise ValueError(f"groups must hold different atoms' numbers >= 0, got {group}")
    missing = set(range(1 + max(map(max, groups)))).difference(*groups)
    if missing:
        raise ValueError(
            f"groups must hold every atom, but atom {min(missing)} is in none; add ({min(missing)},)"
        )
    return groups


@cache
def table_of(groups):
    """`GroupTable` of groups."""
    members = np.concatenate([np.array(group, np.intp) for group in groups])
    starts = np.append(0, np.cumsum([len(group) for group in groups])).astype(np.intp)
    return GroupTable(members, starts, np.bincount(members).astype("float64"))


@cache
def _membership(groups):
    members, starts, counts = table_of(groups)
    return scipy.sparse.csr_array(
        (np.ones(len(members)), members, starts), (len(groups), len(counts))
    )


def group_norms(groups, z):
    """``||z_g||`` of codes (N, K, *V), one row ``(G,)`` per signal and position, in float64."""
    rows, exponent = to_unit_range(_rows(z).astype("float64"), (0, 1))
    return np.ldexp(np.sqrt((_membership(groups) @ (rows * rows).T).T), exponent)


def prox(groups, z, threshold):
    """argmin_u  threshold sum_g ||u_g|| + 1/2 ||u - z||^2."""
    return _shrunk(groups, z, np.full((1, len(groups)), float(threshold)))[0]


def dual_bound(groups, q, lmbda, near=None):
    """Upper bound of the dual norm of each signal ``(N,)``; at the minimum ``near`` it is exact."""
    bound = _shrunk(groups, q, np.full((1, len(groups)), float(lmbda)), near)[1]
    return bound.reshape(len(q), -1).max(axis=1) / lmbda


def smallest_radius(groups, q):
    """Least radius, to 0.1 %, of balls whose sums reach all of ``q``."""
    norms, energies = group_norms(groups, q), (_rows(q) ** 2).sum(axis=1, dtype="float64")
    high = float(norms.max())
    if high == 0:
        return 0.0
    low = float((energies / (norms.sum(axis=1) + (energies == 0))).max())  # <q, q> / g(q)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        bound = float(_shrunk(groups, q, np.full((1, len(groups)), middle))[1].max())
        low, high = (low, min(bound, high)) if bound <= 1.001 * middle else (middle, high)
    return high


def subdiff_distance(groups, z, q, lmbda):
    """Largest ``||(q - s)_g||`` for the nearest subgradient s, of each signal ``(N,)``."""
    norms = group_norms(groups, z)
    rows, members = _rows(z).astype("float64"), _membership(groups)
    inverse = np.divide(lmbda, norms, out=np.zeros_like(norms), where=norms > 0)
    left = _rows(q) - rows * (members.T @ inverse.T).T
    radii = np.where(norms > 0, 0.0, lmbda)
    rest = _kernel(groups, left, radii)[0]
    return group_norms(groups, rest[..., None]).reshape(len(z), -1).max(axis=1)


def _rows(z):
    """Codes (N, K, *V) as rows of K, one per signal and position."""
    if namespace(z) is not np:
        raise TypeError("groups that overlap need NumPy arrays; use group_size on a device")
    return np.ascontiguousarray(np.moveaxis(z, 1, -1)).reshape(-1, z.shape[1])


def _shrunk(groups, z, radii, near=None):
    rows, bound = _kernel(groups, _rows(z), radii, None if near is None else _rows(near))
    spatial_shape = (len(z), *z.shape[2:], z.shape[1])
    return np.ascontiguousarray(np.moveaxis(rows.reshape(spatial_shape), -1, 1)), bound


def _kernel(groups, rows, radii, near=None):
    rows, exponent = to_unit_range(rows, (0, 1))
    table, bound, u = table_of(groups), np.empty(len(rows)), np.empty_like(rows)
    near = np.zeros((1, rows.shape[1]), rows.dtype) if near is None else near.astype(rows.dtype)
    if rows.shape[1] != len(table.counts):
        raise ValueError(
            f"groups hold {len(table.counts)} atoms, but the codes are of {rows.shape[1]}"
        )
    limits = PROX_GAPS[rows.dtype.name], MAX_SWEEPS
    scaled = np.ldexp(radii, -exponent)
    kernels(rows).shrink_overlapping(rows, tuple(table), scaled, limits, near, u, bound)
    return np.ldexp(u, exponent), np.ldexp(bound, exponent[0])
