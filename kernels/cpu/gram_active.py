"""The Gram matrix of some active codes, see `csc.kernels.cpu.active_set`."""

from csc.kernels._constants import SIMD_WIDTH
from csc.kernels.cpu.active_set import OPTIONS
from csc.kernels.cpu.compilation import entry
from csc.kernels.cpu.simd_intrinsics import add_runs, dot_runs_masked


@entry(**OPTIONS)
def gram_active(scratch, mask, atoms, runs, codes, out):
    """``out[a, b] = <d_a, M d_b>`` of the columns of some codes.

    Parameters
    ----------
    scratch : array (size,), float64
        Zeros, of the size of a flat padded signal; zeros again afterwards.
    mask : array (size,), float64
        1 where the residual counts.
    atoms : array (K, n), float64
    runs : Runs
    codes : where, atom, first, copies
        As for `descend_active`.
    out : array (A, A), float64
    """
    where, atom, first, copies = codes
    zero = atoms.dtype.type(0)
    one, reach = atoms.dtype.type(1), 0
    for g in range(len(runs.lengths)):
        reach = max(reach, runs.starts[g, runs.lengths[g] - 1] + SIMD_WIDTH)
    for a in range(len(where)):
        g = runs.shape[atom[a]]
        starts = runs.starts[g, : runs.lengths[g]]
        for sign in (one, -one):
            add_runs(atoms[atom[a]], scratch, where[a], starts, sign)
            if first.size > 0:
                for i in range(first[a], first[a + 1]):
                    add_runs(atoms[atom[a]], scratch, copies[i], starts, sign)
            if sign > 0:
                alone = first.size == 0 or first[a] == first[a + 1]
                for b in range(a, len(where)):
                    value = zero
                    if not alone or abs(where[b] - where[a]) < reach:
                        d, g = atoms[atom[b]], runs.shape[atom[b]]
                        there = runs.starts[g, : runs.lengths[g]]
                        value = dot_runs_masked(d, scratch, where[b], there, mask)
                    out[a, b] = out[b, a] = value
