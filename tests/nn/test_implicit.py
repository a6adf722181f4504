"""Codes at the minimum, and the derivative of the minimiser."""

from functools import partial

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")

from csc.nn import _device_solve, _implicit  # noqa: E402


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", ["patch", "series", "same, stride, channels", "circular"])
def test_the_derivative_is_that_of_the_minimiser(kind, positive, rng):
    D, x = make(kind, rng, n=2)
    lmbda = rng.uniform(0.3, 0.5, D.n_atoms)
    module = csc.nn.ImplicitSparseCode(D, lmbda, tol=1e-13, positive=positive, unit_norm=False)
    cotangent = rng.standard_normal(module(torch.from_numpy(x)).shape)

    def loss(x, atoms, lmbda):
        """Of codes that `csc.solve` alone computes."""
        own = csc.Dictionary(atoms, D.mode, D.stride)
        weights = lmbda.reshape(-1, *(1,) * (x.ndim - 2))
        problem = csc.Problem(x, own, csc.L1(1.0, weights, positive=positive))
        return (cotangent * csc.solve(problem, tol=1e-13).codes).sum()

    tensor = torch.from_numpy(x).requires_grad_()
    codes = module(tensor)
    assert 0 < (codes != 0).double().mean() < 1
    (torch.from_numpy(cotangent) * codes).sum().backward()
    gradients = {
        "x": tensor.grad.numpy(),
        "atoms": module.dictionary.raw_atoms.grad.numpy(),
        "lmbda": module.log_lmbda.grad.numpy() / lmbda,
    }
    at = {"x": x, "atoms": np.array(D.atoms), "lmbda": lmbda}
    for name, gradient in gradients.items():
        direction, h = rng.standard_normal(at[name].shape), 1e-6
        ends = [loss(**(at | {name: at[name] + s * h * direction})) for s in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-7)


def test_codes_are_certified_in_both_precisions(dtype, rng):
    D, x = make("valid", rng, dtype)
    module, x = csc.nn.ImplicitSparseCode(D, 0.2, tol=1e-5), torch.from_numpy(x)
    codes = module(x)
    assert codes.dtype == x.dtype
    assert csc.nn.certify(module, x, codes).relative_gap <= 1e-5
    (codes**2).sum().backward()
    assert module.log_lmbda.grad.abs().min() > 0


def test_a_device_takes_steps_to_the_same_minimum(rng):
    D, x = make("same, stride, channels", rng)
    for positive in (False, True):
        module = csc.nn.ImplicitSparseCode(D, 0.2, positive=positive)
        tensor = torch.from_numpy(x)
        step_size = 1 / D.lipschitz(x.shape[2:])
        with torch.no_grad():
            codes = _device_solve.solve_on_device(
                tensor, module.dictionary.convolution(tensor.shape[2:]),
                torch.full((3, 1, 1), 0.2).double(), step_size, 1e-6, 10_000, positive=positive,
            )  # fmt: skip
        gap = csc.nn.certify(module, tensor, codes).relative_gap
        assert 0 < gap < 1e-5
        torch.testing.assert_close(codes, module(tensor), atol=1e-2, rtol=0)


@pytest.mark.parametrize("positive", [False, True])
def test_the_gap_on_a_device_is_that_of_the_certificate(positive, rng):
    D, x = make("series", rng)
    lmbda, z = rng.uniform(0.2, 0.4, (3, 1)), abs(rng.standard_normal((2, 3, 3)))
    penalty = csc.L1(1.0, lmbda, positive=positive)
    expected = [a.sum() for a in csc.certificates.certificate(x, D, z, penalty)]
    x, z, lmbda = (torch.from_numpy(a) for a in (x, z, lmbda))
    own = csc.nn.TrainableDictionary(D).requires_grad_(False).convolution(x.shape[2:])
    found = _device_solve._certificate(x, own, z, x - own.synthesize(z), lmbda, positive)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_too_few_steps_are_reported(rng, monkeypatch):
    D, x = make("same, even", rng)
    slow = partial(csc.solve, solver=csc.solvers.ISTA())
    monkeypatch.setattr(_implicit, "solve_quietly", slow)
    module = csc.nn.ImplicitSparseCode(D, 0.01, tol=1e-12, max_iter=1)
    with pytest.warns(UserWarning, match="ImplicitSparseCode: "):
        module(torch.from_numpy(x))
    own, x = module.dictionary.convolution(x.shape[2:]), torch.from_numpy(x)
    options = (torch.tensor(0.01), 0.1, 1e-12, 10)
    with torch.no_grad(), pytest.warns(UserWarning, match="after 10 steps"):
        _device_solve.solve_on_device(x, own, *options, positive=False)


def test_missing_samples_are_refused(rng):
    D, x = make("series", rng)
    x = torch.from_numpy(x)
    x[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="x holds NaN or inf"):
        csc.nn.ImplicitSparseCode(D, 0.1)(x)


def test_zero_codes_have_zero_gradients(rng):
    D, x = make("series", rng)
    module = csc.nn.ImplicitSparseCode(D, 1e3)
    codes = module(torch.from_numpy(x))
    codes.sum().backward()
    assert not codes.any()
    assert not module.dictionary.raw_atoms.grad.any()


def test_autocast_does_not_lower_the_precision(rng):
    D, x = make("series", rng, "float32")
    module, x = csc.nn.ImplicitSparseCode(D, 0.1), torch.from_numpy(x)
    with torch.autocast("cpu", torch.bfloat16):
        codes = module(x)
        codes.sum().backward()
    assert codes.dtype == torch.float32


@pytest.mark.slow  # torch.compile takes seconds to load
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # its own
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # looked at by Dynamo
def test_what_is_compiled_around_it_leaves_the_solver_alone(rng):
    D, x = make("series", rng)
    module, x = csc.nn.ImplicitSparseCode(D, 0.3), torch.from_numpy(x)
    compiled = torch.compile(lambda x: module(2 * x).square().sum(), backend="eager")
    found, x = compiled(x), x.requires_grad_()
    torch.testing.assert_close(found, module(2 * x).square().sum())
    (of_x,) = torch.autograd.grad(compiled(x), x)
    torch.testing.assert_close(of_x, torch.autograd.grad(module(2 * x).square().sum(), x)[0])
