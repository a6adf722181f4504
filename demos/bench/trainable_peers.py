"""Modules of csc.nn compared with the public code of CSCNet, ML-ISTA and LCA in PyTorch.

The code of the peers is not part of this package: clone it, and pass the folders.

    git clone https://github.com/drorsimon/CSCNet
    git clone https://github.com/jsulam/ml-ista
    git clone https://github.com/lanl/lca-pytorch
    python -m demos.bench trainable_peers --cscnet CSCNet --ml-ista ml-ista --lca lca-pytorch

Both take the same steps on the same atoms, at the sizes that each of them publishes; results and
gradients must agree. Times and memory are those of the benchmark ``nn``. `lca-pytorch` needs pandas
and PyYAML.
"""

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from demos._arguments import integer
from demos.bench.nn import compared, use_one_thread
from demos.bench.report import print_json


def main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m demos.bench trainable_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cscnet", type=Path, help="folder of drorsimon/CSCNet")
    parser.add_argument("--ml-ista", type=Path, help="folder of jsulam/ml-ista")
    parser.add_argument("--lca", type=Path, help="folder of lanl/lca-pytorch")
    parser.add_argument("--repeats", type=integer(1), default=3, help="calls of each (3)")
    args = parser.parse_args(argv)
    use_one_thread()
    benchmarks = {cscnet: args.cscnet, ml_ista: args.ml_ista, lca: args.lca}
    if not any(benchmarks.values()):
        parser.error("pass the folder of at least one peer: --cscnet, --ml-ista or --lca")
    for benchmark, folder in benchmarks.items():
        if folder is None:
            continue
        if not folder.is_dir():
            parser.error(f"there is no folder {folder}")
        sys.path.insert(0, str(folder))
        for figures in benchmark(args.repeats):
            print_json(bench="trainable_peers", peer=benchmark.__name__, **figures)


def cscnet(repeats):
    """175 filters of 11x11 with stride 8 and 12 unfoldings, on a crop of 128x128: their default."""
    import torch
    from torch import nn

    import csc

    peer = import_module("model.modules")
    torch.manual_seed(0)
    D = csc.nn.random_dictionary((175, 1, 11, 11), stride=8)
    x = torch.rand(1, 1, 128, 128)
    lmbda, n_steps = 0.02, 12

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.coder = csc.nn.SparseCode(D, lmbda, n_steps, free_analysis=True, unit_norm=False)
            self.output = csc.nn.TrainableDictionary(D, unit_norm=False)
            self.dictionary = self.coder.dictionary

        def reconstruct(self, x):
            return self.output.synthesize(self.coder(x), x.shape[2:])

    network = Network()
    ours = csc.nn.StridedShiftAverage(network, margin=1)
    mu = network.coder.step_size.item()
    atoms = torch.from_numpy(D.atoms.copy())
    settings = peer.ListaParams(kernel_size=11, num_filters=175, stride=8, unfoldings=n_steps)
    theirs = peer.ConvLista_T(
        settings, A=atoms.clone(), B=mu * atoms, C=atoms.clone(), threshold=mu * lmbda
    )
    # `masked_select` of today takes Boolean masks only; theirs is of bytes.
    select = torch.masked_select
    torch.masked_select = lambda a, mask: select(a, mask.bool())
    own = theirs.apply_A.weight, *(p for p in theirs.parameters() if p is not theirs.apply_A.weight)
    pairs = own, (network.dictionary.raw_atoms, *_others(network, network.dictionary.raw_atoms))
    figures = compared(lambda: theirs(x), lambda: ours(x), pairs, repeats)
    torch.masked_select = select
    yield {"case": "175 filters 11x11, stride 8, 12 unfoldings, 128x128", **figures}


