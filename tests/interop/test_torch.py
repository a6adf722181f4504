"""Networks of PyTorch and multi-layer dictionaries are the same forward pass, both ways."""

import builtins

import numpy as np
import pytest

import csc

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")
nn = torch.nn


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def forward(network, x):
    """Codes of every layer, by PyTorch."""
    codes, v = [], torch.tensor(x)
    with torch.inference_mode():
        for layer in network:
            v = layer(v)
            if isinstance(layer, nn.ReLU):
                codes.append(v.numpy())
    return codes


def assert_same(network, D, thresholds, x, least=0.05):
    theirs = forward(network, x)
    ours = D.forward(x, thresholds, rule="relu")
    assert len(theirs) == len(ours)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert (b > 0).mean() > least  # neither is empty


CONVS = [nn.Conv1d, nn.Conv2d, nn.Conv3d]
PADDINGS = {  # size, padding: the mode
    (4, 0): "full", (3, "valid"): "full", (3, 2): "valid", (4, 3): "valid", (2, 1): "valid",
    (3, 1): "same", (5, 2): "same", (1, 0): "full",
}  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("size", "padding"), PADDINGS)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("extent", [11, 12, 13])  # the floor drops rows of some
def test_the_forward_pass_is_the_networks(extent, dims, size, padding, stride, rng):
    conv = CONVS[dims - 1]
    network = nn.Sequential(conv(3, 5, size, stride, padding), nn.ReLU())
    D, thresholds = csc.interop.from_torch(network)
    assert D.layers[0].mode == PADDINGS[size, padding]
    x = rng.standard_normal((2, 3, *(extent,) * dims)).astype("float32")
    assert_same(network, D, thresholds, x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even:UserWarning")
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_same_padding_is_the_mode_same_for_even_sizes_too(size, rng):
    network = nn.Sequential(nn.Conv2d(2, 4, size, padding="same"), nn.ReLU())
    D, thresholds = csc.interop.from_torch(network)
    assert D.layers[0].mode == "same"
    assert_same(network, D, thresholds, rng.standard_normal((1, 2, 9, 8)).astype("float32"))


def test_a_row_that_the_floor_drops_does_not_matter(rng):
    network = nn.Sequential(nn.Conv1d(1, 3, 3, stride=2), nn.ReLU())
    D, thresholds = csc.interop.from_torch(network)
    x = rng.standard_normal((1, 1, 10)).astype("float32")
    assert D.spatial_code_shape((10,)) == D.spatial_code_shape((9,)) == (4,)
    assert_same(network, D, thresholds, x)
    short, whole = (D.forward(a, thresholds, rule="relu")[0] for a in (x[..., :9].copy(), x))
    np.testing.assert_allclose(short, whole, atol=1e-6)


def test_padding_layers_say_what_a_convolution_cannot(rng):
    network = nn.Sequential(
        nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(2, 4, (2, 4), stride=(1, 2)), nn.ReLU(),
        nn.CircularPad2d((0, 2, 0, 1)), nn.Conv2d(4, 3, (2, 3), stride=2), nn.ReLU(),
        nn.ConstantPad2d(1, 0.0), nn.Conv2d(3, 3, 3), nn.ReLU(),
    )  # fmt: skip
    D, thresholds = csc.interop.from_torch(network)
    assert [layer.mode for layer in D.layers] == ["same", "circular", "same"]
    x = rng.standard_normal((2, 2, 8, 16)).astype("float32")
    assert_same(network, D, thresholds, x)


def test_wrapped_same_padding_of_two_taps_is_circular(rng):
    conv = nn.Conv1d(1, 6, 2, padding="same", padding_mode="circular")
    network = nn.Sequential(conv, nn.ReLU())
    D, thresholds = csc.interop.from_torch(network)
    assert D.layers[0].mode == "circular"
    assert_same(network, D, thresholds, rng.standard_normal((2, 1, 7)).astype("float32"))


def test_layers_of_all_kinds(rng):
    network = nn.Sequential(
        nn.Conv2d(3, 8, (5, 4), (2, 1), bias=False), nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(),
        nn.Conv2d(6, 7, (3, 1), stride=(1, 2), padding=(2, 0)), nn.ReLU(),
    )  # fmt: skip
    D, thresholds = csc.interop.from_torch(network)
    assert [layer.mode for layer in D.layers] == ["full", "same", "valid"]
    np.testing.assert_array_equal(thresholds[0], np.zeros(8, "float32"))
    np.testing.assert_array_equal(thresholds[1], -network[2].bias.detach().numpy())
    assert_same(network, D, thresholds, rng.standard_normal((2, 3, 17, 14)).astype("float32"))


def test_three_dimensions_and_double_precision(rng):
    network = nn.Sequential(nn.Conv3d(2, 3, 3, stride=2, padding=1), nn.ReLU()).double()
    D, thresholds = csc.interop.from_torch(network)
    assert D.dtype == "float64"
    assert_same(network, D, thresholds, rng.standard_normal((1, 2, 6, 7, 5)))


def test_half_precision_becomes_float32():
    network = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()).bfloat16()
    D, (beta,) = csc.interop.from_torch(network)
    assert D.dtype == beta.dtype == np.float32
    np.testing.assert_array_equal(D.layers[0].atoms, network[0].weight.detach().float().numpy())
    np.testing.assert_array_equal(-beta, network[0].bias.detach().float().numpy())


