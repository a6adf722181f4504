"""From `csc` to modules and back, and what is loaded when."""

import subprocess
import sys

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import KINDS, make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")


@pytest.mark.parametrize("kind", KINDS)
def test_dictionaries_come_back_as_they_went(kind, rng):
    D, _ = make(kind, rng, "float32")
    back = csc.nn.from_dictionary(D, 0.1).to_dictionary()
    np.testing.assert_allclose(back.atoms, D.atoms, rtol=1e-6)
    assert (back.geometry, back.dtype, back.sizes) == (D.geometry, D.dtype, D.sizes)


def test_certificates_are_those_of_the_problem(rng):
    D, x = make("series", rng)
    lmbda = np.array([0.1, 0.2, 0.3])
    module, tensor = csc.nn.from_dictionary(D, lmbda, 200, accelerated=True), torch.from_numpy(x)
    codes = module(tensor)
    found = csc.nn.certify(module, tensor, codes)
    problem = csc.Problem(x, D, csc.L1(1.0, lmbda[:, None]))
    np.testing.assert_allclose(found.objective, problem.value(codes.detach().numpy()), rtol=1e-9)
    minimum = csc.solve(problem, tol=1e-10).objective
    assert -1e-9 < found.objective - minimum <= found.gap + 1e-9
    assert csc.nn.certify(module, tensor, 0 * codes).gap > 10 * found.gap
    with pytest.raises(TypeError, match="module must be a pursuit of csc.nn"):
        csc.nn.certify(torch.nn.Identity(), tensor, codes)


def test_certificates_of_layers_are_those_of_the_problem(rng):
    D = csc.MultiLayerDictionary([make("series", rng)[0], csc.Dictionary(np.eye(3)[:, :, None])])
    x = torch.from_numpy(make("series", rng)[1])
    module = csc.nn.from_dictionary(D, [0.1, 0.1], 50)
    codes = module(x)
    found = csc.nn.certify(module, x, codes)
    problem = csc.MultiLayerProblem(x.numpy(), D, [csc.L1(0.1), csc.L1(0.1)])
    expected = problem.certificate([z.detach().numpy() for z in codes])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.relative_gap < 1


def test_certificates_of_low_precision_and_of_what_is_no_tensor(rng):
    D, x = make("series", rng, "float32")
    x = torch.from_numpy(x).bfloat16()
    for module in (
        csc.nn.SparseCode(D, 0.2).bfloat16(),
        csc.nn.ImplicitSparseCode(D, 0.2).bfloat16(),
    ):
        codes = module(x)
        assert codes.dtype == torch.bfloat16
        assert csc.nn.certify(module, x, codes).relative_gap < 0.5
    with pytest.raises(TypeError, match="x must be a tensor, got ndarray"):
        csc.nn.certify(module, np.ones((1, 2, 12)), codes)
    with pytest.raises(TypeError, match="codes must be a tensor, got ndarray"):
        csc.nn.certify(module, x, codes.detach().float().numpy())


def test_random_atoms_have_unit_norm_and_follow_the_seed():
    first = csc.nn.random_dictionary((4, 2, 3, 3), "same", 2)
    torch.manual_seed(0)
    one, again = csc.nn.random_dictionary((4, 2, 3)), csc.nn.random_dictionary((4, 2, 3))
    torch.manual_seed(0)
    np.testing.assert_array_equal(csc.nn.random_dictionary((4, 2, 3)).atoms, one.atoms)
    assert not np.allclose(again.atoms, one.atoms)
    assert (first.mode, first.stride, first.dtype) == ("same", 2, np.float32)
    np.testing.assert_allclose(np.linalg.norm(first.matrix, axis=1), 1, rtol=1e-6)


def test_without_torch_one_sentence_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import csc\nassert 'SparseCode' in dir(csc.nn)\ncsc.nn.SparseCode"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    message = "ImportError: csc.nn.SparseCode needs PyTorch: pip install 'mlcsc[torch]'"
    assert done.stderr.strip().splitlines()[-1] == message
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        csc.nn.nothing  # noqa: B018


def test_the_package_loads_torch_when_used():
    code = "import sys, csc; csc.nn; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
