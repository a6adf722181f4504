"""Sampled dictionaries and signals obey the multi-layer model exactly."""

import numpy as np
import pytest

import csc
from csc.datasets._synthetic import (
    make_cosparse_signals,
    make_multilayer_dictionary,
    make_sparse_signals,
)

SHAPES = [(4, 1, 5), (6, 4, 3), (5, 6, 2)]
DENSE = [(20, 1, 12), (10, 20, 1)]  # every atom as large as its signal: one position
CASES = {
    "convolutional": (make_multilayer_dictionary(SHAPES, (2, 3), rng=1), (20,)),
    "dense": (make_multilayer_dictionary(DENSE, 4, rng=2), (12,)),
    "stride": (make_multilayer_dictionary(SHAPES[:2], 2, mode="valid", stride=2, rng=3), (21,)),
    "circular": (make_multilayer_dictionary(SHAPES, 3, mode="circular", rng=4), (16,)),
    "images": (make_multilayer_dictionary([(3, 2, 3, 3), (4, 3, 2, 2)], 2, rng=5), (9, 8)),
    "single": (make_multilayer_dictionary(SHAPES, 2, dtype="float32", rng=6), (20,)),
}

# Each code of layer 1 has one of layer 2: its zero is theirs.
UNMIXED = csc.MultiLayerDictionary(
    [CASES["convolutional"][0].layers[0], csc.Dictionary(np.eye(4)[:, :, None])]
)


def assert_chain(D, sample, spatial_shape):
    below = sample.x
    for layer, g, own in zip(D.layers, sample.codes, D.spatial_shapes(spatial_shape), strict=False):
        np.testing.assert_array_equal(below, layer(g, own))
        assert g.dtype == D.dtype
        below = g
    assert sample.x.shape == (len(sample.x), D.atoms.shape[1], *spatial_shape)


@pytest.mark.parametrize("case", CASES)
def test_sparse_signals_have_exact_chains_counts_and_amplitudes(case):
    D, spatial_shape = CASES[case]
    sample = make_sparse_signals(D, 5, spatial_shape, n=30, amplitudes=(0.5, 3.0), rng=0)
    assert_chain(D, sample, spatial_shape)
    z = sample.codes[-1].reshape(30, -1)
    assert ((z != 0).sum(axis=1) == 5).all()
    values = z[z != 0]
    assert abs(values).min() >= 0.5
    assert abs(values).max() <= 3.0
    assert np.ptp(abs(values)) > 2
    assert 50 < (values > 0).sum() < 100
    assert np.unique(z != 0, axis=0).shape[0] > 25


def test_sparse_kernels_have_exact_counts_unit_norm_and_make_all_layers_sparse():
    D = make_multilayer_dictionary(SHAPES, (2, 3), rng=0)
    for layer, shape, count in zip(D.layers, SHAPES, (5, 2, 3), strict=True):
        rows = layer.atoms.reshape(len(layer.atoms), -1)
        assert layer.atoms.shape == shape
        assert ((rows != 0).sum(axis=1) == count).all()
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    _, (g1, g2, g3), _ = make_sparse_signals(D, 2, (30,), n=50, rng=1)
    counts = [(g != 0).reshape(50, -1).sum(axis=1) for g in (g1, g2, g3)]
    assert (counts[1] <= 3 * counts[2]).all()
    assert (counts[0] <= 2 * counts[1]).all()
    assert counts[1].max() == 6  # reached, where kernels do not meet


