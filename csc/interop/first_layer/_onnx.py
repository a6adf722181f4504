"""The first layer of an ONNX graph."""

from csc.interop.first_layer._layer import EPS, OIHW, UNKNOWN, Found, Norm, listed


def from_onnx(path, key=None, *, channels=UNKNOWN):
    """Return the first Conv node, or the one whose weights are named ``key``."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"{path.name} needs onnx: pip install 'mlcsc[cnn]'") from error
    from google.protobuf.message import DecodeError

    try:  # external data, mostly of other layers, is not loaded
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"source {path} is damaged, or no ONNX file ({error})") from error
    stored = {tensor.name: tensor for tensor in graph.initializer}
    conv = _convolution(graph, stored, key)

    def array(name):
        if name not in stored:
            raise ValueError(f"{name} is computed in the graph, not stored; simplify the graph")
        return onnx.numpy_helper.to_array(stored[name], str(path.parent))

    weights, *bias = conv.input[1:]
    about = {a.name: onnx.helper.get_attribute_value(a) for a in conv.attribute}
    if about.get("group", 1) != 1:
        raise ValueError(f"the Conv of {weights} has {about['group']} groups; name another by key=")
    norm = _norm_behind(conv, graph, array, onnx)
    bias = array(bias[0]) if bias and bias[0] else None
    stride = tuple(about.get("strides", (1, 1)))
    return Found(array(weights), bias, weights, stride, norm, channels, OIHW)


def _convolution(graph, stored, key):
    """Return the node; ONNX sorts nodes from the input on."""
    found = [node for node in graph.node if node.op_type == "Conv"]
    names = [node.input[1] for node in found if node.input[1] in stored]
    if not found:
        raise ValueError("the graph has no Conv node; pass a convolutional network")
    if key is None:
        return found[0]
    if key not in names:
        raise ValueError(f"key {key!r} names no weights of a Conv; there are: {listed(names)}")
    return next(node for node in found if node.input[1] == key)


def _norm_behind(conv, graph, array, onnx):
    """Return the batch normalisation of the output of the convolution, or None."""
    for node in graph.node:
        if node.op_type == "BatchNormalization" and node.input[0] == conv.output[0]:
            about = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            return Norm(*map(array, node.input[1:5]), about.get("epsilon", EPS))
    return None
