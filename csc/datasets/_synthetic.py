"""Random multi-layer dictionaries and signals that obey the multi-layer model exactly."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from csc._typing import DTypeLike, Extents, Mode, Rng, Stride
from csc._validation import FLOATS, check_count, check_number
from csc.operators import Dictionary, MultiLayerDictionary

DRAWS = 100  # of supports and cosupports, before a request is given up


class Sample(NamedTuple):
    """Signals of a multi-layer dictionary and all that is true of them.

    Parameters
    ----------
    x : array (N, C, *S)
        The signals.
    codes : tuple of arrays
        (g_1, ..., g_L), with g_{i-1} = D_i g_i.
    cosupports : tuple of bool arrays
        Of g_1, ..., g_{L-1}: True where a code is 0 by design.

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
    shapes: Sequence[Extents],
    n_nonzero: int | Sequence[int] | None = None,
    *,
    mode: Mode = "full",
    stride: Stride = 1,
    dtype: DTypeLike = "float64",
    rng: Rng = None,
) -> MultiLayerDictionary:
    """Random dictionary whose atoms of layers 2, ..., L have few non-zeros [1]_.

    An atom with few non-zeros turns one code into few codes of the layer before: then all layers
    of ``x = D_1 ... D_L g_L`` are sparse if the deepest one is. Values are Gaussian, atoms of unit
    norm.

    Parameters
    ----------
    shapes : sequence of tuples (K_i, C_i, *s_i)
        Of the atoms of each layer, ``C_i = K_{i-1}``.
    n_nonzero : int or sequence of L - 1 ints, optional
        Non-zeros of an atom in layers 2, ..., L; None means that all values are.
    mode, stride
        Of all layers; see `Dictionary`.
    dtype : {"float64", "float32"}
    rng : numpy.random.Generator or seed

    Returns
    -------
    MultiLayerDictionary

    Raises
    ------
    ValueError
        If an atom has fewer values than it should have non-zeros, or layers do not fit.

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
    shapes, rng = [tuple(shape) for shape in shapes], np.random.default_rng(rng)
    counts = _one_a_layer("n_nonzero", n_nonzero, len(shapes) - 1)
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
    extents: Extents,
    n: int = 1,
    *,
    amplitudes: tuple[float, float] = (1.0, 2.0),
    rng: Rng = None,
) -> Sample:
    """Signals of exactly ``n_nonzero`` non-zero deepest codes.

    ``x = D_1 ... D_L g_L``; supports are uniform, signs fair, moduli uniform in
    the range ``amplitudes``.

    Parameters
    ----------
    dictionary : MultiLayerDictionary
    n_nonzero : int
        Non-zeros of g_L in each signal.
    extents : tuple of ints
        Spatial extents *S* of the signals.
    n : int
        Signals N.
    amplitudes : (float, float)
        Least and greatest modulus, 0 < low <= high.
    rng : numpy.random.Generator or seed

    Returns
    -------
    Sample
        ``codes[i - 1] = D_{i+1} codes[i]`` as computed, so that the chain holds exactly.

    Raises
    ------
    ValueError
        If there are fewer codes than should be non-zero.

    Examples
    --------
    >>> import csc
    >>> D = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    >>> sample = csc.datasets.make_sparse_signals(D, 3, (20,), rng=0)
    >>> sample.x.shape, [int((g != 0).sum()) for g in sample.codes]
    ((1, 1, 20), [6, 3])
    """
    extents, shape = _shapes(dictionary, n_nonzero, extents, n)
    low, high = amplitudes
    check_number("amplitudes[0]", low, strict=True)
    check_number("amplitudes[1]", high, low=low)
    rng = np.random.default_rng(rng)
    size = prod(shape[1:])
    z = rng.choice([-1.0, 1.0], (n, size)) * rng.uniform(low, high, (n, size))
    z *= _supports(n, size, n_nonzero, rng)
    return _sample(dictionary, z.reshape(shape).astype(dictionary.dtype), extents, ())


def make_cosparse_signals(
    dictionary: MultiLayerDictionary,
    n_nonzero: int,
    cosparsity: int | Sequence[int],
    extents: Extents,
    n: int = 1,
    *,
    rng: Rng = None,
) -> Sample:
    """Signals whose mid layers have zeros that no sparse kernel explains [1]_.

    A support T of ``n_nonzero`` codes of g_L and a cosupport of ``cosparsity`` codes of each mid
    layer are drawn; g_L is Gaussian in the null space of the rows of ``D_{i+1} ... D_L`` at the
    cosupports, in the columns of T. Each of these rows takes away a degree of freedom of g_L (only
    codes that at least two of T reach are drawn: other rows say nothing, or that a code is 0).

    Parameters
    ----------
    dictionary : MultiLayerDictionary
        Of two or more layers.
    n_nonzero : int
        Non-zeros of g_L in each signal.
    cosparsity : int or sequence of L - 1 ints
        Zeros by design of g_1, ..., g_{L-1}; the sum must be less than ``n_nonzero``.
    extents : tuple of ints
        Spatial extents *S* of the signals.
    n : int
        Signals N.
    rng : numpy.random.Generator or seed

    Returns
    -------
    Sample
        Codes at the cosupports are 0 but for rounding.

    Raises
    ------
    ValueError
        If there is no such signal, or none was found in 100 draws.

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
    extents, shape = _shapes(dictionary, n_nonzero, extents, n)
    counts = _one_a_layer("cosparsity", cosparsity, len(dictionary) - 1)
    if not counts:
        raise ValueError("dictionary has one layer and no mid layer; take make_sparse_signals")
    for count in counts:
        check_count("cosparsity", count, low=0)
    if sum(counts) >= n_nonzero:
        raise ValueError(
            f"cosparsity must be less than n_nonzero = {n_nonzero} in all layers together, got "
            f"{sum(counts)}: each zero takes a degree of freedom; ask for fewer zeros or more codes"
        )
    rng, drawn = np.random.default_rng(rng), []
    for _ in range(n):
        drawn.append(_draw_until_whole(dictionary, n_nonzero, counts, (extents, shape), rng))
    codes, *masks = map(np.stack, zip(*drawn, strict=True))
    return _sample(dictionary, codes.astype(dictionary.dtype), extents, tuple(masks))


