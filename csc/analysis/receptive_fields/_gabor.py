"""Fit a Gabor function to every atom by nonlinear least squares."""

from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from csc._backend import kernels
from csc._progress import progress_iter
from csc._repr_html import card
from csc._typing import Array
from csc._validation import check_count, check_floats
from csc.analysis.receptive_fields._json import plain
from csc.analysis.receptive_fields._spectrum import peak_cycles

# Grid of starting points
N_ORIENTATIONS = 12
N_CENTRES = 7  # along each axis
RELATIVE_SIGMAS = np.array([1 / 12, 1 / 6, 1 / 3])  # of the longer side of the patch
ATOMS_PER_BLOCK = 32  # searched at once; limits the memory

MAX_TRIALS = 150  # of one descent: 10 to 20 suffice for Gabor functions, noise takes all
MIN_SIDE = 3  # pixels; smaller patches have fewer samples than a Gabor function has parameters
MIN_SIGMA = 0.3  # pixels
BLOB_CYCLES = 10 ** (-1 + 2 * 1.2 / 5)  # 0.302, the second inner edge of the macaque table
N_PARAMETERS = 8  # two amplitudes, and the six nonlinear parameters
# White noise reaches r2 = 0.8 in 82 % of patches of 3 x 3, 13 % of 4 x 4, none of 5 x 5.
MIN_PIXELS_PER_PARAMETER = 3
# Half width of the envelope's spectrum at half its height, times sigma_x
HALF_WIDTH_IN_CYCLES = np.sqrt(2 * np.log(2)) / (2 * np.pi)


