"""Vectorised loops that the compiler does not generate by itself.

An atom and a signal are contiguous in memory only along short rows. LLVM vectorises the sum over
one row, and adds up eight numbers after each, or does not vectorise. Here two vectors of partial
sums are kept for all rows.

Rows of atoms are padded by zeros to a multiple of ``SIMD_WIDTH``, and cut into runs of that length.
The signal must be readable and writable up to there; the values beyond the atom do not change.
"""

from contextlib import contextmanager

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from csc.kernels._constants import (
    SIMD_WIDTH,
    SUMS_PER_BLOCK,
    TILE_POSITIONS,
    TILE_POSITIONS_PER_STEP,
)

REGISTER_BYTES = 32  # with 64, convolutions took a third longer


@intrinsic
def add_products(typing, source, base, offsets, first, last, values, start, sums):  # noqa: ARG001
    """``sums[j] += sum_i values[start + i - first] source[base + offsets[i] + j]``.

    All j < SUMS_PER_BLOCK. Eight registers of sums and one load per product: the speed is that of the cache.
    """
    return _sums_of_products((1, 8), source, offsets, values, sums)


@intrinsic
def add_products_of_four(typing, source, base, offsets, first, last, values, start, sums):  # noqa: ARG001
    """The same for four rows: row r at ``sums[SUMS_PER_BLOCK r]``, its term i at ``4 i + r``.

    Each load is used in four products. Two multipliers with a latency of four cycles need eight
    registers of sums; with twelve of them, one was spilled to memory.
    """
    return _sums_of_products((4, 2), source, offsets, values, sums)


def _sums_of_products(shape, source, offsets, values, sums):
    whole = types.int64
    signature = types.void(source, whole, offsets, whole, whole, values, whole, sums)

    def generate(context, builder, signature, given):
        rows = _Sums(context, builder, signature.args, given, (0, 5, 7), shape)
        offsets = context.make_array(signature.args[2])(context, builder, given[2]).data
        base, first, last, start = (given[i] for i in (1, 3, 4, 6))

        def place(i):
            return builder.add(base, builder.load(builder.gep(offsets, [builder.add(first, i)])))

        rows.add(builder.sub(last, first), start, place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_run(typing, source, first, step, target, at, n):  # noqa: ARG001
    """``target[at + i] = source[first + step i]`` for i < n."""
    whole = types.int64
    signature = types.void(source, whole, whole, target, whole, whole)

    def generate(context, builder, signature, given):
        source, target = _data(context, builder, signature.args, given, (0, 3))
        _, first, step, _, at, n = given
        _for_run(builder, step, n, (source, first, step), (target, at, _word(1)), lambda x, _: x)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_run(typing, source, first, target, at, step, n):  # noqa: ARG001
    """``target[at + step i] += source[first + i]`` for i < n."""
    whole = types.int64
    signature = types.void(source, whole, target, whole, whole, whole)

    def generate(context, builder, signature, given):
        source, target = _data(context, builder, signature.args, given, (0, 2))
        _, first, _, at, step, n = given
        _for_run(builder, step, n, (source, first, _word(1)), (target, at, step), builder.fadd)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_scaled_run(typing, factor, source, target, start, stop):  # noqa: ARG001
    """``target[i] += factor * source[i]`` for start <= i < stop."""
    whole = types.int64
    signature = types.void(source.dtype, source, target, whole, whole)

    def generate(context, builder, signature, given):
        source, target = _data(context, builder, signature.args, given, (1, 2))
        factor, _, _, start, stop = given
        one = _word(1)

        def combine(x, old):
            is_vector = isinstance(x.type, ir.VectorType)
            scale = _in_all_lanes(builder, factor, x.type) if is_vector else factor
            return builder.fadd(old, builder.fmul(scale, x, flags=["contract"]), flags=["contract"])

        run = (source, start, one), (target, start, one)
        _for_run(builder, one, builder.sub(stop, start), *run, combine)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def clear_run(typing, target, start, stop):  # noqa: ARG001
    """``target[i] = 0`` for start <= i < stop."""
    signature = types.void(target, types.int64, types.int64)

    def generate(context, builder, signature, given):
        (target,) = _data(context, builder, signature.args, given, (0,))
        _, start, stop = given
        run = target, start, _word(1)
        length = builder.sub(stop, start)
        _for_run(builder, _word(1), length, run, run, lambda x, _: ir.Constant(x.type, None))
        return context.get_dummy_value()

    return signature, generate


def _data(context, builder, kinds, given, arrays):
    return [context.make_array(kinds[i])(context, builder, given[i]).data for i in arrays]


def _for_run(builder, step, n, source, target, combine):
    """``target[i] = combine(source[i], target[i])``: in vectors if the step is 1, else one by one."""
    number = source[0].type.pointee
    width = REGISTER_BYTES // (4 if isinstance(number, ir.FloatType) else 8)
    is_one = builder.icmp_signed("==", step, _word(1))
    vectors = builder.select(is_one, builder.sdiv(n, _word(width)), _word(0))
    done = builder.mul(vectors, _word(width))

    def one(i, kind):
        pointers = [
            builder.bitcast(builder.gep(data, [builder.add(first, builder.mul(i, by))]), kind)
            for data, first, by in (source, target)
        ]
        x, old = (builder.load(pointer, align=1) for pointer in pointers)
        builder.store(combine(x, old), pointers[1], align=1)

    with _plain_loop(builder, _word(0), done, _word(width)) as i:
        one(i, ir.VectorType(number, width).as_pointer())
    with _plain_loop(builder, done, n, _word(1)) as i:
        one(i, number.as_pointer())


@contextmanager
def _plain_loop(builder, start, stop, step):
    """A loop that LLVM leaves as it is: neither unrolled nor vectorised, which takes long."""
    head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
    before = builder.block
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(start.type)
    index.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), body, end)
    builder.position_at_end(body)
    yield index
    index.add_incoming(builder.add(index, step), builder.block)
    builder.branch(head).set_metadata("llvm.loop", _as_it_is(builder.module))
    builder.position_at_end(end)