@pytest.mark.parametrize(
    ("case", "n_nonzero", "cosparsity"),
    [("convolutional", 25, (3, 2)), ("dense", 6, 5), ("circular", 30, 2), ("images", 30, 4)],
)
def test_cosparse_signals_are_zero_at_their_cosupports(case, n_nonzero, cosparsity):
    D, spatial_shape = CASES[case]
    sample = make_cosparse_signals(D, n_nonzero, cosparsity, spatial_shape, n=8, rng=0)
    assert_chain(D, sample, spatial_shape)
    z = sample.codes[-1].reshape(8, -1)
    assert ((z != 0).sum(axis=1) == n_nonzero).all()
    assert len(sample.cosupports) == len(D) - 1
    counts = np.broadcast_to(cosparsity, len(D) - 1)
    for g, zeros, count in zip(sample.codes, sample.cosupports, counts, strict=False):
        assert (zeros.reshape(8, -1).sum(axis=1) == count).all()
        assert abs(g[zeros]).max() <= 1e-12 * abs(g).max()
        others = make_sparse_signals(D, n_nonzero, spatial_shape, n=8, rng=0)
        assert abs(others.codes[0]).max() > 0.1  # zeros are no rule without the null space


def test_cosupports_take_degrees_of_freedom_and_are_not_trivial():
    D, spatial_shape = CASES["dense"]
    _, (g1, g2), (zeros,) = make_cosparse_signals(D, 6, 5, spatial_shape, n=20, rng=0)
    for g, mask in zip(g2[..., 0], zeros[..., 0], strict=True):
        rows = D.layers[1].atoms[:, :, 0].T[mask][:, g != 0]
        assert np.linalg.matrix_rank(rows) == 5 or (rows == 0).any()
        assert ((rows != 0).sum(axis=1) >= 2).all()
    assert abs(g1).max() > 0


@pytest.mark.parametrize("rng", [7, np.random.SeedSequence(7)])
def test_a_seed_draws_the_same_again(rng):
    draws = []
    for seed in (rng, rng, 8):
        D = make_multilayer_dictionary(SHAPES, 2, rng=seed)
        a, b = (
            make_sparse_signals(D, 3, (20,), rng=seed),
            make_cosparse_signals(D, 25, 2, (20,), rng=seed),
        )
        draws.append(np.concatenate([D.atoms.ravel(), a.x.ravel(), b.x.ravel()]))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda _: make_multilayer_dictionary(SHAPES, 13),
            "n_nonzero must be <= 12, the values of an atom of",
        ),
        (
            lambda _: make_multilayer_dictionary(SHAPES, (2, 3, 4)),
            "one for each of 2 layers, got 3",
        ),
        (lambda _: make_multilayer_dictionary([(4, 1, 5), (6, 3, 3)]), "layers 1 and 2 do not fit"),
        (
            lambda _: make_multilayer_dictionary(SHAPES, dtype="int32"),
            "dtype must be float32 or float64",
        ),
        (
            lambda D: make_sparse_signals(D, 66, (20,)),
            "n_nonzero must be <= 65, the codes of layer 3",
        ),
        (lambda D: make_sparse_signals(D, 2, (20,), amplitudes=(0, 1)), r"amplitudes\[0\] must be"),
        (lambda D: make_sparse_signals(D, 2, (20,), amplitudes=(2, 1)), r"amplitudes\[1\] must be"),
        (lambda D: make_sparse_signals(D, 2, (6,)), "layer 2 does not fit"),
        (lambda D: make_sparse_signals(D, 2, 20), r"signal_shape must be a tuple such as \(12,\)"),
        (lambda _: make_multilayer_dictionary([]), "shapes must have at least one layer"),
        (lambda _: make_multilayer_dictionary([(3, 1, -4)]), "shapes must be >= 1, got -4"),
        (
            lambda D: make_sparse_signals(D.layers[0], 2, (20,)),
            "must be a csc.MultiLayerDictionary",
        ),
        (
            lambda D: make_cosparse_signals(D, 4, 2, (20,)),
            "cosparsity must be less than n_nonzero = 4",
        ),
        (lambda D: make_cosparse_signals(D, 4, -1, (20,)), "cosparsity must be >= 0"),
        (
            lambda _: make_cosparse_signals(UNMIXED, 3, 1, (20,), rng=0),
            "ask for fewer zeros or more",
        ),
        (
            lambda D: make_cosparse_signals(csc.MultiLayerDictionary(D.layers[:1]), 4, 2, (20,)),
            "use make_sparse_signals",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(CASES["convolutional"][0])
