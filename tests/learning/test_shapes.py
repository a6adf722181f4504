"""Signals of `inverse_transform` are as long as those that were coded."""

import numpy as np
import pytest

import csc

RNG = np.random.default_rng(0)


def learner(mode="full", stride=1, **options):
    options = {"mode": mode, "stride": stride, "max_iter": 1, "random_state": 0} | options
    return csc.DictionaryLearning(3, (5,), 0.5, **options)


CASES = [
    (mode, n, stride)
    for mode in ("full", "valid", "same", "circular")
    for n, stride in [(24, 1), (24, 2), (24, 3), (26, 3), (27, 4)]
    if mode != "circular" or n % stride == 0
]


@pytest.mark.parametrize(("mode", "n", "stride"), CASES)
def test_signals_come_back_as_long_as_they_were(mode, n, stride, tmp_path):
    X = RNG.laplace(size=(4, 1, n))
    model = learner(mode, stride).fit(X)
    codes = model.transform(X)
    assert model.inverse_transform(codes).shape == X.shape
    expected = model.dictionary_(codes, (n,))
    np.testing.assert_array_equal(model.inverse_transform(codes), expected)
    csc.save(tmp_path / "model.npz", model)
    assert csc.load(tmp_path / "model.npz").inverse_transform(codes).shape == X.shape


def test_lists_come_back_as_they_were_and_shape_overrules():
    X = [RNG.laplace(size=(1, n)) for n in (24, 25, 27, 24)]
    model = learner(stride=3).fit(X)
    codes = model.transform(X)
    assert [x.shape for x in model.inverse_transform(codes)] == [x.shape for x in X]
    assert [x.shape[1] for x in model.inverse_transform(codes[2:])] == [27, 24]
    shapes = [(23,), (24,), (26,), (25,)]
    assert [x.shape[1:] for x in model.inverse_transform(codes, shapes)] == shapes
    assert model.inverse_transform(codes[0][None], (25,)).shape == (1, 1, 25)
    with pytest.raises(ValueError, match="shape has 2 entries for 4 codes"):
        model.inverse_transform(codes, shapes[:2])
    with pytest.raises(ValueError, match="30"):
        model.inverse_transform(codes[0][None], (30,))


@pytest.mark.parametrize("layer", [1, 2])
def test_layers(layer):
    parts = [learner(stride=2), csc.DictionaryLearning(3, (3,), 0.5, stride=2, max_iter=1)]
    model = csc.MultiLayerDictionaryLearning(parts, 2, max_iter=1, random_state=0)
    X = RNG.laplace(size=(2, 1, 28))
    codes = model.fit(X).transform(X, layer)
    assert model.inverse_transform(codes, layer).shape == X.shape
    assert model.inverse_transform(codes, layer, (27,)).shape == (2, 1, 27)
    codes = model.transform([X[0], X[1, :, :27]], layer)
    assert [x.shape[1] for x in model.inverse_transform(codes, layer)] == [28, 27]


AXES = {  # atom_shape, shape of X, what the error says
    "channels in atom_shape": ((1, 8, 8), (5, 1, 8, 8), r"leave it out of the shape of the atoms, \(8, 8\)"),
    "colours in atom_shape": ((3, 4, 4), (5, 3, 9, 9), r"leave it out of the shape of the atoms, \(4, 4\)"),
    "no channels": ((8, 8), (5, 8, 8), r"single-channel ones X\[:, None\]"),
    "too few axes": ((8,), (5, 1, 8, 8), r"1 spatial axes, as atoms of \(8,\) have, .*atom_shape has a size"),
    "rows": ((4,), (9,), r"single-channel signal use X\[None, None\]"),
}  # fmt: skip


@pytest.mark.parametrize(("atom_shape", "shape", "words"), AXES.values(), ids=AXES)
def test_axes_that_do_not_fit_are_refused_with_what_to_do(atom_shape, shape, words):
    with pytest.raises(ValueError, match=words):
        csc.DictionaryLearning(4, atom_shape, 0.1).fit(np.ones(shape))
