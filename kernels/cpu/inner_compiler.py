"""How functions inside kernels are compiled: without machine code of their own.

The parts of Numba that are used here are not public: `compilation` says for which versions they work.
"""

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class InnerCompiler(Compiler):
    """Numba's compiler, which puts the code into an `_InnerLibrary`."""

    def define_pipelines(self):
        """Numba's passes, for another library."""
        if self.state.library is None:
            codegen = self.state.targetctx.codegen()
            self.state.library = _InnerLibrary(codegen, self.state.func_id.func_qualname)
        return super().define_pipelines()


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
