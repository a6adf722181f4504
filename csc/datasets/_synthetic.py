"""Random multi-layer dictionaries and signals that follow the multi-layer model exactly."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from csc._typing import DTypeLike, Mode, Rng, Shape, Stride
from csc._validation import FLOATS, check_count, check_number, check_shape
from csc.operators import Dictionary, MultiLayerDictionary

MAX_DRAWS = 100  # of supports and cosupports, before an error is raised
RANK_TOLERANCE = 1e-10  # relative to the largest value; smaller values are rounding error
MIN_RELATIVE_CODE = 1e-6  # relative to the largest code; smaller codes count as forced to 0


class Sample(NamedTuple):
    """Signals of a multi-layer dictionary and their true codes.

    Parameters
    ----------
    x : array (N, C, *S)
        The signals.
    codes : tuple of arrays
        (g_1, ..., g_L), with g_{i-1} = D_i g_i.
    cosupports : tuple of bool arrays
        Cosupports of g_1, ..., g_{L-1}: True where a code is 0 by construction.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    >>> sample = csc.datasets.make_sparse_signals(D, 3, (30,), n=2, rng=0)
    >>> sample.x.shape, [codes.shape for codes in sample.codes]
    ((2, 1, 30), [(2, 4, 26), (2, 6, 24)])
    """

    x: np.ndarray
    codes: tuple
    cosupports: tuple

    def __repr__(self):
        codes = " and ".join(f"{(z != 0).sum()} of {z.size}" for z in self.codes)
        return f"Sample(x {self.x.shape}, {codes} codes non-zero)"


def make_multilayer_dictionary(
    shapes: Sequence[Shape],
    n_nonzero: int | Sequence[int] | None = None,
    *,
    mode: Mode = "full",
    stride: Stride = 1,
    dtype: DTypeLike = "float64",
    rng: Rng = None,
) -> MultiLayerDictionary:
    """Make a random multi-layer dictionary with sparse atoms in layers 2, ..., L [1]_.

    A sparse atom synthesises few codes of the layer before from one code. So all layers of
    ``x = D_1 ... D_L g_L`` are sparse if the deepest one is. The non-zero values are Gaussian, and
    atoms have unit norm.

    Parameters
    ----------
    shapes : sequence of tuples (K_i, C_i, *s_i)
        Shapes of the atoms of each layer, with ``C_i = K_{i-1}``.
    n_nonzero : int or sequence of L - 1 ints, optional
        Number of non-zero values per atom in layers 2, ..., L; None makes all values non-zero.
    mode, stride
        Convolution mode and stride of all layers; see `Dictionary`.
    dtype : {"float64", "float32"}
    rng : numpy.random.Generator or seed

    Returns
    -------
    MultiLayerDictionary

    Raises
    ------
    ValueError
        If ``n_nonzero`` exceeds the number of values of an atom, or the layers do not match.

    References
    ----------
    .. [1] J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse modeling:
       pursuit and dictionary learning", IEEE TSP 66(15), 2018.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    >>> (D.layers[1].atoms != 0).sum(axis=(1, 2))
    array([2, 2, 2, 2, 2, 2])
    """
    if np.dtype(dtype) not in FLOATS:
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    shapes, rng = [_check_atoms_shape(shape) for shape in shapes], np.random.default_rng(rng)
    if not shapes:
        raise ValueError("shapes must have at least one layer, for example [(4, 1, 5), (6, 4, 3)]")
    counts = _per_layer("n_nonzero", n_nonzero, len(shapes) - 1)
    layers = []
    for i, (shape, count) in enumerate(zip(shapes, [None, *counts], strict=True), 1):
        size = prod(shape[1:])
        if count is not None and check_count("n_nonzero", count) > size:
            raise ValueError(
                f"n_nonzero must be <= {size}, the values of an atom of layer {i}, got {count}"
            )
        atoms = rng.standard_normal((shape[0], size))
        if count is not None:
            atoms *= _supports(len(atoms), size, count, rng)
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        layers.append(Dictionary(atoms.reshape(shape).astype(dtype), mode, stride))
    return MultiLayerDictionary(layers)


def make_sparse_signals(
    dictionary: MultiLayerDictionary,
    n_nonzero: int,
    signal_shape: Shape,
    n: int = 1,
    *,
    amplitudes: tuple[float, float] = (1.0, 2.0),
    rng: Rng = None,
) -> Sample:
    """Make signals with exactly ``n_nonzero`` non-zero codes in the deepest layer.

    ``x = D_1 ... D_L g_L`` with uniformly random supports and signs, and moduli uniform in the
    range ``amplitudes``.

    Parameters
    ----------
    dictionary : MultiLayerDictionary
    n_nonzero : int
        Number of non-zero codes of g_L in each signal.
    signal_shape : tuple of ints
        Spatial shape *S* of the signals.
    n : int
        Number of signals N.
    amplitudes : (float, float)
        Smallest and largest modulus, 0 < low <= high.
    rng : numpy.random.Generator or seed

    Returns
    -------
    Sample
        ``codes[i - 1]`` is computed as ``D_{i+1} codes[i]``, so that this holds exactly.

    Raises
    ------
    ValueError
        If ``n_nonzero`` exceeds the number of codes of one signal.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    >>> sample = csc.datasets.make_sparse_signals(D, 3, (20,), rng=0)
    >>> sample.x.shape, [int((g != 0).sum()) for g in sample.codes]
    ((1, 1, 20), [6, 3])
    """
    signal_shape, shape = _shapes(dictionary, n_nonzero, signal_shape, n)
    if np.shape(amplitudes) != (2,):
        raise ValueError(f"amplitudes must be two numbers (low, high), got {amplitudes!r}")
    low, high = amplitudes
    check_number("amplitudes[0]", low, strict=True)
    check_number("amplitudes[1]", high, low=low)
    rng = np.random.default_rng(rng)
    size = prod(shape[1:])
    z = rng.choice([-1.0, 1.0], (n, size)) * rng.uniform(low, high, (n, size))
    z *= _supports(n, size, n_nonzero, rng)
    return _sample(dictionary, z.reshape(shape).astype(dictionary.dtype), signal_shape, ())


def make_cosparse_signals(
    dictionary: MultiLayerDictionary,
    n_nonzero: int,
    cosparsity: int | Sequence[int],
    signal_shape: Shape,
    n: int = 1,
    *,
    rng: Rng = None,
) -> Sample:
    """Make signals with prescribed numbers of zero codes in the intermediate layers [1]_.

    Draws a support T of ``n_nonzero`` codes of g_L, and a cosupport of ``cosparsity`` codes of each
    intermediate layer. Then g_L, restricted to T, is Gaussian in the null space of the rows of
    ``D_{i+1} ... D_L`` at the cosupports. Each of these rows removes one degree of freedom of g_L.
    Only codes to which at least two codes of T contribute are drawn for the cosupports: other rows
    are empty, or force a code of T to 0.

    Parameters
    ----------
    dictionary : MultiLayerDictionary
        Of two or more layers.
    n_nonzero : int
        Number of non-zero codes of g_L in each signal.
    cosparsity : int or sequence of L - 1 ints
        Number of prescribed zeros of g_1, ..., g_{L-1}; the sum must be less than ``n_nonzero``.
    signal_shape : tuple of ints
        Spatial shape *S* of the signals.
    n : int
        Number of signals N.
    rng : numpy.random.Generator or seed

    Returns
    -------
    Sample
        Codes at the cosupports are 0 up to rounding.

    Raises
    ------
    ValueError
        If no such signal exists, or none was found in 100 draws.

    References
    ----------
    .. [1] A. Aberdam, J. Sulam, M. Elad, "Multi-layer sparse coding: the holistic way", SIAM J.
       Math. Data Sci. 1(1), 2019.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.datasets.make_multilayer_dictionary([(8, 1, 6), (6, 8, 1)], rng=0)  # dense layers
    >>> x, (g1, g2), (zeros,) = csc.datasets.make_cosparse_signals(D, 4, 3, (6,), rng=0)
    >>> int((g2 != 0).sum()), int(zeros.sum()), bool(abs(g1[zeros]).max() < 1e-12)
    (4, 3, True)
    """
    signal_shape, shape = _shapes(dictionary, n_nonzero, signal_shape, n)
    counts = _per_layer("cosparsity", cosparsity, len(dictionary) - 1)
    if not counts:
        raise ValueError(
            "dictionary has one layer and no intermediate layer; use make_sparse_signals"
        )
    for count in counts:
        check_count("cosparsity", count, low=0)
    if sum(counts) >= n_nonzero:
        raise ValueError(
            f"cosparsity must be less than n_nonzero = {n_nonzero} in the sum over layers, got "
            f"{sum(counts)}: each zero removes a degree of freedom; ask for fewer zeros or more "
            "codes"
        )
    rng, drawn = np.random.default_rng(rng), []
    for _ in range(n):
        drawn.append(_draw_cosparse(dictionary, n_nonzero, counts, (signal_shape, shape), rng))
    codes, *masks = map(np.stack, zip(*drawn, strict=True))
    return _sample(dictionary, codes.astype(dictionary.dtype), signal_shape, tuple(masks))


def _draw_cosparse(dictionary, n_nonzero, counts, shapes, rng):
    """Codes of one signal and its cosupports; repeats draws in which a code is forced to 0."""
    for _ in range(MAX_DRAWS):
        drawn = _try_cosparse(dictionary, n_nonzero, counts, shapes, rng)
        if drawn is not None:
            return drawn
    raise ValueError(
        f"no signal of n_nonzero = {n_nonzero} and cosparsity = {counts} was found in {MAX_DRAWS} "
        "draws: zeros of the intermediate layers forced codes to 0; ask for fewer zeros or more codes"
    )


def _try_cosparse(dictionary, n_nonzero, counts, shapes, rng):
    """One draw of codes and cosupports, or None if a code is forced to 0."""
    signal_shape, (_, *shape) = shapes
    support = rng.choice(prod(shape), n_nonzero, replace=False)
    units = np.zeros((n_nonzero, prod(shape)))
    units[np.arange(n_nonzero), support] = 1
    units, double = units.reshape(n_nonzero, *shape), dictionary.as_double
    rows, masks = [np.zeros((0, n_nonzero))], []
    for layer, count in enumerate(counts, 1):
        columns = double.synthesize(units, to_layer=layer, shape=signal_shape)
        matrix = columns.reshape(n_nonzero, -1).T
        used = abs(matrix) > RANK_TOLERANCE * abs(matrix).max()
        mixed = used.sum(axis=1) >= 2  # codes to which at least two codes of the support contribute
        if mixed.sum() < count:
            return None
        chosen = rng.choice(np.flatnonzero(mixed), count, replace=False)
        masks.append(np.zeros(columns.shape[1:], bool))
        masks[-1].flat[chosen] = True
        rows.append(matrix[chosen])
    basis = _null_space(np.concatenate(rows))
    values = basis @ rng.standard_normal(basis.shape[1])
    if not basis.size or abs(values).min() < MIN_RELATIVE_CODE * abs(values).max():
        return None
    codes = np.zeros(shape)
    codes.flat[support] = values
    return codes, *masks


def _null_space(a):
    """Orthonormal basis, in columns, of the null space of ``a``."""
    _, s, vt = np.linalg.svd(a)
    rank = int((s > RANK_TOLERANCE * s.max(initial=0)).sum())
    return vt[rank:].T


def _sample(dictionary, z, signal_shape, cosupports):
    """`Sample` from the deepest codes ``z``."""
    codes = [z]
    for D, shape in zip(
        reversed(dictionary.layers),
        reversed(dictionary.spatial_shapes(signal_shape)[:-1]),
        strict=True,
    ):
        codes.insert(0, D(codes[0], shape))
    x, *codes = codes
    return Sample(x, tuple(codes), cosupports)


def _shapes(dictionary, n_nonzero, signal_shape, n):
    """Spatial shape of the signals as a tuple, and the shape of their deepest codes."""
    if not isinstance(dictionary, MultiLayerDictionary):
        raise TypeError(
            f"dictionary must be a csc.MultiLayerDictionary, got {type(dictionary).__name__}; wrap "
            "the layers: csc.MultiLayerDictionary([D1, D2])"
        )
    n_axes = dictionary.layers[0].atoms.ndim - 2
    signal_shape = check_shape("signal_shape", signal_shape, n_axes)
    shape = (check_count("n", n), dictionary.n_atoms, *dictionary.spatial_code_shape(signal_shape))
    if check_count("n_nonzero", n_nonzero) > prod(shape[1:]):
        raise ValueError(
            f"n_nonzero must be <= {prod(shape[1:])}, the codes of layer {len(dictionary)} of one "
            f"signal, got {n_nonzero}"
        )
    return signal_shape, shape


def _check_atoms_shape(shape):
    """Return the shape (K, C, *s) of the atoms of one layer."""
    if not isinstance(shape, tuple | list) or not 3 <= len(shape) <= 5:
        raise ValueError(
            f"shapes must be one tuple (K, C, *s) for each layer, for example [(4, 1, 5)], got {shape!r}"
        )
    return tuple(check_count("shapes", n) for n in shape)


def _per_layer(name, counts, n_layers):
    """A list of one number per layer."""
    counts = list(counts) if isinstance(counts, tuple | list) else [counts] * n_layers
    if len(counts) != n_layers:
        raise ValueError(
            f"{name} must be a number, or one for each of {n_layers} layers, got {len(counts)}"
        )
    return counts


def _supports(n, size, count, rng):
    """Boolean array (n, size) with ``count`` random True values per row."""
    ranks = rng.random((n, size)).argsort(axis=1)
    return ranks < count
