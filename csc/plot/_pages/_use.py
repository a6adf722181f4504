"""Where atoms are used: their share of the energy, and the patches with their largest codes."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve

from csc._backend import to_host
from csc._montage import COLOURS, scaled
from csc._norms import without_mean
from csc._sprite import sprites
from csc._validation import check_floats
from csc.plot._pages._document import numbers

N_PATCHES = 10  # of each atom


def share_of_energy(subject):
    """Share (K,) of the energy of all codes that a learner has on each atom; None for others."""
    state = getattr(subject, "state_", None)
    if state is None:
        return None
    if hasattr(state, "statistics"):
        squares = to_host(state.statistics.squares).astype(np.float64)
    else:  # K-SVD keeps the codes themselves
        of_codes = state.codes.values.astype(np.float64) ** 2
        squares = np.bincount(state.codes.coordinates[1], of_codes, len(state.atoms))
    return squares / max(squares.sum(), np.finfo(float).tiny)


class Signals(NamedTuple):
    """Signals, and what to show of each.

    Attributes
    ----------
    items : array (N, C, h, w) of patches, or list of arrays (C, H, W)
    pictures : the same with one channel or three
    """

    items: object
    pictures: object


def checked_signals(signals, pictures, atoms):
    """`Signals` that are at least as large as the atoms, or None without any."""
    if signals is None:
        if pictures is not None:
            raise ValueError("pictures are those of signals: give signals too")
        return None
    items = checked_pictures("signals", signals)
    for item in items:
        if item.shape[0] != atoms.shape[1] or any(
            n < m for n, m in zip(item.shape[1:], atoms.shape[2:], strict=True)
        ):
            raise ValueError(
                f"signals must be at least as large as the atoms {atoms.shape[1:]}, (C, H, W), with "
                f"their channels, got shape {item.shape}"
            )
    shown = items if pictures is None else checked_pictures("pictures", pictures)
    whole = all(item.shape == atoms.shape[1:] for item in items)
    if len(shown) != len(items) or not (
        whole or [p.shape[1:] for p in shown] == [x.shape[1:] for x in items]
    ):
        raise ValueError(
            f"pictures must be those of the {len(items)} signals, (1 or 3, H, W), of the same size "
            "unless the signals are patches"
        )
    shown = [p if len(p) in COLOURS else p.mean(axis=0, keepdims=True) for p in shown]
    return Signals(np.stack(items) if whole else items, np.stack(shown) if whole else shown)


def checked_pictures(name, pictures):
    """A list of arrays (C, H, W), of an array of them or a list."""
    if isinstance(pictures, list | tuple):
        items = [check_floats(f"{name}[{i}]", item) for i, item in enumerate(pictures)]
    else:
        items = list(check_floats(name, pictures))
    if not items or any(item.ndim != 3 for item in items):
        shapes = [item.shape for item in items[:1]] or "none"
        raise ValueError(
            f"{name} must be patches (N, C, h, w) or a list of pictures (C, H, W), got {shapes}"
        )
    return [to_host(item) for item in items]


class Found(NamedTuple):
    """Largest values of each atom, in descending order of modulus.

    Attributes
    ----------
    values : array (K, n)
    places : int array (K, n, 3)
        Number of the signal, row and column.
    """

    values: np.ndarray
    places: np.ndarray

    def best(self, n):
        """The n largest."""
        order = np.argsort(-np.abs(self.values), axis=1, kind="stable")[:, :n]
        places = np.take_along_axis(self.places, order[..., None], axis=1)
        return Found(np.take_along_axis(self.values, order, axis=1), places)


def best_patches(subject, atoms, signals, room):
    """The patches with the largest codes of each atom, in so many pixels: data and a sheet."""
    is_learner = hasattr(subject, "transform")
    whole = isinstance(signals.items, np.ndarray)
    size = signals.pictures[0].shape if whole else (len(signals.pictures[0]), *atoms.shape[2:])
    n = int(np.clip(room / (len(atoms) * np.prod(size)), 1, N_PATCHES))
    found = in_patches(subject, atoms, signals) if whole else in_pictures(subject, atoms, signals)
    found = found.best(n)
    flat = found.places.reshape(-1, 3)
    h, w = size[1:]
    cut = [signals.pictures[i][:, row : row + h, column : column + w] for i, row, column in flat]
    n = found.values.shape[1]
    columns = n * max(1, round(len(atoms) ** 0.5 / 4))
    data = {
        "n": n,
        "of": len(signals.items),
        "codes": numbers(found.values),
        "are_codes": is_learner,
        "places": None if whole else found.places.tolist(),
    }
    return data, sprites(stretched(np.stack(cut)), columns)


def in_patches(subject, atoms, signals):
    """The largest values in patches of the size of the atoms."""
    x = signals.items
    if hasattr(subject, "transform"):
        values = to_host(subject.transform(x)).reshape(len(x), len(atoms)).T
    else:
        values = unit_rows(atoms) @ x.reshape(len(x), -1).T
    n = min(N_PATCHES, len(x))
    which = np.argpartition(-np.abs(values), n - 1, axis=1)[:, :n]
    places = np.zeros((*which.shape, 3), int)
    places[..., 0] = which
    return Found(np.take_along_axis(values, which, axis=1), places)


def in_pictures(subject, atoms, signals):
    """The largest values in larger pictures, none within half an atom of a larger one."""
    stride = (1, 1)
    if hasattr(subject, "transform"):
        geometry = subject.dictionary_.geometry
        if geometry.mode != "full":
            raise ValueError(
                f'signals larger than the atoms are looked through in mode "full" only, got a '
                f"learner of mode {geometry.mode!r}; cut patches with csc.images.extract_patches"
            )
        stride, maps = geometry.stride, subject.transform(list(signals.items))
    else:
        maps = (inner_products(atoms, x) for x in signals.items)
    parts = [at_peaks(to_host(z), i, stride, atoms.shape[2:]) for i, z in enumerate(maps)]
    return Found(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))


def at_peaks(z, i, stride, size):
    """`Found` in the codes (K, *V) of signal i."""
    reach = [max(1, s // t) // 2 * 2 + 1 for s, t in zip(size, stride, strict=True)]
    modulus = np.abs(z)
    peaks = np.where(modulus == maximum_filter(modulus, (1, *reach), mode="constant"), modulus, 0)
    peaks = peaks.reshape(len(z), -1)
    n = min(N_PATCHES, peaks.shape[1])
    which = np.argpartition(-peaks, n - 1, axis=1)[:, :n]
    values = np.take_along_axis(z.reshape(len(z), -1), which, axis=1)
    values = np.where(np.take_along_axis(peaks, which, axis=1) > 0, values, 0)
    rows, columns = np.unravel_index(which, z.shape[1:])
    places = [np.full_like(which, i), rows * stride[0], columns * stride[1]]
    return Found(values, np.stack(places, axis=-1))


def inner_products(atoms, x):
    """Inner products (K, *V) of a picture's windows with atoms of unit norm."""
    unit = unit_rows(atoms).reshape(atoms.shape)
    flipped = unit[:, :, ::-1, ::-1]
    return np.stack([fftconvolve(x, d, mode="valid", axes=(1, 2)).sum(axis=0) for d in flipped])


def unit_rows(atoms):
    """Atoms as rows of unit norm; zero atoms stay zero."""
    flat = atoms.reshape(len(atoms), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(norms > 0, norms, 1)


def stretched(pictures):
    """Pictures (n, 1 or 3, h, w) as uint8, the mean of each mid-grey, scaled to its contrast."""
    flat = scaled(without_mean(pictures.astype(np.float64), (1, 2, 3)))
    pixels = np.moveaxis((128 + 127 * flat).round().astype(np.uint8), 1, -1)
    return pixels[..., 0] if pictures.shape[1] == 1 else pixels
