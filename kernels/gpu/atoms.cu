// Correlation of signals with codes: the adjoint of synthesis in the atoms.
//
// Left matrix: the codes, one atom per row. Right: the patches, one sample per column. The long sum
// over positions is cut into parts, one per block. A block sums over POSITIONS_PER_SUM positions in
// the precision of the signals, and adds these sums in float64.

template <typename T> struct Moments {
    const T *x, *z;
    const Shape &g;
    Offset begin;  // of the positions
    int first_atom, depth;
    Offset *under, *codes;  // offsets of the patches and the codes of this step
    const Offset *offsets;  // offset within a patch of the sample of each column

    static const bool rows_first = false;

    __device__ void turn(int first) const {
        if (threadIdx.x >= DEPTH || first + (int)threadIdx.x >= depth) return;
        under[threadIdx.x] = sample_of(g, begin + first + threadIdx.x);
        codes[threadIdx.x] = code_of(g, begin + first + threadIdx.x);
    }
    __device__ T left(int, int p, int row) const {
        int k = first_atom + row;
        return k < g.atoms ? z[codes[p] + k * positions_of(g)] : (T)0;
    }
    __device__ T right(int, int p, int column) const { return x[under[p] + offsets[column]]; }
};

template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
correlate_atoms(const T *x, const T *z, Shape g, Offset part, double *sums_of_parts) {
    typedef Tile<T, ROWS, VALUES_PER_THREAD> Tiles;
    __shared__ Tiles tile;
    __shared__ Offset under[DEPTH], codes[DEPTH], offsets[Tiles::WIDTH];
    T sums[VALUES_PER_THREAD][VALUES_PER_THREAD];
    int samples = g.channels * extent_of(g), first_atom = blockIdx.y * tile.HEIGHT;
    int first_sample = blockIdx.z * tile.WIDTH;
    for (int i = threadIdx.x; i < tile.WIDTH; i += THREADS_PER_BLOCK)
        offsets[i] = offset_of(g, minimum(first_sample + i, samples - 1));
    Offset begin = blockIdx.x * part, end = minimum(begin + part, g.signals * positions_of(g));
    double *totals = sums_of_parts + (Offset)blockIdx.x * g.atoms * samples;
    for (Offset some = begin; some < end; some += POSITIONS_PER_SUM) {
        int depth = (int)minimum(end - some, (Offset)POSITIONS_PER_SUM);
        Moments<T> matrices = {x, z, g, some, first_atom, depth, under, codes, offsets};
        tile.multiply(matrices, depth, sums);
        for (int a = 0; a < VALUES_PER_THREAD; a++)
            for (int i = 0; i < VALUES_PER_THREAD; i++) {
                int k = first_atom + tile.row(a), p = first_sample + tile.column(i);
                if (k >= g.atoms || p >= samples) continue;
                double *total = totals + (Offset)k * samples + p;
                *total = (some == begin ? 0.0 : *total) + sums[a][i];
            }
    }
}
