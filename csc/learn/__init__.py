"""Learners: estimators that find the atoms."""

from csc.learn.checkpoints import resume
from csc.learn.dictionary_learning import DictionaryLearning
from csc.learn.homeostasis import HomeostaticGain
from csc.learn.multilayer import MultiLayerDictionaryLearning

__all__ = ["DictionaryLearning", "HomeostaticGain", "MultiLayerDictionaryLearning", "resume"]
