"""The Gram matrix of some active codes, see `csc.kernels.cpu.active_set`."""

from csc.kernels.cpu.active_set import OPTIONS, _box
from csc.kernels.cpu.compilation import entry
from csc.kernels.cpu.simd_intrinsics import add_rows, dot_rows_masked


@entry(**OPTIONS)
def gram_active(scratch, mask, atoms, boxes, codes, out):
    """``out[a, b] = <d_a, M d_b>`` of the columns of some codes.

    Parameters
    ----------
    scratch : array (size,), float64
        Zeros, of the size of a flat padded signal; zeros again afterwards.
    mask : array (size,), float64
        1 where the residual counts.
    atoms : array (K, n), float64
    boxes : Boxes
    codes : where, atom, first, copies
        As for `descend_active`.
    out : array (A, A), float64
    """
    where, atom, first, copies = codes
    zero = atoms.dtype.type(0)
    one, reach = atoms.dtype.type(1), 0
    for g in range(len(boxes.heights)):
        reach = max(reach, boxes.rows[g, boxes.heights[g] - 1] + boxes.widths[g])
    for a in range(len(where)):
        rows, width = _box(boxes, atom[a])
        for sign in (one, -one):
            add_rows(atoms[atom[a]], scratch, where[a], rows, width, sign)
            if first.size > 0:
                for i in range(first[a], first[a + 1]):
                    add_rows(atoms[atom[a]], scratch, copies[i], rows, width, sign)
            if sign > 0:
                alone = first.size == 0 or first[a] == first[a + 1]
                for b in range(a, len(where)):
                    value = zero
                    if not alone or abs(where[b] - where[a]) < reach:
                        d, (there, long) = atoms[atom[b]], _box(boxes, atom[b])
                        value = dot_rows_masked(d, scratch, where[b], there, long, mask)
                    out[a, b] = out[b, a] = value
