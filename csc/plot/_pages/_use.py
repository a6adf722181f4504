"""Where atoms are used: their share of the energy, and the patches with their largest codes."""

import numpy as np

from csc._montage import scaled
from csc._sprite import sprites
from csc._validation import check_floats
from csc.plot._pages._document import numbers

N_PATCHES = 10  # of each atom


def share_of_energy(subject):
    """Share (K,) of the energy of all codes that a learner has on each atom; None for others."""
    state = getattr(subject, "state_", None)
    if state is None:
        return None
    squares = np.asarray(state.statistics.squares, np.float64)
    return squares / max(squares.sum(), np.finfo(float).tiny)


def checked_signals(signals, pictures, atoms):
    """Patches of the size of the atoms and what to show of each, or None without any."""
    if signals is None:
        if pictures is not None:
            raise ValueError("pictures are those of signals: give signals too")
        return None
    signals = check_floats("signals", signals)
    if signals.shape[1:] != atoms.shape[1:]:
        raise ValueError(
            f"signals must be patches of the size of the atoms, (N, {atoms.shape[1:]}), got shape "
            f"{signals.shape}; cut them with csc.images.extract_patches"
        )
    return signals, checked_pictures(signals if pictures is None else pictures, signals)


def best_patches(subject, atoms, patches, room):
    """The patches with the largest codes of each atom, in so many pixels: data and a sheet."""
    signals, pictures = patches
    is_learner = hasattr(subject, "transform")
    values = responses(subject, atoms, signals) if is_learner else inner_products(atoms, signals)
    fitting = room / (len(atoms) * np.prod(pictures.shape[1:]))
    n = int(np.clip(fitting, 1, min(N_PATCHES, len(signals))))
    chosen = np.argpartition(-np.abs(values), n - 1, axis=0)[:n]
    order = np.argsort(-np.abs(np.take_along_axis(values, chosen, 0)), axis=0)
    chosen = np.take_along_axis(chosen, order, 0).T  # (K, n)
    codes = np.take_along_axis(values.T, chosen, 1)
    sheet = sprites(stretched(pictures[chosen.ravel()]), n * max(1, round(len(atoms) ** 0.5 / 4)))
    data = {"n": n, "of": len(signals), "codes": numbers(codes), "are_codes": is_learner}
    return data, sheet


def checked_pictures(pictures, signals):
    """Pictures of the signals (N, C, h, w), with one channel or three."""
    pictures = check_floats("pictures", pictures)
    if pictures.shape[0] != len(signals) or pictures.ndim != signals.ndim:
        raise ValueError(
            f"pictures must be those of the {len(signals)} signals, (N, C, h, w), got shape "
            f"{pictures.shape}"
        )
    return pictures if pictures.shape[1] in (1, 3) else pictures.mean(axis=1, keepdims=True)


def responses(learner, atoms, signals):
    """Codes (N, K) of patches."""
    codes = learner.transform(signals)
    codes = codes.dense() if hasattr(codes, "dense") else codes
    return np.asarray(codes).reshape(len(signals), len(atoms))


def inner_products(atoms, signals):
    """Inner products (N, K) of patches with atoms of unit norm."""
    flat = atoms.reshape(len(atoms), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return signals.reshape(len(signals), -1) @ (flat / np.where(norms > 0, norms, 1)).T


def stretched(pictures):
    """Pictures (n, 1 or 3, h, w) as uint8, the mean of each mid-grey, scaled to its contrast."""
    pictures = pictures.astype(np.float64)
    flat = pictures - pictures.mean(axis=(1, 2, 3), keepdims=True)
    pixels = np.moveaxis((128 + 127 * scaled(flat)).round().astype(np.uint8), 1, -1)
    return pixels[..., 0] if pictures.shape[1] == 1 else pixels