def _as_it_is(module):
    def text(words):
        return ir.MetaDataString(module, words)

    loop = module.add_metadata([text(f"loop {len(module.metadata)}")])
    rules = (
        [text("llvm.loop.unroll.disable")],
        [text("llvm.loop.vectorize.width"), ir.IntType(32)(1)],
    )
    loop.operands = (loop, *map(module.add_metadata, rules))  # LLVM asks that it names itself
    return loop


@intrinsic
def multiply_tile(typing, matrix, row, tile, first, steps, out):  # noqa: ARG001
    """``out[TILE_POSITIONS i + j] = sum_p matrix[row + i, p] tile[first + TILE_POSITIONS p + j]``.

    For four rows i and all j < TILE_POSITIONS_PER_STEP steps; the matrix has a multiple of four columns.
    """
    whole = types.int64
    signature = types.void(matrix, whole, tile, whole, whole, out)

    def generate(context, builder, signature, given):
        product = _TileProduct(context, builder, signature.args, given)
        product.clear()
        product.add_columns()
        return context.get_dummy_value()

    return signature, generate


class _TileProduct:
    """Four rows of a matrix times a tile, four columns at a time.

    16 multiply-adds for 12 loads and stores: 113 GFLOP/s on a core whose peak is 115. LLVM makes the
    same of a loop in Python, but takes half a second to find out how.
    """

    def __init__(self, context, builder, kinds, given):
        matrix, tile, out = (
            context.make_array(kinds[i])(context, builder, given[i]) for i in (0, 2, 5)
        )
        _, self.row, _, self.first, self.steps, _ = given
        self.builder, self.matrix, self.tile, self.out = builder, matrix.data, tile.data, out.data
        self.n_columns = builder.extract_value(matrix.shape, 1)
        self.width = 8 * REGISTER_BYTES // kinds[0].dtype.bitwidth
        self.vector = ir.VectorType(context.get_data_type(kinds[0].dtype), self.width)

    def clear(self):
        """Set the product to zero."""
        zeros = ir.Constant(self.vector, [0.0] * self.width)
        with self.columns_of_tile() as j:
            for i in range(4):
                self.builder.store(zeros, self.at(self.out, j, i), align=1)

    def add_columns(self):
        """Add the products with each four columns of the matrix."""
        builder = self.builder
        fours = builder.sdiv(self.n_columns, _word(4))
        with cgutils.for_range(builder, fours, intp=_word(0).type) as loop:
            p = builder.mul(loop.index, _word(4))
            factors = [[self.factor(i, p, q) for q in range(4)] for i in range(4)]
            tile = builder.add(self.first, builder.mul(p, _word(TILE_POSITIONS)))
            with self.columns_of_tile() as j:
                read = builder.add(tile, j)
                given = [builder.load(self.at(self.tile, read, q), align=1) for q in range(4)]
                for i, row in enumerate(factors):
                    total = builder.load(self.at(self.out, j, i), align=1)
                    for factor, x in zip(row, given, strict=True):
                        product = builder.fmul(factor, x, flags=["contract"])
                        total = builder.fadd(total, product, flags=["contract"])
                    builder.store(total, self.at(self.out, j, i), align=1)

    def factor(self, i, p, q):
        """``matrix[row + i, p + q]`` in all lanes."""
        builder = self.builder
        row = builder.mul(builder.add(self.row, _word(i)), self.n_columns)
        place = builder.add(row, builder.add(p, _word(q)))
        return _in_all_lanes(builder, builder.load(builder.gep(self.matrix, [place])), self.vector)

    @contextmanager
    def columns_of_tile(self):
        """A loop over the columns, of a register each."""
        per_step = TILE_POSITIONS_PER_STEP // self.width
        registers = self.builder.mul(self.steps, _word(per_step))
        with cgutils.for_range(self.builder, registers, intp=_word(0).type) as loop:
            yield self.builder.mul(loop.index, _word(self.width))

    def at(self, data, j, row):
        """The register from ``TILE_POSITIONS row + j`` on."""
        place = self.builder.add(j, _word(TILE_POSITIONS * row))
        pointer = self.builder.gep(data, [place])
        return self.builder.bitcast(pointer, self.vector.as_pointer())


