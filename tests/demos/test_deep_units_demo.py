"""The demo of deep units: its responses, what is read off the weights, and ascent."""

import json

import numpy as np
import pytest

import csc

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")

from demos import _deep_networks  # noqa: E402
from demos import deep_units as demo  # noqa: E402


@pytest.fixture
def D():
    """Two random layers of which an input of 33 pixels has odd numbers of codes."""
    rng = np.random.default_rng(0)
    atoms = [rng.standard_normal(shape).astype("float32") for shape in ((4, 1, 7, 7), (5, 4, 7, 7))]
    unit = csc.constraints.UnitSphere().project
    return csc.MultiLayerDictionary(
        [csc.Dictionary(unit(atoms[0])), csc.Dictionary(unit(atoms[1]), "full", 4)]
    )


def test_units_that_are_on_leave_lambda_in_the_residual(D):
    units = demo.pursuit_units("codes", D, 5)
    x = torch.from_numpy(4 * units.readout)
    response, ascent = (
        call(x).detach().numpy().diagonal() for call in (units.response, units.ascent)
    )
    energies = (units.readout**2).sum(axis=(1, 2, 3))
    assert (response > 1).all()
    np.testing.assert_allclose(ascent, response + demo.LMBDA / energies, rtol=2e-3)


def test_a_unit_that_is_off_has_a_gradient(D):
    units = demo.pursuit_units("codes", D, 5)
    x = torch.zeros(1, *units.shape, requires_grad=True)
    units.ascent(x)[0, 2].backward()
    assert not units.response(x).any()
    own = units.readout[2] / (units.readout[2] ** 2).sum()
    np.testing.assert_allclose(x.grad[0].numpy(), own, atol=1e-6)


def test_ascent_of_linear_units_finds_their_filters(D):
    units = demo.linear_units("linear", D, 4)
    args = demo.parse_arguments(["--tv", "1e-6", "--ascent", "40"])
    numbers, _ = demo.measure(units, np.random.default_rng(0).standard_normal((2, 1, 40, 40)), args)
    assert numbers["median_cosine"] > 0.6
    assert numbers["median_cosine_of_other_units"] < 0.3
    assert numbers["share_matched_to_own_unit"] == 1
    assert numbers["response_of_readout_over_best"] == pytest.approx(
        1 / numbers["median_cosine"], rel=0.1
    )


def test_what_is_read_off_a_network_without_relus_are_effective_atoms(D):
    layers = []
    for own in D.layers:
        k, c, *s = own.atoms.shape
        conv = torch.nn.Conv2d(c, k, s, own.stride)
        conv.weight.data = torch.tensor(own.atoms)
        layers += [conv, torch.nn.ReLU()]
    linear = _deep_networks.without_relu(layers)
    units = demo.network_units("CNN", torch.nn.Sequential(*layers[:-1]), linear, (1, 33, 33), 5)
    np.testing.assert_allclose(units.readout, demo.effective_atoms(D)[1], atol=1e-5)
    x = torch.from_numpy(units.readout)
    by_hand = torch.nn.functional.conv2d(layers[0](x).relu(), layers[2].weight, layers[2].bias, 4)
    np.testing.assert_allclose(units.ascent(x).detach(), by_hand[:, :, 3, 3].detach(), atol=1e-5)
    np.testing.assert_allclose(
        units.response(x).detach(), by_hand[:, :, 3, 3].relu().detach(), atol=1e-5
    )


def test_graphs_are_computed_as_onnx_does(tmp_path, rng):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'mlcsc[cnn]'")
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    weights = [
        rng.standard_normal(s).astype("float32") for s in ((4, 3, 3, 3), (4,), (4, 4, 1, 1), (4,))
    ]
    nodes = [
        helper.make_node("Transpose", ["in"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w0", "w1"], ["a"], strides=[2, 2], pads=[1, 0, 1, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        helper.make_node("Conv", ["c", "w2", "w3"], ["d"], strides=[1, 1]),
        helper.make_node("Add", ["d", "c"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
    ]  # fmt: skip
    shapes = {"in": (1, 13, 13, 3), "e": None}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    stored = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], stored))
    onnx.save(model, tmp_path / "g.onnx")
    x = rng.standard_normal(shapes["in"]).astype("float32")
    (truth,) = ReferenceEvaluator(model).run(None, {"in": x})
    picture = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    ours = _deep_networks.Graph(tmp_path / "g.onnx", last="e")(picture)
    np.testing.assert_allclose(ours, truth, atol=1e-5)
    linear = _deep_networks.Graph(tmp_path / "g.onnx", last="e", linear=True)
    a, b, zero = linear(picture), linear(-picture), linear(0 * picture)
    np.testing.assert_allclose(a - zero, zero - b, atol=1e-5)
    with pytest.raises(ValueError, match="no node z"):
        _deep_networks.Graph(tmp_path / "g.onnx", last="z")


@pytest.mark.slow
def test_the_demo_writes_its_picture_and_its_numbers(tmp_path, monkeypatch):
    x = demo.photographs(64)[[0, 1]]
    monkeypatch.setattr(demo, "N_WINDOWS", 20)
    monkeypatch.setattr(demo, "photographs", lambda _: x)
    monkeypatch.setattr(_deep_networks, "N_PLACES", 10)
    monkeypatch.setattr(_deep_networks, "resnet_file", lambda: None)
    small = ["--passes", "1", "--steps", "2", "--ascent", "2", "--side", "64", "--units", "8"]
    numbers = demo.main([*small, "--out", str(tmp_path)])
    assert json.loads((tmp_path / "deep_units.json").read_text()) == numbers
    assert (tmp_path / "deep_units.png").stat().st_size > 1000
    assert len(numbers["models"]) == 5