def _draw_until_whole(dictionary, n_nonzero, counts, shapes, rng):
    """Codes of one signal and its cosupports, none of the codes forced to 0."""
    for _ in range(DRAWS):
        drawn = _draw_cosparse(dictionary, n_nonzero, counts, shapes, rng)
        if drawn is not None:
            return drawn
    raise ValueError(
        f"no signal of n_nonzero = {n_nonzero} and cosparsity = {counts} was found in {DRAWS} "
        "draws: zeros of the mid layers forced codes to 0; ask for fewer zeros or more codes"
    )


def _draw_cosparse(dictionary, n_nonzero, counts, shapes, rng):
    extents, (_, *shape) = shapes
    support = rng.choice(prod(shape), n_nonzero, replace=False)
    units = np.zeros((n_nonzero, prod(shape)))
    units[np.arange(n_nonzero), support] = 1
    units, double = units.reshape(n_nonzero, *shape), dictionary.as_double
    rows, masks = [np.zeros((0, n_nonzero))], []
    for layer, count in enumerate(counts, 1):
        columns = double.synthesize(units, to_layer=layer, shape=extents)
        matrix = columns.reshape(n_nonzero, -1).T
        reached = (abs(matrix) > 1e-10 * abs(matrix).max()).sum(axis=1) >= 2
        if reached.sum() < count:
            return None
        chosen = rng.choice(np.flatnonzero(reached), count, replace=False)
        masks.append(np.zeros(columns.shape[1:], bool))
        masks[-1].flat[chosen] = True
        rows.append(matrix[chosen])
    basis = _null_space(np.concatenate(rows))
    values = basis @ rng.standard_normal(basis.shape[1])
    if not basis.size or abs(values).min() < 1e-6 * abs(values).max():
        return None
    codes = np.zeros(shape)
    codes.flat[support] = values
    return codes, *masks


def _null_space(a):
    """Orthonormal columns that ``a`` maps to zero."""
    _, s, vt = np.linalg.svd(a)
    rank = int((s > 1e-10 * s.max(initial=0)).sum())
    return vt[rank:].T


def _sample(dictionary, z, extents, cosupports):
    """Codes of all layers and the signals of the deepest ones."""
    chain = [z]
    for D, own in zip(
        reversed(dictionary.layers), reversed(dictionary.extents(extents)[:-1]), strict=True
    ):
        chain.insert(0, D(chain[0], own))
    return Sample(chain[0], tuple(chain[1:]), cosupports)


def _shapes(dictionary, n_nonzero, extents, n):
    """Extents of the signals as a tuple, and the shape of their deepest codes."""
    if not isinstance(dictionary, MultiLayerDictionary):
        raise TypeError(
            f"dictionary must be a csc.MultiLayerDictionary, got {type(dictionary).__name__}; wrap "
            "the layers: csc.MultiLayerDictionary([D1, D2])"
        )
    extents = tuple(extents)
    shape = (check_count("n", n), dictionary.n_atoms, *dictionary.code_extents(extents))
    if check_count("n_nonzero", n_nonzero) > prod(shape[1:]):
        raise ValueError(
            f"n_nonzero must be <= {prod(shape[1:])}, the codes of layer {len(dictionary)} of one "
            f"signal, got {n_nonzero}"
        )
    return extents, shape


def _one_a_layer(name, counts, n_layers):
    """A number for each of the layers."""
    counts = list(counts) if isinstance(counts, tuple | list) else [counts] * n_layers
    if len(counts) != n_layers:
        raise ValueError(
            f"{name} must be a number, or one for each of {n_layers} layers, got {len(counts)}"
        )
    return counts


def _supports(n, size, count, rng):
    """``count`` ones in each of n rows of zeros."""
    order = rng.random((n, size)).argsort(axis=1)
    return order < count
