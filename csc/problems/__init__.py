"""Problems: signals, a dictionary and a penalty, and what solvers ask of them.

Here: `Problem` of one layer and `MultiLayerProblem` of several.

May import: `csc.operators`, `csc.penalties`, `csc.certificates`, and the modules of `csc` whose
names begin with ``_``.

A new problem: the methods that `csc.solve` and the solvers ask for, and a certificate.
"""

from csc.problems._multilayer import MultiLayerProblem
from csc.problems._problem import Problem

__all__ = ["MultiLayerProblem", "Problem"]