@dataclass(frozen=True, eq=False)
class GaborFit:
    """The best Gabor function of each of K atoms, one column per parameter.

    The function, with (x', y') the coordinates across and along the bars, is::

        g = amplitude exp(-x'^2 / (2 sigma_x^2) - y'^2 / (2 sigma_y^2))
                      cos(2 pi frequency x' + phase)
        x' =  (column - x) sin(orientation) + (row - y) cos(orientation)
        y' = -(column - x) cos(orientation) + (row - y) sin(orientation)

    where columns and rows are relative to the middle of the patch, rows downwards.
    ``len(fit)`` is K; ``fit[selection]`` takes atoms as NumPy does, for example
    ``fit[fit.gabor_like]``. All columns are float64 or bool arrays (K,).

    Parameters
    ----------
    shape : (int, int)
        Height and width of the patch in pixels.
    x, y : array
        Centre, in pixels from the middle of the patch: to the right and downwards. The fit keeps
        it inside the patch, |x| <= w / 2 and |y| <= h / 2.
    orientation : array
        Orientation of the bars in [0, pi), anticlockwise as displayed: 0 is horizontal.
    frequency : array
        In cycles per pixel; between 1 / (8 max(h, w)) and the Nyquist limit of either axis.
    sigma_x, sigma_y : array
        Standard deviations of the envelope across and along the bars, in pixels; between 0.3 and
        2 max(h, w).
    phase : array
        In (-pi, pi], with ``amplitude`` >= 0: 0 is an even field with a bright middle, pi one with
        a dark middle, +-pi/2 are odd.
    amplitude : array
        In units of the atom. For an odd field without flanks the wave is much longer than the
        envelope, and the amplitude is far larger than the values of the atom.
    r2 : array
        1 - ||atom - g||^2 / ||atom||^2; 0 for zero or constant atoms.
    energy_inside : array
        Share of the energy of the envelope that lies within the patch.
    component_share : array
        Share of the atom's energy in the fitted component over the channels; 1 for one channel.

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
    def peak_frequency(self) -> Array:
        """Frequency at which the spectrum of the fitted function peaks, in cycles per pixel.

        It is close to ``frequency`` where the envelope holds several cycles. Of a field without
        flanks many pairs of ``frequency`` and ``amplitude`` fit alike, while the peak is
        determined: 1 / (2 pi sigma_x) for an odd edge, 0 for an even blob.
        """
        return self.n_x / self.sigma_x

    @property
    def n_x(self) -> Array:
        """``sigma_x`` in cycles of ``peak_frequency``: width across the bars."""
        return peak_cycles(self.sigma_x * self.frequency, self.phase)

    @property
    def n_y(self) -> Array:
        """``sigma_y`` in cycles of ``peak_frequency``: length along the bars."""
        return self.n_x * self.aspect

    @property
    def parity(self) -> Array:
        """Phase folded to [0, pi / 2]: 0 is even, pi / 2 is odd, for either sign."""
        return np.arccos(np.abs(np.cos(self.phase)))

    @property
    def aspect(self) -> Array:
        """``sigma_y / sigma_x``: length of the envelope divided by its width."""
        return self.sigma_y / self.sigma_x

    @property
    def bandwidth(self) -> Array:
        """Spatial-frequency bandwidth at half the peak amplitude, in octaves.

        log2((n + c) / (n - c)) with n = sigma_x frequency and c = sqrt(2 ln 2) / (2 pi) = 0.187,
        the half width of the envelope's Gaussian spectrum; infinite for n <= c, where the spectrum
        does not fall to half its peak at low frequencies.
        """
        n = self.sigma_x * self.frequency
        above = n > HALF_WIDTH_IN_CYCLES
        n = np.where(above, n, 2 * HALF_WIDTH_IN_CYCLES)
        octaves = np.log2((n + HALF_WIDTH_IN_CYCLES) / (n - HALF_WIDTH_IN_CYCLES))
        return np.where(above, octaves, np.inf)

    @property
    def cut_off(self) -> Array:
        """Whether the border cuts the field: less than 0.8 of the energy lies inside."""
        return self.energy_inside < 0.8

    @property
    def blob(self) -> Array:
        """Whether n_x and n_y are both below 0.302: a blob or an edge without flanks."""
        return np.maximum(self.n_x, self.n_y) < BLOB_CYCLES

    @property
    def gabor_like(self) -> Array:
        """Whether r2 >= 0.8 and both sigmas are at least 0.5 pixels.

        The centre is always inside the patch. This is a convention of this library, not of the
        literature: compare its share with that of a null model.
        """
        return (self.r2 >= 0.8) & (np.minimum(self.sigma_x, self.sigma_y) >= 0.5)

    @property
    def caution(self) -> str:
        """A warning for atoms of fewer than 24 pixels, where r2 is not informative; else empty.

        A Gabor function has eight parameters. White noise reaches r2 = 0.8 in 82 % of patches of
        3 x 3 pixels, in 13 % of 4 x 4, and in none of 300 patches of 5 x 5.
        """
        n_pixels = int(np.prod(self.shape))
        if n_pixels >= MIN_PIXELS_PER_PARAMETER * N_PARAMETERS:
            return ""
        return (
            f"caution: {n_pixels} pixels are too few for the {N_PARAMETERS} numbers of a Gabor, "
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
        """Return all columns, also derived ones, and ``caution`` as JSON types; None for inf."""
        derived = ("n_x", "n_y", "peak_frequency", "parity", "aspect", "bandwidth")
        derived += ("cut_off", "blob", "gabor_like")
        columns = dict(self._columns()) | {name: getattr(self, name) for name in derived}
        return plain({"shape": self.shape, "caution": self.caution} | columns)

    def _columns(self):
        return [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]


def fit_gabor(atoms: Array, *, n_starts: int = 32, verbose: bool = False) -> GaborFit:
    """Fit a Gabor function to every atom by least squares.

    Two of the eight parameters, the amplitudes of the cosine and of the sine wave, are linear:
    they are solved for at every trial of the other six (variable projection [1]_), which move by
    bounded Levenberg-Marquardt steps [2]_. Descents start from the best points of a grid of
    orientations, frequencies, centres and envelopes: the best centre and envelope for each wave,
    local maxima over the waves first. The fit is deterministic.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        At least 3 x 3 pixels. For several channels, the first singular component of the (C, h w)
        matrix is fitted: the best product of one image with one vector of channel weights, whose
        largest weight is positive. `GaborFit.component_share` is its share of the energy.
    n_starts : int
        Descents per atom, at most one for each wave of the grid. With 120 starts instead of 32,
        r2 rose by less than 0.001 on average, for learned and for phase-scrambled atoms.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    fit : GaborFit
        Computed in float64. Atoms that are zero or constant have r2 = 0 and amplitude = 0.

    Raises
    ------
    TypeError
        If ``atoms`` is not a float array, or ``n_starts`` not an integer.
    ValueError
        If ``atoms`` is not four-dimensional, is smaller than 3 x 3, or contains NaN.

    Notes
    -----
    Eight parameters fit small patches easily: the median r2 of white noise is 0.9 for 3 x 3
    pixels, 0.53 for 5 x 5, 0.3 for 7 x 7, and about 0.15 for 12 x 12. Below 24 pixels,
    `GaborFit.caution` warns of this, and all printed forms of the fit include it. Compare r2 with
    that of `phase_scrambled` atoms, as `analyse` does.

    The centre is kept inside the patch. Without this bound, it left the patch for a third of the
    learned atoms while r2 gained less than 0.04: the pixels do not determine it there.

    The orientation is that of the wave. In a field without flanks (infinite bandwidth) the wave is
    hardly visible, and a long even blob may be fitted equally well by a wave across it or along it.

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
    gabor = import_module(f"{kernels(atoms).__name__}.gabor_fit")  # for the device of the atoms
    planes, norms, share = unit_planes(atoms)
    (h, w), parts = planes.shape[1:], []
    for block in progress_iter(
        np.array_split(planes, -(-len(planes) // ATOMS_PER_BLOCK)), "block", verbose=verbose
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
    """Return atoms ``(K, C, h, w)`` of at least 3 x 3 pixels, or raise."""
    atoms = check_floats("atoms", atoms)
    if atoms.ndim != 4 or min(atoms.shape[2:]) < MIN_SIDE:
        raise ValueError(
            f"atoms must be (K, C, h, w) of at least {MIN_SIDE} x {MIN_SIDE} pixels, got shape "
            f"{atoms.shape}; index single-channel images (K, h, w) as atoms[:, None]"
        )
    return atoms


class Planes(NamedTuple):
    """First singular component of atoms over their channels.

    Parameters
    ----------
    images : array (K, h, w)
        Of unit norm; zero for constant images.
    norms : array (K,)
    share : array (K,)
        Share of the energy of the atom.
    """

    images: Array
    norms: Array
    share: Array


def unit_planes(atoms):
    """`Planes` of atoms: the images to which Gabor functions are fitted."""
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
    return Planes(planes.reshape(k, h, w), norms, share)


def _starts(planes, n_starts):
    """Points (K, n_starts, 6): the best waves of the grid, each at its best position."""
    k, h, w = planes.shape
    flat, side = planes.reshape(k, h * w), max(h, w)
    octaves = np.arange(np.log2(0.5 / side), np.log2(0.75), 0.5)
    angles = np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS
    points = np.empty((k, N_ORIENTATIONS, len(octaves), 6))
    scores = np.empty(points.shape[:3])
    for i, angle in enumerate(angles):
        positions, frequencies = _positions((h, w), angle), np.minimum(2**octaves, _nyquist(angle))
        across, _ = _coordinates(np.array([[0, 0, angle, 0, 0, 0]]), (h, w))
        waves = 2 * np.pi * frequencies[:, None] * across.ravel()
        energy = _explained(flat, _envelopes(positions, (h, w)).reshape(-1, h * w), waves)
        points[:, i], scores[:, i] = positions[energy.argmax(axis=2)], energy.max(axis=2)
        points[:, i, :, 3] = frequencies
    modes = ("nearest", "wrap", "nearest")
    neighbours = ndimage.maximum_filter(scores, size=(1, 3, 3), mode=modes)
    # scores are at most 1, so adding 1 puts local maxima first
    rank = (scores + (scores >= neighbours)).reshape(k, -1)
    chosen = np.argsort(-rank, axis=1, kind="stable")[:, :n_starts]
    return np.take_along_axis(points.reshape(k, -1, 6), chosen[:, :, None], axis=1)


def _positions(shape, orientation):
    """Points (n, 6) of one orientation at frequency 0: all pairs of a centre and an envelope."""
    y, x = (np.linspace(-(n - 1) / 2, (n - 1) / 2, min(n, N_CENTRES)) for n in shape)
    sigmas = np.log(RELATIVE_SIGMAS * max(shape))
    grid = np.meshgrid(x, y, [orientation], [0.0], sigmas, sigmas, indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def _explained(flat, envelopes, waves):
    """Energy (K, waves, positions) of each atom in the span of a cosine and a sine wave.

    It is s^T G^-1 s, with s the inner products with envelope * cos and envelope * sin, and G the
    Gram matrix of these two.
    """
    envelopes = envelopes / np.linalg.norm(envelopes, axis=1, keepdims=True)
    even, odd = np.cos(waves), np.sin(waves)
    ee, eo, oo = np.stack([even**2, even * odd, odd**2]) @ (envelopes**2).T
    ee, oo = ee + 1e-6, oo + 1e-6  # at the Nyquist limit one of the two may be zero
    on_waves = (flat[:, None, None] * np.stack([even, odd])).reshape(-1, flat.shape[1])
    s_even, s_odd = np.moveaxis((on_waves @ envelopes.T).reshape(len(flat), 2, *ee.shape), 1, 0)
    return (oo * s_even**2 - 2 * eo * s_even * s_odd + ee * s_odd**2) / (ee * oo - eo**2)


def _box(shape):
    """Lower and upper bounds of the six nonlinear parameters."""
    (h, w), side = shape, max(shape)
    low = [-w / 2, -h / 2, -np.inf, 1 / (8 * side), np.log(MIN_SIGMA), np.log(MIN_SIGMA)]
    high = [w / 2, h / 2, np.inf, np.sqrt(0.5), np.log(2 * side), np.log(2 * side)]
    return np.array([low, high])


def _as_fit(points, amplitudes, r2, share, shape):
    """Unique parameters: 0 <= orientation < pi, amplitude >= 0, -pi < phase <= pi."""
    x, y, angle, frequency, *log_sigmas = points.T
    half_turns = np.floor(angle / np.pi)
    even, odd = amplitudes.T
    odd = np.where(half_turns % 2 == 0, odd, -odd)  # x' -> -x'
    rounded = points.copy()
    rounded[:, 4:] = np.maximum(points[:, 4:], 0.0)  # sigma >= 1 pixel, for a sum over pixels
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
        phase=np.arctan2(0.0 - odd, even),  # not -odd: the angle of -0.0 is -pi
        amplitude=np.hypot(even, odd),
        r2=r2,
        energy_inside=np.minimum(inside, 1.0),
        component_share=share,
    )


def _planewise(column):
    """Column (K,) shaped to broadcast over images (K, h, w)."""
    return column[:, None, None]


def _coordinates(points, shape):
    """Pixel coordinates across (u) and along (v) the bars of each point, (n, h, w)."""
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
    """Highest frequency of this orientation that the pixel grid represents."""
    return 0.5 / max(abs(np.sin(orientation)), abs(np.cos(orientation)))
