"""Plots of series of several channels: waveforms, topography values, event times."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from csc._typing import Axes
from csc._validation import check_number
from csc.analysis import find_events, topography_and_waveform
from csc.plot._axes import PALETTE, axes_of, count_with_integers
from csc.plot._models import atoms_of


def waveforms(atoms: Any, ax: Axes | None = None, *, sfreq: float = 1.0) -> Axes:
    """Show the waveform of each atom, one colour per atom.

    Parameters
    ----------
    atoms : array (K, C, L), Dictionary or DictionaryLearning
        The waveforms are those of `csc.analysis.topography_and_waveform`.
    ax : matplotlib axes, optional
        Where to draw; None makes a new figure.
    sfreq : float
        Samples per second; 1 shows samples.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> ax = csc.plot.waveforms(np.random.default_rng(0).standard_normal((2, 5, 20)), sfreq=100)
    """
    check_number("sfreq", sfreq, strict=True)
    parts, ax = topography_and_waveform(atoms_of(atoms)), axes_of(ax)
    times = np.arange(parts.waveforms.shape[1]) / sfreq
    for k, waveform in enumerate(parts.waveforms):
        ax.plot(times, waveform, color=_colour(k), label=f"atom {k}")
    ax.set_xlabel(_time_label(sfreq))
    ax.set_ylabel("waveform")
    ax.legend(fontsize=7)
    return ax


def topographies(
    atoms: Any, ax: Axes | None = None, *, channels: Sequence[str] | None = None
) -> Axes:
    """Show the value of each atom on each channel as an image, one row per atom.

    Parameters
    ----------
    atoms : array (K, C, L), Dictionary or DictionaryLearning
        The topographies are those of `csc.analysis.topography_and_waveform`, each divided by its
        largest modulus.
    ax : matplotlib axes, optional
    channels : sequence of str, optional
        Names of the C channels.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> ax = csc.plot.topographies(np.random.default_rng(0).standard_normal((2, 5, 20)))
    """
    values = topography_and_waveform(atoms_of(atoms)).topographies
    n_atoms, n_channels = values.shape
    if channels is not None and len(channels) != n_channels:
        raise ValueError(f"channels has {len(channels)} names for {n_channels} channels")
    ax, largest = axes_of(ax), abs(values).max(axis=1, keepdims=True)
    image = values / np.where(largest > 0, largest, 1)
    ax.imshow(image, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(n_atoms), [f"atom {k}" for k in range(n_atoms)])
    if channels is None:
        count_with_integers(ax.xaxis)
    else:
        ax.set_xticks(range(n_channels), channels, rotation=90)
    ax.set_xlabel("channel")
    return ax


def events(
    codes: Any,
    ax: Axes | None = None,
    *,
    sfreq: float = 1.0,
    min_amplitude: float = 0.0,
    min_distance: int = 1,
) -> Axes:
    """Show when atoms occur: a mark for each non-zero code, one row per epoch.

    Parameters
    ----------
    codes : array (N, K, V)
        Of N epochs; marks are where an atom starts, with the colours of `waveforms`.
    ax : matplotlib axes, optional
    sfreq : float
        Samples per second; 1 shows samples.
    min_amplitude, min_distance
        As in `csc.analysis.find_events`.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> codes = np.random.default_rng(0).random((4, 2, 50)) > 0.95
    >>> ax = csc.plot.events(codes.astype(float), sfreq=100)
    """
    check_number("sfreq", sfreq, strict=True)
    found, ax = find_events(codes, min_amplitude, min_distance), axes_of(ax)
    for k in range(codes.shape[1]):
        own = found.atom == k
        times = found.sample[own] / sfreq
        ax.plot(times, found.epoch[own], "|", color=_colour(k), label=f"atom {k}")
    ax.set_xlabel(_time_label(sfreq))
    ax.set_ylabel("epoch")
    ax.set_ylim(len(codes) - 0.5, -0.5)
    count_with_integers(ax.yaxis)
    ax.legend(fontsize=7)
    return ax


def _colour(k):
    return PALETTE[k % len(PALETTE)]


def _time_label(sfreq):
    return "sample" if sfreq == 1 else "time in s"
