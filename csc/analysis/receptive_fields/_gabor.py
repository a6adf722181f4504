"""Fit a Gabor function to every atom."""

from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any

import numpy as np
from scipy import ndimage

from csc._backend import kernels
from csc._progress import progress_iter
from csc._repr_html import card
from csc._typing import Array
from csc._validation import check_count, check_floats
from csc.analysis.receptive_fields._json import plain

N_ORIENTATIONS, N_CENTRES = 12, 7  # of the grid of starts; centres along either axis
SIGMAS = np.array([1 / 12, 1 / 6, 1 / 3])  # of the grid, in sides of the patch
BLOCK = 32  # atoms searched at once: bounds the memory
MAX_TRIALS = 150  # of one descent: 10 to 20 suffice for Gabors, noise takes all
LEAST_SIDE = 3  # pixels: fewer than 3 x 3 cannot hold the eight numbers of a Gabor
LEAST_SIGMA = 0.3  # pixels
N_NUMBERS = 8  # of a Gabor: two amplitudes, and the six that the descents move
FEW = 3  # pixels a number: of white noise 3 x 3, 82 % reach r2 = 0.8; 4 x 4, 13 %; 5 x 5, none
HALF_HEIGHT = np.sqrt(2 * np.log(2)) / (2 * np.pi)  # n_x whose pass-band reaches down to f = 0


