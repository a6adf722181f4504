"""Atoms and lambda as parameters."""

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")


def test_atoms_of_several_sizes_keep_their_sizes(rng):
    D = csc.Dictionary([rng.standard_normal((2, 1, 3)), rng.standard_normal((1, 1, 5))])
    layer = csc.nn.TrainableDictionary(D, unit_norm=False)
    layer.atoms.square().sum().backward()
    assert (layer.raw_atoms.grad[:2, :, 3:] == 0).all()
    with torch.no_grad():
        layer.raw_atoms += 1
    back = layer.to_dictionary()
    assert back.sizes == D.sizes
    assert (back.atoms[:2, :, 3:] == 0).all()
    np.testing.assert_allclose(back.atoms[2], D.atoms[2] + 1)


def test_a_layer_is_its_dictionary_both_ways(rng):
    D, x = make("same, even", rng)
    layer, tensor = csc.nn.TrainableDictionary(D), torch.from_numpy(x)
    z = layer.correlate(tensor)
    np.testing.assert_allclose(z.detach(), D.adjoint(x), atol=1e-12)
    back = layer.synthesize(z, tensor.shape[2:])
    np.testing.assert_allclose(back.detach(), D(D.adjoint(x)), atol=1e-12)
    np.testing.assert_array_equal(layer.to_dictionary().atoms.shape, D.atoms.shape)
    assert "mode='same'" in repr(layer)


WRONG = {
    "array": (lambda D: csc.nn.SparseCode(D.atoms, 0.1), TypeError, "csc.Dictionary, got ndarray"),
    "norms": (
        lambda D: csc.nn.SparseCode(csc.Dictionary(2 * D.atoms), 0.1), ValueError, "unit_norm=False",
    ),
    "lmbda 0": (lambda D: csc.nn.SparseCode(D, 0.0), ValueError, "lmbda must be finite and > 0"),
    "lmbda NaN": (lambda D: csc.nn.LCA(D, np.nan), ValueError, "lmbda must be finite and > 0"),
    "too many": (lambda D: csc.nn.SparseCode(D, np.ones(2)), ValueError, "each of the 3 atoms"),
    "relative": (lambda D: csc.nn.LCA(D, csc.Relative(0.1)), ValueError, "got Relative"),
    "no steps": (lambda D: csc.nn.SparseCode(D, 0.1, 0), ValueError, "n_steps must be >= 1"),
    "tau": (lambda D: csc.nn.LCA(D, 0.1, tau=0), ValueError, "tau must be finite and > 0"),
    "tol": (lambda D: csc.nn.ImplicitSparseCode(D, 0.1, tol=-1), ValueError, "tol must be"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(make("series", rng)[0])


@pytest.mark.parametrize("scale", [1e-44, 1e-35, 1e-20, 1e20, 1e38])
def test_raw_atoms_of_any_size_have_unit_norm(scale, rng):
    shapes = rng.uniform(0.5, 1, (3, 2, 5)).astype("float32")
    layer = csc.nn.TrainableDictionary(csc.Dictionary(csc.constraints.UnitSphere().project(shapes)))
    raw = (np.longdouble(scale) * shapes).astype("float32")
    with torch.no_grad():
        layer.raw_atoms.copy_(torch.from_numpy(raw))
    exact = raw.astype(np.longdouble)
    exact /= np.sqrt((exact**2).sum(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(layer.atoms.detach(), exact.astype("float64"), rtol=1e-5)
    np.testing.assert_allclose(layer.to_dictionary().atoms, exact.astype("float64"), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_gradients_of_raw_atoms_of_any_size_are_those_of_unit_atoms_over_their_norms(scale, rng):
    unit = csc.constraints.UnitSphere().project(rng.standard_normal((3, 2, 5)))
    layer = csc.nn.TrainableDictionary(csc.Dictionary(unit.astype("float32")))
    weights = rng.standard_normal((3, 2, 5))
    with torch.no_grad():
        layer.raw_atoms *= scale
    (layer.atoms * torch.from_numpy(weights.astype("float32"))).sum().backward()
    along = (unit * weights).sum(axis=(1, 2), keepdims=True)
    expected = weights - along * unit
    np.testing.assert_allclose(layer.raw_atoms.grad.double() * scale, expected, atol=1e-5)
