"""How kernels and the functions inside them are compiled."""

import numpy as np
import pytest
from numba import njit
from numba.extending import overload

from csc.kernels.cpu import compilation
from csc.kernels.cpu.compilation import inner
from doubles.inner_kernels import from_python


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


@inner()
def largest_and_smallest(a, b):
    return max(a, b), min(a, b)


@pytest.mark.parametrize(
    "pair",
    [
        (1, 2),
        (2, 1),
        (1.5, -2),
        (np.float32(1), 2.5),
        (0.0, -0.0),
        (np.uint64(2**63), np.uint64(1)),
    ],
)
def test_max_and_min_are_pythons(pair):
    found = from_python(largest_and_smallest)(*pair)
    assert str(tuple(map(float, found))) == str((float(max(pair)), float(min(pair))))


@pytest.mark.parametrize("pair", [(np.nan, 1.0), (1.0, np.nan)])
def test_max_and_min_of_nan_are_pythons(pair):
    found = from_python(largest_and_smallest)(*pair)
    np.testing.assert_array_equal(found, (max(pair), min(pair)))


def test_the_wrapper_of_a_kernel_is_not_optimised():
    options = compilation._compiler("KernelCompiler")

    @njit(**options)
    def first(x):
        return x[0]

    assert first(np.ones(1)) == 1
    ((_, code),) = first.inspect_llvm().items()
    assert "noinline" in code
    assert "optnone" in code


def divide(a, b):
    """Known to Numba by `overload` only."""


@overload(divide)
def _divide(a, b):  # noqa: ARG001
    return lambda a, b: a / b


def test_a_function_of_numbas_is_compiled_for_the_options_of_each_caller():
    @inner(error_model="numpy")
    def with_infinity(a):
        return divide(a, 0.0)

    @inner(error_model="python")
    def with_error(a):
        return divide(a, 0.0)

    @njit
    def both(a, infinite):
        return with_infinity(a) if infinite else with_error(a)

    assert both(1.0, True) == np.inf
    with pytest.raises(ZeroDivisionError):
        both(1.0, False)