@dataclass(frozen=True, eq=False)
class GaborFit:
    """The best Gabor function of each of K atoms, a column a parameter.

    The function, with (x', y') the coordinates across and along the bars, is::

        g = amplitude exp(-x'^2 / (2 sigma_x^2) - y'^2 / (2 sigma_y^2))
                      cos(2 pi frequency x' + phase)
        x' =  (column - x) sin(orientation) + (row - y) cos(orientation)
        y' = -(column - x) cos(orientation) + (row - y) sin(orientation)

    where columns and rows are counted from the middle of the patch, rows downwards.
    ``len(fit)`` is K; ``fit[selection]`` takes atoms as NumPy does, for example
    ``fit[fit.gabor_like]``. All columns are float64 or bool arrays (K,).

    Parameters
    ----------
    shape : (int, int)
        Extents of the patch (h, w), in pixels.
    x, y : array
        Centre, in pixels from the middle of the patch: to the right and downwards. The fit keeps
        it inside the patch, |x| <= w / 2 and |y| <= h / 2.
    orientation : array
        Of the bars, in [0, pi), anticlockwise as the patch is displayed: 0 is horizontal.
    frequency : array
        In cycles per pixel; between 1 / (8 max(h, w)) and the Nyquist limit of either axis.
    sigma_x, sigma_y : array
        Standard deviations of the envelope across and along the bars, in pixels; between 0.3 and
        2 max(h, w).
    phase : array
        In (-pi, pi], with ``amplitude`` >= 0: 0 is an even field with a bright middle, pi one with
        a dark middle, +-pi/2 are odd.
    amplitude : array
        In units of the atom. An odd field without flanks is fitted by a wave slow against its
        envelope, a small part of a large sine: its amplitude is far above the atom's values.
    r2 : array
        1 - ||atom - g||^2 / ||atom||^2; 0 where there was nothing to fit.
    energy_inside : array
        Share of the squared envelope's integral over the plane that lies within the patch.
    component_share : array
        Share of the atom's energy in the plane that was fitted; 1 for one channel.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> fit = csc.analysis.receptive_fields.fit_gabor(atoms, n_starts=1)
    >>> fit.r2.shape
    (3,)
    """

    shape: tuple
    x: np.ndarray
    y: np.ndarray
    orientation: np.ndarray
    frequency: np.ndarray
    sigma_x: np.ndarray
    sigma_y: np.ndarray
    phase: np.ndarray
    amplitude: np.ndarray
    r2: np.ndarray
    energy_inside: np.ndarray
    component_share: np.ndarray

    def __len__(self) -> int:
        return len(self.r2)

    def __repr__(self):
        median = f", median r2 {np.median(self.r2):.3f}" if len(self) else ""
        size = "x".join(map(str, self.shape))
        fits = f"{len(self)} atoms {size}{median}, {self.gabor_like.sum()} Gabor-like"
        return f"GaborFit({'; '.join(filter(None, [fits, self.caution]))})"

    def _repr_html_(self):
        return card(repr(self), self.render()[:, None])

    def __getitem__(self, selection: Any) -> "GaborFit":
        return replace(
            self, **{name: np.atleast_1d(column[selection]) for name, column in self._columns()}
        )

    @property
    def n_x(self) -> Array:
        """Cycles of the wave in one ``sigma_x``: across the bars."""
        return self.sigma_x * self.frequency

    @property
    def n_y(self) -> Array:
        """``sigma_y`` in cycles of the wave: along the bars."""
        return self.sigma_y * self.frequency

    @property
    def parity(self) -> Array:
        """Phase folded to [0, pi / 2]: 0 is even, pi / 2 odd, whatever the sign."""
        return np.arccos(np.abs(np.cos(self.phase)))

    @property
    def aspect(self) -> Array:
        """``sigma_y / sigma_x``: length over width of the envelope."""
        return self.sigma_y / self.sigma_x

    @property
    def bandwidth(self) -> Array:
        """Spatial-frequency bandwidth in octaves, between the halves of the peak amplitude.

        log2((n_x + c) / (n_x - c)) with c = sqrt(2 ln 2) / (2 pi) = 0.187, the half width of the
        envelope's Gaussian spectrum; infinite for n_x <= c, where the lower half is never reached.
        """
        above = self.n_x > HALF_HEIGHT
        n_x = np.where(above, self.n_x, 2 * HALF_HEIGHT)
        octaves = np.log2((n_x + HALF_HEIGHT) / (n_x - HALF_HEIGHT))
        return np.where(above, octaves, np.inf)

    @property
    def cut_off(self) -> Array:
        """Whether the border cuts the field: less than 0.8 of the envelope's energy is inside."""
        return self.energy_inside < 0.8

    @property
    def gabor_like(self) -> Array:
        """Whether r2 >= 0.8 and both sigmas >= 0.5 pixels; the centre is inside by construction.

        A convention of this library, not of the literature: show it beside a null model.
        """
        return (self.r2 >= 0.8) & (np.minimum(self.sigma_x, self.sigma_y) >= 0.5)

    @property
    def caution(self) -> str:
        """Why r2 says little, where atoms have fewer than 24 pixels; else empty.

        A Gabor has eight free numbers. On 3 x 3 pixels 82 % of white noise reaches r2 = 0.8, on
        4 x 4 it is 13 %, on 5 x 5 none of 300.
        """
        n_pixels = int(np.prod(self.shape))
        if n_pixels >= FEW * N_NUMBERS:
            return ""
        return (
            f"caution: {n_pixels} pixels are too few for the {N_NUMBERS} numbers of a Gabor, "
            "which fits even noise so well: r2 says little"
        )

    def render(self) -> Array:
        """Return the fitted Gabor functions, (K, h, w)."""
        sigmas = np.log(self.sigma_x), np.log(self.sigma_y)
        points = np.stack([self.x, self.y, self.orientation, self.frequency, *sigmas], axis=-1)
        u, _ = _coordinates(points, self.shape)
        wave = np.cos(2 * np.pi * _planewise(self.frequency) * u + _planewise(self.phase))
        return _planewise(self.amplitude) * _envelopes(points, self.shape) * wave

    def to_dict(self) -> dict[str, Any]:
        """Return all columns in lists, also the derived ones, and ``caution``; None is infinity."""
        derived = ("n_x", "n_y", "parity", "aspect", "bandwidth", "cut_off", "gabor_like")
        columns = dict(self._columns()) | {name: getattr(self, name) for name in derived}
        return plain({"shape": self.shape, "caution": self.caution} | columns)

    def _columns(self):
        return [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]


