"""Small runs of the demo of a CNN as a pursuit, and the benchmark of multi-layer pursuits."""

import builtins
import json

import numpy as np
import pytest

from demos import cnn_is_a_pursuit as demo
from demos.bench import multilayer as bench

MISSING = "torch is not installed: pip install 'mlcsc[torch]'"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    pytest.importorskip("torch", reason=MISSING)
    out = tmp_path_factory.mktemp("cnn") / "new"
    small = ["--epochs", "15", "--steps", "3", "--digits", "400", "--test", "150"]
    found = demo.main([*small, "--out", str(out)])
    assert (out / "cnn_is_a_pursuit.png").stat().st_size > 1000
    assert json.loads((out / "cnn_is_a_pursuit.json").read_text()) == found
    assert not list(out.glob("*.part"))
    return found


def test_the_forward_pass_is_one_step_of_the_pursuit(numbers):
    assert numbers["largest"] > 1
    for name in ("forward_minus_network", "normalised_minus_network"):
        assert numbers[name] <= 1e-5 * numbers["largest"]
    assert numbers["step_minus_forward"] <= 1e-6
    one = numbers["rows"][0]
    assert one["steps"] == 1
    assert one["accuracy"] > 0.5  # ten digits: 0.1 by chance


def test_more_steps_explain_more_of_the_picture(numbers):
    first = [row["layers"][0]["unexplained_below"] for row in numbers["rows"]]
    assert [row["steps"] for row in numbers["rows"]] == [1, 3, "minimum"]
    assert first[1] < 0.9 * first[0]
    assert first[-1] < 0.2 * first[0]
    assert numbers["rows"][-1]["relative_gaps"][0] <= demo.MINIMUM_TOL
    assert numbers["rows"][-1]["layers"][0]["nonzero"] < numbers["rows"][0]["layers"][0]["nonzero"]


def test_without_torch_the_demo_says_so_in_one_sentence(monkeypatch, tmp_path):
    found = builtins.__import__

    def without(name, *arguments, **words):
        if name == "torch":
            raise ImportError("none")
        return found(name, *arguments, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit, match=r"needs PyTorch: pip install 'mlcsc\[torch\]'$"):
        demo.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_normalised_layers_have_norm_one_and_the_same_codes_up_to_a_factor():
    rng = np.random.default_rng(0)
    layers = [demo.csc.Dictionary(rng.standard_normal(s)) for s in ((3, 1, 4), (2, 3, 3))]
    D, betas = demo.csc.MultiLayerDictionary(layers), [np.full(3, 0.1), np.full(2, 0.2)]
    x = rng.standard_normal((2, 1, 12))
    other, scaled, factors = demo.normalise_layers(D, betas, (12,))
    assert all(layer.lipschitz(S) <= 1 + 1e-6
               for layer, S in zip(other.layers, other.spatial_shapes((12,)), strict=False))  # fmt: skip
    whole, parts = (d.forward(x, b, "relu") for d, b in ((D, betas), (other, scaled)))
    for a, b, factor in zip(whole, parts, factors, strict=True):
        np.testing.assert_allclose(a, factor * b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("memory_format", ["contiguous_format", "channels_last"])
def test_the_iteration_in_pytorch_is_that_of_csc(memory_format):
    torch = pytest.importorskip("torch", reason=MISSING)
    rng = np.random.default_rng(0)
    D = bench.layers(rng, ((4, 1, 5, 5), (6, 4, 4, 4), (5, 6, 2, 2)), (1, 2, 1))
    x = rng.standard_normal((2, 1, 18, 17)).astype("float32")  # strides leave a row over
    penalties = [demo.csc.L1(demo.csc.Relative(0.02))] * 3
    problem = demo.csc.MultiLayerProblem(x, D, penalties)
    solver, peer = demo.csc.solvers.MLFISTA(), bench.TorchMLFISTA(problem, memory_format)
    ours, theirs = solver.init(problem, problem.zeros()), peer.init(problem.zeros()[-1])
    with torch.inference_mode():
        for _ in range(200):  # with restarts
            ours, theirs = solver.step(problem, ours), peer.step(theirs)
            np.testing.assert_allclose(ours.z[-1], theirs.z.numpy(), atol=1e-4)
    assert (ours.z[-1] != 0).mean() > 0.1
