"""Product dictionaries: all atoms times all vectors over the channels."""

import numpy as np
import pytest

import csc
from csc.operators import codes_of_products, product_dictionary


@pytest.mark.parametrize("shape", [(3, 1, 4), (1, 1, 2, 3), (2, 1, 2, 2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_signal_is_the_sum_over_atoms_and_vectors(shape, stride, dtype, rtol, rng):
    atoms = rng.standard_normal(shape).astype(dtype)[..., ::-1]
    vectors = np.asfortranarray(rng.standard_normal((2, 5)).astype(dtype))
    D, grey = (
        product_dictionary(atoms, vectors, "full", stride),
        csc.Dictionary(atoms, "full", stride),
    )
    assert D.dtype == dtype
    z = rng.standard_normal((2, 2 * len(atoms), *(3,) * len(grey.atom_shape))).astype(dtype)
    codes = codes_of_products(z, 2)
    expected = sum(
        grey(np.ascontiguousarray(codes[:, :, j])) * v.reshape(-1, *(1,) * len(grey.atom_shape))
        for j, v in enumerate(vectors)
    )
    np.testing.assert_allclose(D(z), expected, atol=20 * rtol)


def test_atoms_of_several_sizes(rng):
    atoms, v = [rng.standard_normal((2, 1, 3)), rng.standard_normal((1, 1, 5))], np.eye(2)
    D = product_dictionary(atoms, v)
    assert [a.shape for _, a in D.parts] == [(4, 2, 3), (2, 2, 5)]
    np.testing.assert_array_equal(D.atoms[5, 1], atoms[1][0, 0])
    assert not D.atoms[5, 0].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: product_dictionary(np.ones((2, 3, 4)), np.eye(2)), "atoms must have one channel"),
        (lambda: product_dictionary(np.ones((2, 1, 4)), np.ones(3)), "vectors must be .J, C."),
        (
            lambda: product_dictionary(np.ones((2, 1, 4)), np.ones((2, 3), "float32")),
            "atoms are float64 but vectors are float32",
        ),
        (lambda: codes_of_products(np.ones((1, 5, 2)), 2), "z must be .N, K . 2, .V.*got shape"),
        (lambda: codes_of_products(np.ones((1, 4, 2)), 0), "n_vectors must be >= 1"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
