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
from numba.extending import intrinsic, models, register_model

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


class _KernelLibrary(JITCodeLibrary):
    """Code of a kernel, whose wrapper for Python is not optimised.

    It runs once in a call, and is often longer than the kernel.
    """

    def add_ir_module(self, ir_module):
        """Add what was made of a function: its code, or its wrapper."""
        if ir_module.name == "wrapper":
            for function in ir_module.functions:
                if not function.is_declaration:
                    function.attributes.add("noinline")
                    function.attributes.add("optnone")
        super().add_ir_module(ir_module)


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


class KernelCompiler(CompilerBase):
    """Numba's compiler without closures, array expressions, literal arguments and pruned branches.

    These steps find nothing in a kernel, and each goes through the whole function.
    """

    def define_pipelines(self):
        """The passes that a kernel needs."""
        state = self.state
        state.typingctx = _typing_context(state.typingctx, state.flags.get_mangle_string())
        state.targetctx = state.targetctx.subtarget(typing_context=state.typingctx)
        state.library = self._library(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = PassManager("kernel")
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]

    @staticmethod
    def _library(codegen, name):
        library = _KernelLibrary(codegen, name)
        library.enable_object_caching()
        return library


class InnerCompiler(KernelCompiler):
    """The same for functions inside kernels: the code goes into an `_InnerLibrary`."""

    _library = _InnerLibrary


@cache
def _typing_context(context, flags):
    """One for each set of compiler flags: functions of Numba's own are compiled for each."""
    return _TypingContext(context, flags)


@intrinsic
def _larger(typing, a, b):
    """`max` of two numbers: Numba compiles a function of its own for each pair of types."""
    return _one_of(typing, ">", a, b)


@intrinsic
def _smaller(typing, a, b):
    """`min` of two numbers."""
    return _one_of(typing, "<", a, b)


def _one_of(typing, relation, a, b):
    kind = typing.unify_types(types.unliteral(a), types.unliteral(b))

    def generate(context, builder, signature, given):
        first, second = (
            context.cast(builder, value, own, kind)
            for value, own in zip(given, signature.args, strict=True)
        )
        if isinstance(kind, types.Float):
            compare = builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if kind.signed else builder.icmp_unsigned
        return builder.select(compare(relation, second, first), second, first)

    return kind(a, b), generate


class _TypingContext(Context):
    """Numba's context, in which functions and operators are `_KnownFunction`."""

    __slots__ = ("_flags", "_known")

    def __init__(self, context, flags):
        self.__dict__ = context.__dict__  # all that was and will be registered there
        self._flags, self._known = flags, {}

    def resolve_value_type(self, val):
        """The type of a constant."""
        val = _larger if val is max else _smaller if val is min else val
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
