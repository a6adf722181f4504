"""Dictionary learning: estimators that learn atoms from signals, in the style of scikit-learn.

Here: `DictionaryLearning`, `KSVD`, and in ``multilayer`` `MultiLayerDictionaryLearning`. A step computes
the codes of a batch (``_encode.py``), sums their sufficient statistics (``_statistics.py``) and
updates the atoms (``_update.py``); ``_step.py`` combines the three.

May import: all but `csc.distributed`, `csc.analysis`, `csc.plot`, `csc.theory` and `csc.interop`.

A new rule for the atoms is a constraint (`csc.constraints`), or a module here that ``_step.py``
calls.
"""

from csc.learning._batch import TREE_ARITY, add_pairs, add_summaries, summarise, tree_sum
from csc.learning._checkpoints import resume
from csc.learning._data import (
    NO_MISSING_SAMPLES,
    check_observed,
    check_weight,
    codes_of_signal,
    group_signals,
)
from csc.learning._dead_atoms import worst_windows
from csc.learning._dictionary_learning import DictionaryLearning, QuietLearning
from csc.learning._encode import Group, encode, resolve_lmbda
from csc.learning._executor import MAX_GROUP_SAMPLES, SignalSource
from csc.learning._grow import grow
from csc.learning._homeostasis import HomeostaticGain
from csc.learning._init import window_candidates
from csc.learning._ksvd import KSVD
from csc.learning._memory_plan import (
    ARRAYS_WHILE_CODING,
    COPIES_OF_STATISTICS,
    MemoryPlan,
    maps_while_coding,
)
from csc.learning._recentre import extended_window_sums, shift_codes
from csc.learning._step import EncodedBatch
from csc.learning._update_dictionary import update_dictionary
from csc.learning.multilayer._encode import LayersModel, encode_layers, largest, resolve_lmbdas
from csc.learning.multilayer._learner import MultiLayerDictionaryLearning
from csc.learning.multilayer._step import LayersBatch
from csc.learning.multilayer._update import (
    MidLayerCodes,
    mid_penalty_gradient,
    mid_penalty_value,
    product,
)

__all__ = [
    "DictionaryLearning",
    "HomeostaticGain",
    "KSVD",
    "MultiLayerDictionaryLearning",
    "grow",
    "resume",
    "update_dictionary",
]
