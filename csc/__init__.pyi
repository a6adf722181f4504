"""What a type checker reads of `csc`, whose names load when first used."""

from csc import analysis as analysis
from csc import certificates as certificates
from csc import constraints as constraints
from csc import datasets as datasets
from csc import distributed as distributed
from csc import images as images
from csc import interop as interop
from csc import io as io
from csc import learning as learning
from csc import nn as nn
from csc import operators as operators
from csc import penalties as penalties
from csc import plot as plot
from csc import problems as problems
from csc import restoration as restoration
from csc import solvers as solvers
from csc import testing as testing
from csc import theory as theory
from csc._backend import to_device as to_device
from csc._lmbda_search import lmbda_for_sparsity as lmbda_for_sparsity
from csc._lmbda_search import lmbda_path as lmbda_path
from csc._lmbda_search import noise_constrained as noise_constrained
from csc._show_versions import show_versions as show_versions
from csc._solve import Solution as Solution
from csc._solve import lmbda_max as lmbda_max
from csc._solve import solve as solve
from csc._solve import sparse_code as sparse_code
from csc.io import load as load
from csc.io import save as save
from csc.learning import DictionaryLearning as DictionaryLearning
from csc.learning import MultiLayerDictionaryLearning as MultiLayerDictionaryLearning
from csc.learning import resume as resume
from csc.operators import Dictionary as Dictionary
from csc.operators import MeasuredDictionary as MeasuredDictionary
from csc.operators import MultiLayerDictionary as MultiLayerDictionary
from csc.penalties import L0 as L0
from csc.penalties import L1 as L1
from csc.penalties import ElasticNet as ElasticNet
from csc.penalties import GroupL21 as GroupL21
from csc.penalties import LogPenalty as LogPenalty
from csc.penalties import Relative as Relative
from csc.penalties import TargetSparsity as TargetSparsity
from csc.problems import MultiLayerProblem as MultiLayerProblem
from csc.problems import Problem as Problem

__version__: str
