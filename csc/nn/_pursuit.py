"""What the pursuits of one layer share."""

from abc import abstractmethod

import torch
from torch import nn

from csc._typing import ArrayLike
from csc._validation import check_flag
from csc.nn._autocast import full_precision
from csc.nn._convolution import Convolution
from csc.nn._parameters import TrainableDictionary, l1_penalty, log_parameter, whole_signals
from csc.operators import Dictionary
from csc.problems import Problem


class Pursuit(nn.Module):
    """A dictionary and lambda as parameters, and codes that depend on them.

    Parameters
    ----------
    dictionary : Dictionary
    lmbda : float or array (K,)
    positive, unit_norm : bool
    """

    def __init__(
        self, dictionary: Dictionary, lmbda: ArrayLike, *, positive: bool, unit_norm: bool
    ):
        super().__init__()
        self.dictionary = TrainableDictionary(dictionary, unit_norm)
        self.positive = check_flag("positive", positive)
        self.log_lmbda = log_parameter("lmbda", lmbda, self.dictionary)

    @abstractmethod
    def _codes(self, x: torch.Tensor) -> tuple[torch.Tensor, Convolution]:
        """Codes of signals in the precision of the atoms, and D for signals of their spatial shape."""

    @property
    def lmbda(self) -> torch.Tensor:
        """Lambda of each atom, ``(K,)``; if every step has its own, ``(n_steps, K)``."""
        return self.log_lmbda.exp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Codes ``(N, K, *V)`` of signals ``(N, C, *S)``."""
        with full_precision(x, self.dictionary) as x:
            return self._codes(x)[0]

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """``D z``, signals ``(N, C, *S)``, of the codes z of ``x``."""
        with full_precision(x, self.dictionary) as x:
            z, D = self._codes(x)
            return D.synthesize(z)

    def to_dictionary(self) -> Dictionary:
        """The present atoms as `csc.Dictionary`, on the CPU."""
        return self.dictionary.to_dictionary()

    def problem(self, x: torch.Tensor) -> Problem:
        """The `csc.Problem` that the codes of ``x`` solve, exactly or approximately."""
        penalty = l1_penalty(self.lmbda, x.ndim - 2, positive=self.positive)
        return Problem(whole_signals(x), self.to_dictionary(), penalty)
