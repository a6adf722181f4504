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