def ml_ista(repeats):
    """Three layers for digits with 32, 64, 512 atoms, 128 signals: their notebook."""
    import torch

    import csc

    try:
        import_module("torchvision")
    except (ImportError, RuntimeError):  # their file imports it, but the networks do not use it
        sys.modules["torchvision"] = ModuleType("torchvision")
    sys.path.insert(0, str(Path(sys.path[0]) / "MNIST"))
    peer = import_module("Models")
    shapes, strides, lmbdas = (
        ((32, 1, 6, 6), (64, 32, 6, 6), (512, 64, 4, 4)),
        (2, 2, 1),
        [0.05] * 3,
    )
    for n_unfoldings, accelerated in ((0, False), (6, False), (6, True)):
        torch.manual_seed(0)
        x = torch.rand(128, 1, 28, 28)
        D = csc.MultiLayerDictionary(
            csc.nn.random_dictionary(s, stride=t) for s, t in zip(shapes, strides, strict=True)
        )
        ours = csc.nn.MultiLayerPursuit(
            D, lmbdas, n_unfoldings, accelerated=accelerated, positive=True, unit_norm=False
        )
        network = peer.ML_FISTA_NET if accelerated else peer.ML_ISTA_NET
        theirs = network(32, 64, 512, n_unfoldings)
        scale, products = ours.step_sizes.detach(), ours.step_sizes.detach().cumprod(0)
        with torch.no_grad():
            for i, layer in enumerate(D.layers):
                getattr(theirs, f"W{i + 1}").copy_(torch.from_numpy(layer.atoms.copy()))
                getattr(theirs, f"c{i + 1}").fill_(scale[i])
                getattr(theirs, f"b{i + 1}").fill_(-products[i] * lmbdas[i])

        def probabilities(ours=ours, theirs=theirs, x=x):
            scores = theirs.Wclass(ours(x)[-1].flatten(1))
            return torch.nn.functional.log_softmax(scores, dim=1)

        first, last = ours.layers[0].raw_atoms, list(theirs.Wclass.parameters())
        own = theirs.W1, *(p for p in theirs.parameters() if p is not theirs.W1)
        pairs = own, (first, *_others(ours, first), *last)
        figures = compared(lambda theirs=theirs, x=x: theirs(x), probabilities, pairs, repeats)
        name = "ML-FISTA" if accelerated else "ML-ISTA"
        yield {
            "case": f"{name}, 32, 64, 512 atoms, 128 digits",
            "unfoldings": n_unfoldings,
            **figures,
        }


def lca(repeats):
    """64 features 7x7 of colour images of 34x34, 100 steps, strides 1 and 2."""
    import torch
    from torch.func import functional_call

    import csc

    peer = import_module("lcapt.lca")
    for stride in (1, 2):
        torch.manual_seed(0)
        D = csc.nn.random_dictionary((64, 3, 7, 7), stride=stride)
        x, n_steps, lmbda = torch.randn(16, 3, 34, 34), 100, 0.5
        ours = csc.nn.LCA(D, lmbda, n_steps, positive=True)
        # They count the steps from the zeros on. Their `inhibition` is right for atoms of unit norm.
        with tempfile.TemporaryDirectory() as folder:
            theirs = peer.LCAConv2D(
                64, 3, folder, 7, stride, lmbda, ours.tau, lca_iters=n_steps + 1, pad="valid",
                input_zero_mean=False, input_unit_var=False, req_grad=True,
            )  # fmt: skip
        atoms = torch.from_numpy(D.atoms.copy()).requires_grad_()

        def normalised(theirs=theirs, atoms=atoms, x=x):
            unit = atoms / atoms.flatten(1).norm(dim=1)[:, None, None, None]
            return functional_call(theirs, {"weights": unit}, (x,))

        pairs = (atoms,), (ours.dictionary.raw_atoms,)
        figures = compared(normalised, lambda ours=ours, x=x: ours(x), pairs, repeats)
        yield {"case": f"64 features 7x7, stride {stride}, 16 of 34x34 in colour", **figures}


def _others(module, first):
    return [p for p in module.parameters() if p is not first]
