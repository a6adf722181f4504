"""The locally competitive algorithm: its steps, and its fixed points."""

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")


def as_matrix(D, spatial_shape):
    """D as a matrix from codes to signals."""
    shape = (D.n_atoms, *D.spatial_code_shape(spatial_shape))
    units = np.eye(np.prod(shape)).reshape(-1, *shape)
    return D(units, spatial_shape).reshape(len(units), -1).T


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
@pytest.mark.parametrize("positive", [False, True])
def test_steps_are_those_of_a_dense_transcription(hard, positive, rng):
    D, x = make("same, stride, channels", rng, n=1)
    module = csc.nn.LCA(D, 0.3, 7, tau=4.0, hard=hard, positive=positive)
    A, b = as_matrix(D, x.shape[2:]), x.ravel()
    u, a = np.zeros(A.shape[1]), np.zeros(A.shape[1])
    for _ in range(7):
        u = u + (A.T @ b - u - (A.T @ A @ a - a)) / 4
        size = u if positive else abs(u)
        a = np.where(size > 0.3, u if hard else np.sign(u) * (abs(u) - 0.3), 0)
    found = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found.ravel(), a, atol=1e-12)
    assert a.any()


@pytest.mark.parametrize("positive", [False, True])
def test_fixed_points_of_the_soft_threshold_are_minima(positive, rng):
    D, x = make("series", rng)
    module = csc.nn.LCA(D, rng.uniform(0.2, 0.4, 3), 200, positive=positive)
    x = torch.from_numpy(x)
    assert csc.nn.certify(module, x, module(x)).relative_gap < 1e-9


def test_fixed_points_of_the_hard_threshold_fit_their_support(rng):
    D, x = make("series", rng)
    x = torch.from_numpy(x)
    module = csc.nn.LCA(D, 0.4, 200, hard=True)
    with torch.no_grad():
        codes = module(x)
        correlations = module.dictionary.correlate(x - module.reconstruct(x))
    assert correlations[codes != 0].abs().max() < 1e-6
    assert correlations.abs().max() <= 0.4 + 1e-9
    assert module.problem(x).penalty == csc.L0(module.lmbda[0].item() ** 2 / 2)
    with torch.no_grad():
        module.log_lmbda[0] += 1
    with pytest.raises(ValueError, match="thresholds of this module differ"):
        module.problem(x)


def test_gradients_are_those_of_finite_differences(rng):
    D, x = make("series", rng, n=1)
    module = csc.nn.LCA(D, 0.2, 4)
    names = [name for name, _ in module.named_parameters()]

    def codes(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    inputs = [torch.from_numpy(x), *(p.detach().clone() for p in module.parameters())]
    assert torch.autograd.gradcheck(codes, [a.requires_grad_() for a in inputs], fast_mode=True)


@pytest.mark.parametrize("channels", [1, 9], ids=["kernels", "PyTorch"])
def test_the_graph_keeps_codes_and_no_residuals(channels, rng):
    atoms, x = rng.standard_normal((3, channels, 4)), rng.standard_normal((2, channels, 30))
    module = csc.nn.LCA(csc.Dictionary(atoms), 0.2, 5, tau=9.0, unit_norm=False)
    sizes = {}

    def note(kept):
        sizes[kept.data_ptr()] = kept.shape[-1]
        return kept

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        kept_alive = module(torch.from_numpy(x))
    assert kept_alive.shape == (2, 3, 27)
    assert list(sizes.values()).count(30) == 1  # the signals


def test_a_state_brings_its_time_constant(rng):
    D, x = make("series", rng)
    module, x = csc.nn.LCA(D, 0.2, 7), torch.from_numpy(x)
    loaded = csc.nn.LCA(make("series", rng)[0], 0.3, 7)
    assert loaded.tau != module.tau
    loaded.load_state_dict(module.state_dict())
    torch.testing.assert_close(loaded(x), module(x), rtol=0, atol=0)
