"""Atoms of several channels as a topography times a waveform, and events from sparse codes."""

from typing import Any, NamedTuple

import numpy as np

from csc._backend import to_host
from csc._typing import Array
from csc._validation import check_atoms, check_count, check_number, check_real

SERIES_NDIM = 3  # axes of atoms (K, C, L) and of codes (N, K, V)


class RankOne(NamedTuple):
    """Atoms ``d_k[c, l] = topographies[k, c] waveforms[k, l]``, or the nearest of that form.

    Attributes
    ----------
    topographies : array (K, C)
        Value of each channel, in the unit of the atoms.
    waveforms : array (K, L)
        Of norm 1; the largest modulus is positive.
    explained : array (K,)
        Fraction of the energy of each atom, 1 for atoms of rank one.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.analysis.topography_and_waveform(np.eye(2)[None]).explained
    array([0.5])
    """

    topographies: Array
    waveforms: Array
    explained: Array


class Events(NamedTuple):
    """Non-zero codes of series as a table, one row per code, in the order of epoch and sample.

    Attributes
    ----------
    epoch, atom, sample : arrays (E,) of int
        ``sample`` is where the atom starts, in samples from the start of the epoch.
    amplitude : array (E,)
        The code.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.analysis.find_events(np.array([[[0.0, 2.0]], [[1.0, 0.0]]])).epoch
    array([0, 1])
    """

    epoch: Array
    atom: Array
    sample: Array
    amplitude: Array


def topography_and_waveform(atoms: Any) -> RankOne:
    """Split series atoms of several channels into a topography and a waveform each.

    The best approximation of rank one in least squares, by the SVD of each atom. It is exact for
    atoms learned with `csc.constraints.Separable` [1]_.

    Parameters
    ----------
    atoms : array (K, C, L)

    Returns
    -------
    RankOne

    References
    ----------
    .. [1] T. Dupre la Tour, T. Moreau, M. Jas, A. Gramfort, "Multivariate convolutional sparse
       coding for electromagnetic brain signals", NeurIPS 2018, eq. (4).

    Examples
    --------
    >>> import numpy as np, csc
    >>> parts = csc.analysis.topography_and_waveform(np.array([[[3.0, 0.0], [-4.0, 0.0]]]))
    >>> parts.topographies.round(2), parts.waveforms.round(2), parts.explained.round(2)
    (array([[ 3., -4.]]), array([[1., 0.]]), array([1.]))
    """
    atoms = to_host(check_atoms(atoms))
    if atoms.ndim != SERIES_NDIM:
        raise ValueError(f"atoms must be (K, C, L), got shape {atoms.shape}")
    u, s, v = np.linalg.svd(atoms, full_matrices=False)
    waveforms = v[:, 0]
    peak = np.take_along_axis(waveforms, abs(waveforms).argmax(axis=1)[:, None], axis=1)
    sign = np.where(peak < 0, -1, 1).astype(atoms.dtype)
    s_1 = s[:, :1]
    relative = s / np.where(s_1 > 0, s_1, 1)  # squares do not underflow
    explained = relative[:, 0] ** 2 / np.maximum((relative**2).sum(axis=1), 1)
    return RankOne(sign * u[:, :, 0] * s_1, sign * waveforms, explained)


def find_events(codes: Any, min_amplitude: float = 0.0, min_distance: int = 1) -> Events:
    """Times at which atoms occur in series, from their sparse codes.

    Parameters
    ----------
    codes : array (N, K, V)
        Of N epochs, as `DictionaryLearning.transform` returns them.
    min_amplitude : float
        Codes of smaller modulus are left out.
    min_distance : int
        Of codes of one atom that are fewer samples apart than this, only the largest modulus counts: an
        L1 penalty shares one event between neighbouring codes.

    Returns
    -------
    Events

    Examples
    --------
    >>> import numpy as np, csc
    >>> events = csc.analysis.find_events(np.array([[[0.0, 2.0, 0.0, 0.1]]]), 0.5)
    >>> events.sample, events.amplitude
    (array([1]), array([2.]))
    """
    check_number("min_amplitude", min_amplitude)
    check_count("min_distance", min_distance)
    codes = to_host(check_real("codes", codes))
    if np.ndim(codes) != SERIES_NDIM:
        raise ValueError(f"codes must be (N, K, V), got shape {np.shape(codes)}")
    if not np.isfinite(codes).all():
        raise ValueError("codes hold NaN or inf")
    epoch, sample, atom = np.nonzero((codes != 0).swapaxes(1, 2))
    amplitude = codes[epoch, atom, sample]
    kept = abs(amplitude) >= min_amplitude
    found = Events(epoch[kept], atom[kept], sample[kept], amplitude[kept])
    if min_distance == 1:
        return found
    far = _far_apart(found, min_distance)
    return Events(*(column[far] for column in found))


def _far_apart(events, distance):
    """Mask of the events that have no larger one, itself kept, of the same atom within a distance."""
    kept, taken = np.zeros(len(events.sample), bool), {}
    for i in np.argsort(-abs(events.amplitude), kind="stable"):
        others = taken.setdefault((events.epoch[i], events.atom[i]), [])
        kept[i] = all(abs(events.sample[i] - other) >= distance for other in others)
        if kept[i]:
            others.append(events.sample[i])
    return kept
