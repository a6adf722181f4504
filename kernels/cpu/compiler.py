"""A compiler for kernels: Numba's, without the steps that raw loops do not need.

The parts of Numba that are used here are not public: `compilation` says for which versions they work.
"""

from functools import cache

from llvmlite import binding
from numba.core import typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typing import Context
from numba.extending import models, register_model

PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.AnnotateTypes,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


class KernelCompiler(CompilerBase):
    """Numba's compiler without closures, array expressions, literal arguments and pruned branches.

    These steps find nothing in a kernel, and each goes through the whole function.
    """

    def define_pipelines(self):
        """The passes that a kernel needs."""
        state = self.state
        state.typingctx = _typing_context(state.typingctx, state.flags.get_mangle_string())
        state.targetctx = state.targetctx.subtarget(typing_context=state.typingctx)
        passes = PassManager("kernel")
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


class InnerCompiler(KernelCompiler):
    """The same for functions inside kernels: the code goes into an `_InnerLibrary`."""

    def define_pipelines(self):
        """The same passes, for another library."""
        if self.state.library is None:
            codegen = self.state.targetctx.codegen()
            self.state.library = _InnerLibrary(codegen, self.state.func_id.func_qualname)
        return super().define_pipelines()


@cache
def _typing_context(context, flags):
    """One for each set of compiler flags: functions of Numba's own are compiled for each."""
    return _TypingContext(context, flags)


class _TypingContext(Context):
    """Numba's context, in which functions and operators are `_KnownFunction`."""

    __slots__ = ("_flags", "_known")

    def __init__(self, context, flags):
        self.__dict__ = context.__dict__  # all that was and will be registered there
        self._flags, self._known = flags, {}

    def resolve_value_type(self, val):
        """The type of a constant."""
        found = super().resolve_value_type(val)
        if type(found) is not types.Function:
            return found
        if found not in self._known:
            self._known[found] = _KnownFunction(found, self._flags)
        return self._known[found]


class _KnownFunction(types.Function):
    """A function or an operator that finds its implementation once for the same types of arguments.

    Numba tries some thirty candidates for each operator in each line, twice.
    """

    def __init__(self, function, flags):
        super().__init__(function.templates)
        self._flags, self._calls = flags, {}

    @property
    def key(self):
        """Types with equal keys are equal: those of other flags have other implementations."""
        return *super().key, self._flags

    def get_call_type(self, context, args, kws):
        """The signature for these types of arguments."""
        given = args, *kws.items()
        if given not in self._calls:
            self._calls[given] = super().get_call_type(context, args, kws)
        return self._calls[given]


register_model(_KnownFunction)(models.OpaqueModel)


class _InnerLibrary(JITCodeLibrary):
    """Code that is linked into its callers before it is optimised as a whole.

    Numba's own libraries are optimised and made machine code at each level: the code of a function
    three calls deep four times.
    """

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        """Define only the pointers that Numba sets for each function, and no function."""
        pointers = (v for v in self._final_module.global_variables if not v.is_declaration)
        names = [v.name for v in pointers if v.name.startswith("_ZN08NumbaEnv")]
        text = "\n".join(f"@{name} = common global i8* null" for name in names)
        module = binding.parse_assembly(text)
        module.name = self.name
        self._codegen._add_module(module)
        self._codegen._engine.finalize_object()
        self._finalized = True
