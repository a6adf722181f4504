"""Upper bounds of the operator norm of a convolution, from samples of its spectrum."""

from math import cos, pi

from csc._backend import namespace

GRID = 16  # frequencies per tap where the bound samples large signals


def norm_bound(phases, wanted):
    """Upper bound of the squared norm of ``sum_k phases_k * z_k`` over circles of these lengths.

    Parameters
    ----------
    phases : array (K, C, *s), float64
        From `polyphase`.
    wanted : tuple of ints or None
        Samples P an axis; None, or more than GRID a tap, is bounded from GRID a tap.
    """
    taps = phases.shape[2:]
    caps = [GRID * s for s in taps]
    wanted = [cap + 1 for cap in caps] if wanted is None else wanted
    axes = list(zip(taps, caps, wanted, strict=True))
    bound = _largest_eigenvalue(phases, tuple(min(cap, int(n)) for _, cap, n in axes))
    for s, cap, n in axes:
        bound /= cos(pi * (s - 1) / cap) if n > cap else 1.0
    return bound


def polyphase(atoms, stride):
    """Samples t j + p of the atoms as sample j of channel (c, p), for every phase p < t."""
    xp, (k, c, *extents) = namespace(atoms), atoms.shape
    taps = [-(-s // t) for s, t in zip(extents, stride, strict=True)]
    whole = [(0, 0), (0, 0)]
    whole += [(0, n * t - s) for n, t, s in zip(taps, stride, extents, strict=True)]
    split = [n for pair in zip(taps, stride, strict=True) for n in pair]
    axes = range(2, 2 + 2 * len(taps))
    phases = xp.pad(atoms, whole).reshape(k, c, *split)
    return phases.transpose(0, 1, *axes[1::2], *axes[::2]).reshape(k, -1, *taps)


def _largest_eigenvalue(atoms, samples):
    """Largest eigenvalue of D(w) D(w)^H over a grid of frequencies."""
    xp = namespace(atoms)
    spectra = xp.fft.rfftn(_wrapped(atoms, samples), samples, axes=tuple(range(2, atoms.ndim)))
    spectra = xp.moveaxis(spectra.reshape(*spectra.shape[:2], -1), 2, 0)  # (w, K, C)
    if spectra.shape[1] < spectra.shape[2]:
        spectra = spectra.swapaxes(1, 2)  # the smaller of D D^H and D^H D
    grams = spectra.conj().swapaxes(1, 2) @ spectra
    return float(xp.linalg.eigvalsh(grams)[:, -1].max())


def _wrapped(atoms, samples):
    """Atoms folded onto ``samples`` points an axis: a strided circle can be shorter than they."""
    for axis, n in enumerate(samples, start=2):
        parts = [atoms.take(range(i, min(i + n, atoms.shape[axis])), axis)
                 for i in range(0, atoms.shape[axis], n)]  # fmt: skip
        whole = parts[0].copy()
        for part in parts[1:]:
            whole[(slice(None),) * axis + (slice(0, part.shape[axis]),)] += part
        atoms = whole
    return atoms
