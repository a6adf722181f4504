"""Synthesis and correlation of tensors are those of `csc.Dictionary`, and so are their gradients."""

import numpy as np
import pytest

from reference.dictionary_kinds import KINDS, make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")

from csc.nn import _convolution  # noqa: E402
from csc.nn._convolution import Convolution, correlate, suits_kernels, synthesize  # noqa: E402


def tensors(kind, rng, n=2):
    """D, atoms, signals and codes."""
    D, x = make(kind, rng, n=n)
    z = rng.standard_normal((n, D.n_atoms, *D.spatial_code_shape(x.shape[2:])))
    return D, *(torch.from_numpy(np.array(a)) for a in (D.atoms, x, z))


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_of_convolution_are_the_dictionary(kind, rng):
    D, atoms, x, z = tensors(kind, rng)
    spatial_shape = tuple(x.shape[2:])
    expected = D.adjoint(x.numpy()), D(z.numpy(), spatial_shape)
    own = Convolution(atoms, D.geometry, spatial_shape)
    for found in (
        (own.correlate(x), own.synthesize(z)),
        (correlate(x, atoms, D.geometry), synthesize(z, atoms, D.geometry, spatial_shape)),
    ):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b, atol=1e-12)


@pytest.mark.parametrize("kind", ["series", "same, even", "circular", "volume"])
def test_kernels_have_first_and_second_derivatives(kind, rng):
    D, *inputs = tensors(kind, rng, n=1)
    assert suits_kernels(inputs[0])

    def both(atoms, x, z):
        own = Convolution(atoms, D.geometry, x.shape[2:])
        return own.correlate(x), own.synthesize(z)

    inputs = [a.requires_grad_() for a in inputs]
    assert torch.autograd.gradcheck(both, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(both, inputs, fast_mode=True)


def test_the_start_of_numba_leaves_the_threads_of_pytorch(monkeypatch):
    assert torch.get_num_threads() == 1
    monkeypatch.setattr(_convolution, "get_num_threads", lambda: torch.set_num_threads(2))
    _convolution._start_threads_of_numba()
    assert torch.get_num_threads() == 1


def test_many_channels_and_low_precision_go_to_pytorch():
    assert not suits_kernels(torch.ones(1, 9, 3))
    assert not suits_kernels(torch.ones(1, 1, 3, dtype=torch.bfloat16))