def test_atoms_are_a_copy(rng):
    network = nn.Sequential(nn.Conv1d(1, 3, 4), nn.ReLU())
    D, thresholds = csc.interop.from_torch(network)
    x = rng.standard_normal((1, 1, 9)).astype("float32")
    before = D.forward(x, thresholds, rule="relu")[0]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(D.forward(x, thresholds, rule="relu")[0], before)


# The way back.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sizes", [(3, 4), (5, 2), (2, 1)])
@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
def test_a_dictionary_becomes_a_network_and_comes_back(mode, sizes, stride, dtype, rng):
    shapes = (4, 2, *sizes), (3, 4, *sizes[::-1])
    atoms = [0.3 * rng.standard_normal(s).astype(dtype) for s in shapes]
    layers = [csc.Dictionary(a, mode, stride) for a in atoms]
    D, thresholds = csc.MultiLayerDictionary(layers), [0.1, np.array([0.2, -0.3, 0.0])]
    network = csc.interop.to_torch(D, thresholds)
    x = rng.standard_normal((2, 2, 16, 12)).astype(dtype)
    assert_same(network, D, thresholds, x)
    again, numbers = csc.interop.from_torch(network)
    for a, b in zip(again.layers, layers, strict=True):
        np.testing.assert_array_equal(a.atoms, b.atoms)
        assert (a.mode, a.geometry.stride) == (b.mode, b.geometry.stride)
    np.testing.assert_array_equal(numbers[0], np.full(4, 0.1, dtype))
    np.testing.assert_array_equal(numbers[1], thresholds[1].astype(dtype))


def test_the_network_can_be_trained(rng):
    D = csc.MultiLayerDictionary([csc.Dictionary(rng.standard_normal((2, 1, 3)))])
    network = csc.interop.to_torch(D, [-1.0])
    network(torch.tensor(rng.standard_normal((1, 1, 8)))).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


# What is refused.


class Doubled(nn.Conv1d):
    """Computes something else than its weights say."""

    def forward(self, x):
        return 2 * super().forward(x)


RELU = nn.ReLU()
REFUSED = {
    "no Sequential": (lambda: nn.Conv1d(1, 2, 3), "must be a torch.nn.Sequential, got Conv1d"),
    "empty": (nn.Sequential, "pairs of a convolution and a ReLU, and is empty"),
    "no ReLU": (lambda: nn.Sequential(nn.Conv1d(1, 2, 3)), r"ends with Conv1d.*add nn.ReLU"),
    "ReLU first": (lambda: nn.Sequential(RELU), r"layer 0 \(ReLU\(\)\) breaks the pairs"),
    "two ReLUs": (lambda: nn.Sequential(nn.Conv1d(1, 2, 3), RELU, nn.ReLU()), "layer 2"),
    "two convolutions": (
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.Conv1d(2, 2, 3)), r"layer 1 \(Conv1d",
    ),
    "a head": (
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten()),
        r"layer 2 \(Flatten.*module\[:4\]",
    ),
    "a lazy layer": (lambda: nn.Sequential(nn.LazyConv1d(2, 3), nn.ReLU()), "layer 0"),
    "a subclass": (lambda: nn.Sequential(Doubled(1, 2, 3), nn.ReLU()), r"layer 0 \(Doubled"),
    "another pad": (
        lambda: nn.Sequential(nn.ReflectionPad1d(1), nn.Conv1d(1, 2, 3), nn.ReLU()), "layer 0",
    ),
    "a pad of ones": (
        lambda: nn.Sequential(nn.ConstantPad1d(1, 1.0), nn.Conv1d(1, 2, 3), nn.ReLU()), "layer 0",
    ),
    "only a pad": (lambda: nn.Sequential(nn.ZeroPad1d(1)), "ends with ZeroPad1d"),
    "a late pad": (
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.ZeroPad1d(1)), "ends with ZeroPad",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_pair_of_convolution_and_relu_is_refused(make, words):
    error = TypeError if "Sequential" in words else ValueError
    with pytest.raises(error, match=words):
        csc.interop.from_torch(make())