def _in_all_lanes(builder, value, vector):
    number = ir.IntType(32)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, number(0))
    first = ir.Constant(ir.VectorType(number, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, nothing, first)


class _Sums:
    """Rows of sums of products, as many at once as stay in registers."""

    def __init__(self, context, builder, kinds, given, arrays, shape):
        def data(i):
            return context.make_array(kinds[i])(context, builder, given[i]).data

        self.builder, self.shape = builder, shape
        self.source, self.values, self.sums = map(data, arrays)
        bits = kinds[0].dtype.bitwidth
        self.width = 8 * REGISTER_BYTES // bits
        self.vector = ir.VectorType(context.get_data_type(kinds[0].dtype), self.width)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.v{self.width}f{bits}"
        self.fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def add(self, terms, start, place):
        """Add terms to all rows, as many numbers at once as the registers hold.

        Term i is ``source[place(i) + j]`` times the values from ``start + rows i`` on.
        """
        (rows, vectors), word = self.shape, _word(0).type
        for done in range(0, SUMS_PER_BLOCK, vectors * self.width):
            columns = [done + v * self.width for v in range(vectors)]
            targets = [[_word(r * SUMS_PER_BLOCK + j) for j in columns] for r in range(rows)]
            held = [[self._held(target) for target in row] for row in targets]
            with cgutils.for_range(self.builder, terms, intp=word) as loop:
                first = self.builder.add(start, self.builder.mul(loop.index, _word(rows)))
                self._add_term(place(loop.index), first, columns, held)
            for row, pointers in zip(targets, held, strict=True):
                for target, pointer in zip(row, pointers, strict=True):
                    total = self.builder.load(pointer)
                    self.builder.store(total, self._at(self.sums, target), align=1)

    def _held(self, place):
        old = self.builder.load(self._at(self.sums, place), align=1)
        return cgutils.alloca_once_value(self.builder, old)

    def _add_term(self, source, first, columns, held):
        builder = self.builder
        places = [builder.add(source, _word(j)) for j in columns]
        loaded = [builder.load(self._at(self.source, place), align=1) for place in places]
        for r, pointers in enumerate(held):
            value = builder.load(builder.gep(self.values, [builder.add(first, _word(r))]))
            same = _in_all_lanes(builder, value, self.vector)
            for x, pointer in zip(loaded, pointers, strict=True):
                total = builder.call(self.fma, [same, x, builder.load(pointer)])
                builder.store(total, pointer)

    def _at(self, data, place):
        return self.builder.bitcast(self.builder.gep(data, [place]), self.vector.as_pointer())


def _word(n):
    return ir.IntType(64)(n)


@intrinsic
def dot_runs(typing, atom, signal, first, starts):  # noqa: ARG001
    """``sum_{i, j} atom[SIMD_WIDTH i + j] * signal[first + starts[i] + j]``, j < SIMD_WIDTH."""
    signature = signal.dtype(atom, signal, types.int64, starts)

    def generate(context, builder, signature, values):
        return _RunsOfAtom(context, builder, signature.args, values).sum_of_products()

    return signature, generate


@intrinsic
def dot_runs_masked(typing, atom, signal, first, starts, mask):  # noqa: ARG001
    """``sum_{i, j} atom[SIMD_WIDTH i + j] * signal[p] * mask[p]`` with ``p = first + starts[i] + j``."""
    signature = signal.dtype(atom, signal, types.int64, starts, mask)

    def generate(context, builder, signature, values):
        masks = context.make_array(signature.args[4])(context, builder, values[4]).data
        return _RunsOfAtom(context, builder, signature.args, values).sum_of_products(masks)

    return signature, generate


@intrinsic
def add_runs(typing, atom, signal, first, starts, scale):  # noqa: ARG001
    """``signal[first + starts[i] + j] += scale * atom[SIMD_WIDTH i + j]``, j < SIMD_WIDTH."""
    signature = types.void(atom, signal, types.int64, starts, signal.dtype)

    def generate(context, builder, signature, values):
        runs = _RunsOfAtom(context, builder, signature.args, values)
        held = cgutils.alloca_once_value(builder, _in_all_lanes(builder, values[4], runs.vector))

        def add(atom, signal, _place, _of_pair):
            old = cgutils.alloca_once_value(builder, builder.load(signal, align=1))
            moved = runs.fma(builder.load(atom, align=1), builder.load(held), old)
            builder.store(moved, signal, align=1)

        runs.walk(add)
        return context.get_dummy_value()

    return signature, generate


class _RunsOfAtom:
    """The runs in which an atom and the signal under it are contiguous."""

    def __init__(self, context, builder, kinds, values):
        atom, signal, first, starts = values[:4]
        self.builder, self.first = builder, first
        self.atom = context.make_array(kinds[0])(context, builder, atom).data
        self.signal = context.make_array(kinds[1])(context, builder, signal).data
        offsets = context.make_array(kinds[3])(context, builder, starts)
        self.starts, self.n_runs = offsets.data, builder.extract_value(offsets.shape, 0)
        self.number = context.get_data_type(kinds[1].dtype)
        self.vector = ir.VectorType(self.number, SIMD_WIDTH)

    def sum_of_products(self, masks=None):
        """The sum of atom times signal, times mask if there is one."""
        builder = self.builder
        zeros = ir.Constant(self.vector, [0.0] * SIMD_WIDTH)
        totals = [cgutils.alloca_once_value(builder, zeros) for _ in range(2)]

        def add(atom, signal, place, of_pair):
            factor, total = builder.load(signal, align=1), totals[of_pair]
            if masks is not None:
                mask = builder.bitcast(builder.gep(masks, [place]), self.vector.as_pointer())
                factor = builder.fmul(factor, builder.load(mask, align=1))
            builder.store(self.fma(builder.load(atom, align=1), factor, total), total)

        self.walk(add)
        vector = builder.fadd(*map(builder.load, totals))
        parts = [builder.extract_element(vector, self.lane(i)) for i in range(SIMD_WIDTH)]
        while len(parts) > 1:
            half = len(parts) // 2
            pairs = zip(parts[:half], parts[half:], strict=True)
            parts = [builder.fadd(a, b) for a, b in pairs]
        return parts[0]

    def walk(self, visit):
        """Call ``visit(pointer into atom, pointer into signal, place, 0 or 1)`` for every run.

        The last number says which of a pair of runs it is. Two sums take less time than one, in
        which each addition waits for the one before.
        """
        builder, word = self.builder, ir.IntType(64)
        pairs = builder.sdiv(self.n_runs, word(2))
        with cgutils.for_range(builder, pairs, intp=word) as pair:
            even = builder.mul(pair.index, word(2))
            self._visit(visit, even, 0)
            self._visit(visit, builder.add(even, word(1)), 1)
        last = builder.mul(pairs, word(2))
        with builder.if_then(builder.icmp_signed("<", last, self.n_runs)):
            self._visit(visit, last, 0)

    def _visit(self, visit, run, of_pair):
        builder = self.builder
        start = builder.load(builder.gep(self.starts, [run]))
        place = builder.add(self.first, start)
        atom = builder.mul(run, ir.IntType(64)(SIMD_WIDTH))
        visit(self._vector(self.atom, atom), self._vector(self.signal, place), place, of_pair)

    def fma(self, a, b, sum_pointer):
        """``a * b + sum``, rounded once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        bits = 32 if isinstance(self.number, ir.FloatType) else 64
        name = f"llvm.fma.v{SIMD_WIDTH}f{bits}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, self.builder.load(sum_pointer)])

    def lane(self, i):
        """Number of a lane, as LLVM takes it."""
        return ir.IntType(32)(i)

    def _vector(self, data, place):
        return self.builder.bitcast(self.builder.gep(data, [place]), self.vector.as_pointer())
