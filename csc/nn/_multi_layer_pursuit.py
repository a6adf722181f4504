"""Codes of several layers: networks of unrolled pursuits."""

from collections.abc import Sequence

import torch
from torch import nn

from csc._typing import ArrayLike
from csc._validation import check_count
from csc.nn._autocast import full_precision
from csc.nn._parameters import (
    TrainableDictionary,
    l1_penalty,
    log_parameter,
    log_step_size,
    per_atom,
    whole_signals,
)
from csc.nn._proximal_steps import (
    Steps,
    extrapolated,
    momenta,
    proximal_gradient,
    proximal_step,
)
from csc.operators import MultiLayerDictionary
from csc.problems import MultiLayerProblem
from csc.solvers import MLFISTA, MLISTA


class MultiLayerPursuit(nn.Module):
    """Codes of all layers after ``1 + n_unfoldings`` steps of a multi-layer pursuit from zero.

    Jointly, a step is a pass of ML-ISTA [1]_ over all layers (see `csc.solvers.MLISTA`), or of
    ML-FISTA if ``accelerated``. Layer by layer, each layer is coded by 1 + n_unfoldings steps of
    ISTA or FISTA before the next: layered basis pursuit [2]_. Both are layered thresholding [2]_ at
    ``n_unfoldings = 0``, with ``positive`` the forward pass of a convolutional network with weights
    ``mu_i D_i`` and biases ``-mu_1 ... mu_i lmbda_i`` (layer by layer ``-mu_i lmbda_i``). More
    unfoldings add no parameters.

    Atoms, lambda and one step size mu_i for each layer are parameters; the last two are stored as
    logarithms and so remain positive.

    Parameters
    ----------
    dictionary : MultiLayerDictionary
        Initial atoms, modes, strides and precision; see `random_dictionary`.
    lmbdas : sequence of L floats or arrays (K_i,)
        Initial lambda of each layer.
    n_unfoldings : int
        Steps after the first, >= 0.
    joint : bool
        Update all layers in each step (ML-ISTA), or code one after the other.
    accelerated : bool
        With momentum, without restart.
    positive : bool
        Whether codes are >= 0.
    unit_norm : bool
        Keep the atoms of all layers at unit norm.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or atoms do not have unit norm but should.

    References
    ----------
    .. [1] J. Sulam, A. Aberdam, A. Beck, M. Elad, "On multi-layer basis pursuit, efficient
       algorithms and convolutional neural networks", IEEE TPAMI 42(8), 2020, Algorithms 1, 2.
    .. [2] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017, Algorithms 1, 2.

    Examples
    --------
    >>> import csc, torch
    >>> D1 = csc.nn.random_dictionary((8, 1, 6, 6), stride=2)
    >>> D2 = csc.nn.random_dictionary((16, 8, 5, 5))
    >>> D = csc.MultiLayerDictionary([D1, D2])
    >>> module = csc.nn.MultiLayerPursuit(D, [0.1, 0.1], n_unfoldings=2, positive=True)
    >>> [tuple(codes.shape) for codes in module(torch.randn(2, 1, 28, 28))]
    [(2, 8, 12, 12), (2, 16, 8, 8)]
    """

    def __init__(
        self,
        dictionary: MultiLayerDictionary,
        lmbdas: Sequence[ArrayLike],
        n_unfoldings: int = 0,
        *,
        joint: bool = True,
        accelerated: bool = False,
        positive: bool = False,
        unit_norm: bool = True,
    ):
        super().__init__()
        if not isinstance(dictionary, MultiLayerDictionary):
            raise TypeError(
                f"dictionary must be a csc.MultiLayerDictionary, got {type(dictionary).__name__}; "
                "wrap the layers: csc.MultiLayerDictionary([D1, D2])"
            )
        dictionary.check_one_each("lmbdas", lmbdas)
        check_count("n_unfoldings", n_unfoldings, low=0)
        layers = [TrainableDictionary(D, unit_norm) for D in dictionary.layers]
        self.layers = nn.ModuleList(layers)
        self.n_unfoldings, self.joint = n_unfoldings, joint
        self.accelerated, self.positive = accelerated, positive
        self.log_lmbdas = nn.ParameterList(
            log_parameter(f"lmbdas[{i}]", lmbda, layer)
            for i, (lmbda, layer) in enumerate(zip(lmbdas, layers, strict=True))
        )
        self.log_step_sizes = nn.Parameter(
            torch.stack([log_step_size(D) for D in dictionary.layers])
        )

    @property
    def lmbdas(self) -> list[torch.Tensor]:
        """Lambda of each layer's atoms, ``(K_i,)``."""
        return [logs.exp() for logs in self.log_lmbdas]

    @property
    def step_sizes(self) -> torch.Tensor:
        """mu_i, ``(L,)``."""
        return self.log_step_sizes.exp()

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Codes of all layers, ``(N, K_i, *V_i)``, of signals ``(N, C, *S)``."""
        with full_precision(x, self.layers[0]) as x:
            return self._codes(x)[0]

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """``D_1 ... D_L z``, signals ``(N, C, *S)``, of the deepest codes z of ``x``."""
        with full_precision(x, self.layers[0]) as x:
            codes, convolutions = self._codes(x)
            return _chain(codes[-1], convolutions)[0]

    def _codes(self, x):
        """Codes of all layers, and the convolution of each."""
        convolutions, spatial_shape = [], tuple(x.shape[2:])
        for layer in self.layers:
            convolutions.append(layer.convolution(spatial_shape))
            spatial_shape = convolutions[-1].spatial_code_shape
        if self.joint:
            return self._joint_codes(x, convolutions), convolutions
        return self._layered_codes(x, convolutions), convolutions

    def _joint_codes(self, x, convolutions):
        """ML-ISTA and ML-FISTA: the letters are those of `csc.solvers.MLISTA`."""
        step_sizes, ndim = self.step_sizes.unbind(), x.ndim - 2
        products = torch.cumprod(self.step_sizes, 0).unbind()
        thresholds = [
            per_atom(product * lmbda, ndim)
            for product, lmbda in zip(products, self.lmbdas, strict=True)
        ]
        analysis = [D.scaled(mu) for D, mu in zip(convolutions, step_sizes, strict=True)]
        codes = chain = chain_old = None
        for momentum in momenta(1 + self.n_unfoldings, accelerated=self.accelerated):
            if codes is not None:
                chain_old, chain = chain, _chain(codes[-1], convolutions)
            point = _extrapolated_chain(chain, chain_old, momentum)
            codes, below = [], x
            for i, (W, threshold) in enumerate(zip(analysis, thresholds, strict=True)):
                residual = below if point is None else below - point[i]
                y = None if point is None else point[i + 1]
                below = proximal_step(y, residual, W, threshold, self.positive)
                codes.append(below)
        return codes

    def _layered_codes(self, x, convolutions):
        """Layered thresholding and layered basis pursuit."""
        codes, n, ndim = [], 1 + self.n_unfoldings, x.ndim - 2
        for D, mu, lmbda in zip(convolutions, self.step_sizes.unbind(), self.lmbdas, strict=True):
            thresholds = [per_atom(mu * lmbda, ndim)] * n
            steps = Steps([D.scaled(mu)] * n, thresholds, self.accelerated, self.positive)
            codes.append(proximal_gradient(codes[-1] if codes else x, D, steps))
        return codes

    def to_dictionary(self) -> MultiLayerDictionary:
        """The present atoms of all layers as `csc.MultiLayerDictionary`, on the CPU."""
        return MultiLayerDictionary(layer.to_dictionary() for layer in self.layers)

    def problem(self, x: torch.Tensor) -> MultiLayerProblem:
        """The `csc.MultiLayerProblem` that ML-ISTA solves approximately."""
        penalties = [l1_penalty(own, x.ndim - 2, positive=self.positive) for own in self.lmbdas]
        return MultiLayerProblem(whole_signals(x), self.to_dictionary(), penalties)

    def solver(self) -> MLISTA | MLFISTA:
        """The solver of `csc` whose ``1 + n_unfoldings`` steps from zero give the codes."""
        if not self.joint:
            raise ValueError(
                "layer by layer (joint=False), each layer has a problem and a step size of its "
                "own; there is no single solver"
            )
        step_sizes = tuple(self.step_sizes.tolist())
        if self.accelerated:
            return MLFISTA(restart=False, step_sizes=step_sizes)
        return MLISTA(step_sizes=step_sizes)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return (
            f"n_unfoldings={self.n_unfoldings}, joint={self.joint}, "
            f"accelerated={self.accelerated}, positive={self.positive}"
        )


def _chain(z, convolutions):
    """``D_{i+1} ... D_L z`` for i = 0 (signals), ..., L (``z``)."""
    chain = [z]
    for D in reversed(convolutions):
        chain.insert(0, D.synthesize(chain[0]))
    return chain


def _extrapolated_chain(chain, chain_old, momentum):
    """The chain of the extrapolated deepest codes, which is linear in them; None at zero codes."""
    if momentum == 0 or chain is None:
        return chain
    return [extrapolated(a, b, momentum) for a, b in zip(chain, chain_old, strict=True)]
