"""Convolution by the FFT, for large atoms: the same maps as the direct kernels.

Signals are padded such that every atom lies wholly inside. `ConvPlan` picks the faster method.
"""

from math import log2, prod

import numpy as np
import scipy  # its modules load when first used

from csc._backend import namespace

N_WORKERS = -1  # of scipy.fft: all cores
# In the time of one multiplication of the direct kernels: one sample of a transform per octave, and
# one product of spectra; fitted by `python -m demos.bench crossover`.
TRANSFORM_COST, PRODUCT_COST = 24.0, 50.0


def is_faster(shapes, positions, spatial_shape, *, for_atoms=False, terms=None):
    """Whether transforms of signals of ``spatial_shape`` beat direct sums over the atoms' samples.

    ``shapes`` are those of the atoms, one per size. ``for_atoms``: the adjoint in the atoms, with
    one inverse transform per atom and channel. ``terms``: number of nonzero samples of the atoms,
    if the direct sums skip zeros.
    """
    k, c = sum(shape[0] for shape in shapes), shapes[0][1]
    transforms = k + c + k * c * for_atoms
    direct = (sum(map(prod, shapes)) if terms is None else terms) * prod(positions)

    def cost(size):
        return TRANSFORM_COST * transforms * size * log2(size) + PRODUCT_COST * k * c * size

    # most are slower even without padding, and need not load scipy.fft to find that out
    return (
        cost(prod(spatial_shape)) < direct and cost(prod(map(_fft_length, spatial_shape))) < direct
    )


def spectra(atoms, spatial_shape):
    """Spectra ``(K, C, *W)`` of atoms, of the length of the signals' transforms."""
    return _forward(atoms, tuple(map(_fft_length, spatial_shape)))


def correlate(x, spectra, stride, positions):
    """``out[n, k, v] = sum_{c, l} d[k, c, l] x[n, c, t v + l]``, from the spectra of atoms d."""
    lengths, taken = tuple(map(_fft_length, x.shape[2:])), _code_samples(stride, positions)
    xp = namespace(x, spectra)
    out = xp.empty((len(x), len(spectra), *positions), x.dtype)
    for n in range(len(x)):  # one signal at a time needs less memory
        signal = _forward(x[n : n + 1], lengths)[0].conj()
        codes = xp.einsum("kc...,c...->k...", spectra, signal)
        out[n] = _inverse(xp.conj(codes, out=codes)[None], lengths)[0][taken]
    return out


def synthesize(z, spectra, stride, spatial_shape):
    """``out[n, c, u] = sum_{k, v} d[k, c, u - t v] z[n, k, v]``, from the spectra of atoms d."""
    lengths = tuple(map(_fft_length, spatial_shape))
    xp = namespace(z, spectra)
    out = xp.empty((len(z), spectra.shape[1], *spatial_shape), z.dtype)
    for n in range(len(z)):
        codes = _forward(_upsample(z[n], stride, spatial_shape)[None], lengths)[0]
        signal = xp.einsum("kc...,k...->c...", spectra, codes)
        out[n] = _inverse(signal[None], lengths)[0][..., *map(slice, spatial_shape)]
    return out


def correlate_atoms(x, z, stride, spatial_shape):
    """``out[k, c, l] = sum_{n, v} x[n, c, t v + l] z[n, k, v]`` for l in the atoms' ``spatial_shape``."""
    xp, lengths, total = namespace(x, z), tuple(map(_fft_length, x.shape[2:])), 0
    for n in range(len(x)):
        codes = _forward(_upsample(z[n], stride, x.shape[2:])[None], lengths)[0]
        signal = _forward(x[n : n + 1], lengths)[0]
        total = total + xp.einsum("k...,c...->kc...", codes.conj(), signal)
    return xp.ascontiguousarray(_inverse(total, lengths)[..., *map(slice, spatial_shape)])


def _fft_length(n):
    return scipy.fft.next_fast_len(int(n), real=True)


def _forward(a, lengths):
    xp, axes = namespace(a), tuple(range(2, a.ndim))
    if xp is np:
        return scipy.fft.rfftn(a, lengths, axes=axes, workers=N_WORKERS)
    return xp.fft.rfftn(a, lengths, axes=axes)


def _inverse(a, lengths):
    xp, axes = namespace(a), tuple(range(2, a.ndim))
    if xp is np:
        return scipy.fft.irfftn(a, lengths, axes=axes, workers=N_WORKERS, overwrite_x=True)
    return xp.fft.irfftn(a, lengths, axes=axes)


def _code_samples(stride, positions):
    """Slices of the samples at code positions."""
    return (..., *(slice(0, (v - 1) * t + 1, t) for t, v in zip(stride, positions, strict=True)))


def _upsample(codes, stride, spatial_shape):
    """Codes ``(K, *V)`` at their samples, with zeros between them."""
    if max(stride) == 1:
        return codes
    out = namespace(codes).zeros((len(codes), *spatial_shape), codes.dtype)
    out[_code_samples(stride, codes.shape[1:])] = codes
    return out
