"""`inner` functions: in the code of their callers, and nowhere else."""

import numpy as np
from numba import njit

from csc.kernels.cpu import compilation
from csc.kernels.cpu.compilation import inner


def test_a_newer_numba_compiles_in_its_own_way(monkeypatch):
    monkeypatch.setattr(compilation, "NEWEST_KNOWN_NUMBA", (0, 1))

    @inner()
    def double(x):
        return 2 * x

    @njit
    def quadruple(x):
        return double(double(x))

    assert quadruple(1.5) == 6.0
    (compiled,) = double.overloads.values()
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) != 0


def test_an_inner_function_becomes_machine_code_only_within_its_callers():
    weights = (2.0, 3.0)

    @inner()
    def weigh(x, i):
        return weights[i] * x[i]

    @njit
    def total(x):
        sum_ = 0.0
        for i in range(x.size):
            sum_ += weigh(x, i)
        return sum_

    assert total(np.array([1.0, 10.0])) == 32.0
    (compiled,) = weigh.overloads.values()
    name = compiled.fndesc.llvm_func_name
    assert compiled.library.get_pointer_to_function(name) == 0