def silent(conv):
    nn.init.zeros_(conv.weight)
    return conv


LAYERS = {
    "groups": (lambda: nn.Conv1d(2, 2, 3, groups=2), "groups 2 has no equivalent dictionary"),
    "dilation": (lambda: nn.Conv1d(1, 2, 3, dilation=2), r"dilation \(2,\) has no equivalent"),
    "odd padding": (lambda: nn.Conv1d(1, 2, 5, padding=1), r"\[\(1, 1\)\].*are no mode; supported"),
    "too wide": (lambda: nn.Conv1d(1, 2, 3, padding=3), "are no mode"),
    "even sizes": (lambda: nn.Conv1d(1, 2, 4, padding=1), r"nn.ZeroPad of \(s - 1\) // 2 before"),
    "unlike axes": (lambda: nn.Conv2d(1, 2, 3, padding=(0, 1)), r"\[\(0, 0\), \(1, 1\)\]"),
    "reflected": (lambda: nn.Conv1d(1, 2, 3, padding=1, padding_mode="reflect"), "'reflect'"),
    "wrapped": (
        lambda: nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"), "circular around signals",
    ),
    "wrapped wide": (
        lambda: nn.Conv1d(1, 2, 3, padding=2, padding_mode="circular"), "circular around signals",
    ),
    "zeros": (lambda: silent(nn.Conv1d(1, 2, 3)), "weights are all zero"),
    "wrong pad": (
        lambda: [nn.ZeroPad2d(1), nn.Conv1d(1, 2, 3)], r"is no mode",
    ),
    "both pad": (
        lambda: [nn.ZeroPad1d((1, 0)), nn.Conv1d(1, 2, 3, padding=1)], r"after ZeroPad1d",
    ),
    "wrapped before": (lambda: [nn.CircularPad1d((2, 0)), nn.Conv1d(1, 2, 3)], "circular around"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), LAYERS.values(), ids=LAYERS)
def test_layers_that_no_dictionary_equals_are_refused_by_name(make, words):
    made = make()
    made = made if isinstance(made, list) else [made]
    network = nn.Sequential(*made, nn.ReLU())
    with pytest.raises((TypeError, ValueError), match=rf"^layer {len(made) - 1} \(Conv.*{words}"):
        csc.interop.from_torch(network)


def test_thresholds_that_do_not_fit_are_refused(rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 3)))
    layers = csc.MultiLayerDictionary([D])
    with pytest.raises(TypeError, match=r"wrap the layers: csc.MultiLayerDictionary\(\[D\]\)"):
        csc.interop.to_torch(D, [0.1])
    with pytest.raises(ValueError, match="thresholds must be one for each of the 1 layers, got 2"):
        csc.interop.to_torch(layers, [0.1, 0.2])
    for wrong in (np.ones(3), np.nan, np.ones((2, 1))):
        with pytest.raises(ValueError, match=r"thresholds\[0\] must be a finite number, or one"):
            csc.interop.to_torch(layers, [wrong])


def test_without_torch_one_sentence_says_what_to_install(monkeypatch, rng):
    found = builtins.__import__

    def without(name, *arguments, **words):
        if name == "torch":
            raise ImportError("none")
        return found(name, *arguments, **words)

    D = csc.MultiLayerDictionary([csc.Dictionary(rng.standard_normal((2, 1, 3)))])
    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: csc.interop.from_torch(None), lambda: csc.interop.to_torch(D, [0.0])):
        with pytest.raises(ImportError, match=r"need PyTorch: pip install 'mlcsc\[torch\]'$"):
            call()
