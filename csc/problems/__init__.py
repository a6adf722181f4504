"""Problems: signals, a data term, a dictionary and a penalty, and what solvers need of them.

Here: `Problem` of one layer and `MultiLayerProblem` of several; problems with complex codes; `Problem.structure` (see
`ProblemStructure`), which decides what solvers suit a problem; proximal-gradient steps.

May import: `csc.data_terms`, `csc.operators`, `csc.penalties`, `csc.certificates`, and the modules of `csc` whose
names begin with ``_``.

A new problem: the methods that `csc.solve` and the solvers call, and a certificate.
"""

from csc.problems._complex import complex_problem
from csc.problems._gradient_term import with_gradient_term, with_total_variation
from csc.problems._multilayer import MultiLayerProblem
from csc.problems._problem import Problem
from csc.problems._structure import ProblemStructure

__all__ = [
    "MultiLayerProblem",
    "Problem",
    "complex_problem",
    "with_gradient_term",
    "with_total_variation",
]
