"""Learners: estimators that find the atoms, in the manner of scikit-learn.

Here: `DictionaryLearning`, and in ``multilayer`` `MultiLayerDictionaryLearning`. A pass codes the
signals (``_encode.py``), gathers sufficient statistics (``_statistics.py``) and updates the atoms
(``_update.py``); ``_step.py`` joins the three.

May import: all but `csc.distributed`, `csc.analysis`, `csc.plot`, `csc.theory` and `csc.interop`.

A new rule for atoms is a constraint (`csc.constraints`) or a file here, called by ``_step.py``.
"""

from csc.learning._batch import WIDTH, add_pairs, join, summarise
from csc.learning._checkpoints import resume
from csc.learning._data import NONE_MISSING, SAMPLES, Signals, floats_of, groups_of, row_of
from csc.learning._dead_atoms import worst
from csc.learning._dictionary_learning import DictionaryLearning
from csc.learning._encode import Group, code, resolve_lmbda
from csc.learning._homeostasis import HomeostaticGain
from csc.learning._init import candidates
from csc.learning._memory_plan import CODING, SUMS, MemoryPlan, maps_of
from csc.learning._recentre import around, moved
from csc.learning._step import EncodedBatch
from csc.learning.multilayer._encode import LayersModel, code_layers, largest, resolve_lmbdas
from csc.learning.multilayer._learner import MultiLayerDictionaryLearning
from csc.learning.multilayer._step import DeepBatch
from csc.learning.multilayer._update import MidLayerCodes, penalty_value_of, product, slope_of

__all__ = ["DictionaryLearning", "HomeostaticGain", "MultiLayerDictionaryLearning", "resume"]