def fit_gabor(atoms: Array, *, n_starts: int = 32, verbose: bool = False) -> GaborFit:
    """Fit a Gabor function to every atom by least squares.

    Two of the eight numbers, the amplitudes of the cosine and of the sine wave, enter linearly: at
    every trial of the other six they are solved for (variable projection [1]_), and
    Levenberg-Marquardt steps [2]_ move those six within their bounds. The descents start where a
    grid of orientations, frequencies, centres and envelopes explains most: the best place of each
    wave, first of the waves that beat their neighbours on the grid. Nothing is random.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        At least 3 x 3 pixels. Of several channels, the first singular component of the (C, h w)
        matrix is fitted: the best product of one image with one vector of channel weights, whose
        largest weight is positive. `GaborFit.component_share` says how much of the atom that is.
    n_starts : int
        Descents an atom, at most one for each wave of the grid. More than the default finds little:
        with 120, r2 rose by less than 0.001 in the mean, for learned and phase-scrambled atoms.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    fit : GaborFit
        Computed in float64. Atoms that are zero or constant have r2 = 0 and amplitude = 0.

    Raises
    ------
    TypeError
        If ``atoms`` is no float array, or ``n_starts`` no integer.
    ValueError
        If ``atoms`` is not four-dimensional, smaller than 3 x 3, or holds NaN.

    Notes
    -----
    Eight free numbers fit small patches easily: white noise of 3 x 3 pixels reaches r2 = 0.9 in
    the median, of 5 x 5 0.53, of 7 x 7 0.3, of 12 x 12 about 0.15. Below 24 pixels
    `GaborFit.caution` says so, and whatever prints the fit shows it. Read r2 beside
    `phase_scrambled` atoms, as `analyse` does.

    The centre is kept inside the patch: left free it wandered out for a third of learned atoms
    although r2 gained less than 0.04, so the pixels do not determine it there.

    The orientation is that of the wave. In a field without flanks (infinite bandwidth) the wave
    hardly shows, and a long even blob may be explained as well by one across it as by one along it.

    References
    ----------
    .. [1] L. Kaufman, "A variable projection method for solving separable nonlinear least squares
       problems", BIT 15, 1975.
    .. [2] D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters",
       SIAM J. Appl. Math. 11(2), 1963.
    .. [3] J. P. Jones, L. A. Palmer, "An evaluation of the two-dimensional Gabor filter model of
       simple receptive fields in cat striate cortex", J. Neurophysiol. 58(6), 1987: the model.

    Examples
    --------
    A vertical grating of 1/4 cycle per pixel under a round envelope:

    >>> import numpy as np
    >>> row, column = np.indices((12, 12)) - 5.5
    >>> atom = np.exp(-(row**2 + column**2) / 8) * np.cos(2 * np.pi * column / 4)
    >>> fit = fit_gabor(atom[None, None])
    >>> fit.frequency.round(3), np.degrees(fit.orientation).round(1), fit.sigma_x.round(2)
    (array([0.25]), array([90.]), array([2.]))
    >>> bool(fit.r2[0] > 0.999), bool(fit.gabor_like[0]), bool(fit.cut_off[0])
    (True, True, False)
    """
    atoms = check_images(atoms)
    check_count("n_starts", n_starts)
    gabor = import_module(
        f"{kernels(atoms).__name__}.gabor_fit"
    )  # of the device that owns the atoms
    planes, norms, share = unit_planes(atoms)
    (h, w), parts = planes.shape[1:], []
    for block in progress_iter(
        np.array_split(planes, -(-len(planes) // BLOCK)), "block", verbose=verbose
    ):
        points = _starts(block, n_starts)
        amplitudes, misfits = np.empty((*points.shape[:2], 2)), np.empty(points.shape[:2])
        flat = block.reshape(len(block), -1)
        gabor.fit_gabors(flat, w, _box((h, w)), MAX_TRIALS, points, amplitudes, misfits)
        best = np.arange(len(block)), misfits.argmin(axis=1)
        parts.append((points[best], amplitudes[best], misfits[best]))
    points, amplitudes, misfits = map(np.concatenate, zip(*parts, strict=True))
    r2 = np.where(norms > 0, 1 - misfits, 0.0)
    return _as_fit(points, norms[:, None] * amplitudes, r2, share, (h, w))


def check_images(atoms):
    """Return atoms ``(K, C, h, w)`` that can hold a Gabor function, or say why they cannot."""
    atoms = check_floats("atoms", atoms)
    if atoms.ndim != 4 or min(atoms.shape[2:]) < LEAST_SIDE:
        raise ValueError(
            f"atoms must be (K, C, h, w) of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, got shape "
            f"{atoms.shape}; index single-channel images (K, h, w) as atoms[:, None]"
        )
    return atoms


def unit_planes(atoms):
    """First singular component over the channels, of unit norm; the norms; its share of energy."""
    k, c, h, w = atoms.shape
    flat = atoms.reshape(k, c, h * w).astype(np.float64)
    weights, values, images = np.linalg.svd(flat, full_matrices=False)
    first = np.take_along_axis(weights[:, :, 0], np.abs(weights[:, :, 0]).argmax(1)[:, None], 1)
    planes = np.sign(first) * images[:, 0]
    flat_planes = np.ptp(planes, axis=1) <= 1e-6 * np.abs(planes).max(axis=1)
    norms = np.where(flat_planes, 0.0, values[:, 0])
    planes[norms == 0] = 0.0
    energy = (values**2).sum(axis=1)
    share = np.divide(values[:, 0] ** 2, energy, out=np.ones(k), where=energy > 0)
    return planes.reshape(k, h, w), norms, share


def _starts(planes, n_starts):
    """Points (K, n_starts, 6): for each of the most promising waves, its best place."""
    k, h, w = planes.shape
    flat, side = planes.reshape(k, h * w), max(h, w)
    octaves = np.arange(np.log2(0.5 / side), np.log2(0.75), 0.5)
    angles = np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS
    points = np.empty((k, N_ORIENTATIONS, len(octaves), 6))
    scores = np.empty(points.shape[:3])
    for i, angle in enumerate(angles):
        places, frequencies = _places((h, w), angle), np.minimum(2**octaves, _nyquist(angle))
        across, _ = _coordinates(np.array([[0, 0, angle, 0, 0, 0]]), (h, w))
        waves = 2 * np.pi * frequencies[:, None] * across.ravel()
        energy = _explained(flat, _envelopes(places, (h, w)).reshape(-1, h * w), waves)
        points[:, i], scores[:, i] = places[energy.argmax(axis=2)], energy.max(axis=2)
        points[:, i, :, 3] = frequencies
    rivals = ndimage.maximum_filter(scores, size=(1, 3, 3), mode=("nearest", "wrap", "nearest"))
    rank = (scores + (scores >= rivals)).reshape(k, -1)  # peaks first: a score is at most 1
    chosen = np.argsort(-rank, axis=1, kind="stable")[:, :n_starts]
    return np.take_along_axis(points.reshape(k, -1, 6), chosen[:, :, None], axis=1)


def _places(shape, orientation):
    """Points (n, 6) of one orientation, without frequency: centres times envelopes."""
    y, x = (np.linspace(-(n - 1) / 2, (n - 1) / 2, min(n, N_CENTRES)) for n in shape)
    sigmas = np.log(SIGMAS * max(shape))
    grid = np.meshgrid(x, y, [orientation], [0.0], sigmas, sigmas, indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def _explained(flat, envelopes, waves):
    """Energy (K, waves, places) of each atom that a wave, in phase and out of it, explains.

    With s the inner products with envelope * cos and envelope * sin, and G their Gram matrix:
    s^T G^-1 s.
    """
    envelopes = envelopes / np.linalg.norm(envelopes, axis=1, keepdims=True)
    even, odd = np.cos(waves), np.sin(waves)
    ee, eo, oo = np.stack([even**2, even * odd, odd**2]) @ (envelopes**2).T
    ee, oo = ee + 1e-6, oo + 1e-6  # at Nyquist one of the two may vanish
    on_waves = (flat[:, None, None] * np.stack([even, odd])).reshape(-1, flat.shape[1])
    s_even, s_odd = np.moveaxis((on_waves @ envelopes.T).reshape(len(flat), 2, *ee.shape), 1, 0)
    return (oo * s_even**2 - 2 * eo * s_even * s_odd + ee * s_odd**2) / (ee * oo - eo**2)


def _box(shape):
    """Lowest and highest point of the search."""
    (h, w), side = shape, max(shape)
    low = [-w / 2, -h / 2, -np.inf, 1 / (8 * side), np.log(LEAST_SIGMA), np.log(LEAST_SIGMA)]
    high = [w / 2, h / 2, np.inf, np.sqrt(0.5), np.log(2 * side), np.log(2 * side)]
    return np.array([low, high])


def _as_fit(points, amplitudes, r2, share, shape):
    """Fold to one name a function: 0 <= orientation < pi, amplitude >= 0, -pi < phase <= pi."""
    x, y, angle, frequency, *log_sigmas = points.T
    half_turns = np.floor(angle / np.pi)
    even, odd = amplitudes.T
    odd = np.where(half_turns % 2 == 0, odd, -odd)  # x' -> -x'
    rounded = points.copy()
    rounded[:, 4:] = np.maximum(points[:, 4:], 0.0)  # no envelope is sharper than a pixel
    sigma_x, sigma_y = np.exp(log_sigmas)
    inside = (_envelopes(rounded, shape) ** 2).sum(axis=(1, 2))
    inside /= np.pi * np.exp(rounded[:, 4:].sum(axis=1))
    return GaborFit(
        shape=tuple(shape),
        x=x.copy(),
        y=y.copy(),
        orientation=np.minimum(angle - half_turns * np.pi, np.nextafter(np.pi, 0)),
        frequency=frequency.copy(),
        sigma_x=sigma_x,
        sigma_y=sigma_y,
        phase=np.arctan2(0.0 - odd, even),  # not -odd: of -0.0 the angle is -pi
        amplitude=np.hypot(even, odd),
        r2=r2,
        energy_inside=np.minimum(inside, 1.0),
        component_share=share,
    )


def _planewise(column):
    return column[:, None, None]


def _coordinates(points, shape):
    """Pixels across (u) and along (v) the bars of each point, (n, h, w)."""
    row, column = np.indices(shape) - (np.reshape(shape, (2, 1, 1)) - 1) / 2
    dx, dy = column - _planewise(points[:, 0]), row - _planewise(points[:, 1])
    sine, cosine = _planewise(np.sin(points[:, 2])), _planewise(np.cos(points[:, 2]))
    return dx * sine + dy * cosine, dy * sine - dx * cosine


def _envelopes(points, shape):
    """exp(-u^2 / (2 sigma_x^2) - v^2 / (2 sigma_y^2)) of each point, (n, h, w)."""
    u, v = _coordinates(points, shape)
    sigma_x, sigma_y = _planewise(np.exp(points[:, 4])), _planewise(np.exp(points[:, 5]))
    return np.exp(-0.5 * (u / sigma_x) ** 2 - 0.5 * (v / sigma_y) ** 2)


def _nyquist(orientation):
    return 0.5 / max(abs(np.sin(orientation)), abs(np.cos(orientation)))
