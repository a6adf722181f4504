"""Upper bounds of the operator norm of a convolution, from samples of its spectrum."""

from math import cos, pi

from csc._backend import namespace

FREQUENCIES_PER_TAP = 16  # at most, for large signals


def norm_bound(phases, lengths):
    """Upper bound of the squared norm of ``sum_k phases_k * z_k`` over circles of these lengths.

    Parameters
    ----------
    phases : array (K, C, *s), float64
        From `polyphase`.
    lengths : tuple of ints or None
        Samples P of each axis. None, or more than FREQUENCIES_PER_TAP per tap: the bound is
        computed at FREQUENCIES_PER_TAP per tap, and raised by its largest error.
    """
    taps = phases.shape[2:]
    max_lengths = [FREQUENCIES_PER_TAP * s for s in taps]
    lengths = [max_length + 1 for max_length in max_lengths] if lengths is None else lengths
    axes = list(zip(taps, max_lengths, lengths, strict=True))
    bound = _largest_eigenvalue(phases, tuple(min(max_length, int(n)) for _, max_length, n in axes))
    for s, max_length, n in axes:
        bound /= cos(pi * (s - 1) / max_length) if n > max_length else 1.0
    return bound


def polyphase(atoms, stride):
    """Samples t j + p of the atoms as sample j of channel (c, p), for every phase p < t."""
    xp, (k, c, *spatial_shape) = namespace(atoms), atoms.shape
    taps = [-(-s // t) for s, t in zip(spatial_shape, stride, strict=True)]
    whole = [(0, 0), (0, 0)]
    whole += [(0, n * t - s) for n, t, s in zip(taps, stride, spatial_shape, strict=True)]
    split = [n for pair in zip(taps, stride, strict=True) for n in pair]
    axes = range(2, 2 + 2 * len(taps))
    phases = xp.pad(atoms, whole).reshape(k, c, *split)
    return phases.transpose(0, 1, *axes[1::2], *axes[::2]).reshape(k, -1, *taps)


def _largest_eigenvalue(atoms, samples):
    """Largest eigenvalue of D(w) D(w)^H over a grid of frequencies."""
    xp = namespace(atoms)
    spectra = xp.fft.rfftn(_wrap(atoms, samples), samples, axes=tuple(range(2, atoms.ndim)))
    spectra = xp.moveaxis(spectra.reshape(*spectra.shape[:2], -1), 2, 0)  # (w, K, C)
    if spectra.shape[1] < spectra.shape[2]:
        spectra = spectra.swapaxes(1, 2)  # the smaller of D D^H and D^H D
    grams = spectra.conj().swapaxes(1, 2) @ spectra
    return float(xp.linalg.eigvalsh(grams)[:, -1].max())


def _wrap(atoms, samples):
    """Atoms wrapped to ``samples`` points per axis, which can be fewer than an atom has."""
    for axis, n in enumerate(samples, start=2):
        parts = [atoms.take(range(i, min(i + n, atoms.shape[axis])), axis)
                 for i in range(0, atoms.shape[axis], n)]  # fmt: skip
        whole = parts[0].copy()
        for part in parts[1:]:
            whole[(slice(None),) * axis + (slice(0, part.shape[axis]),)] += part
        atoms = whole
    return atoms
