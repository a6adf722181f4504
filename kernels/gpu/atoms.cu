// Correlation of signals with codes: the adjoint of synthesis in the atoms.
//
// Left matrix: the codes, an atom a row. Right: the patches, a sample a column. The long sum over
// positions is cut into parts, one a block; a block adds up in float64 what it sums in the precision
// of the signals over TOGETHER positions at a time.

const int TOGETHER = 1024;

template <typename T> struct Moments {
    const T *x, *z;
    const Shape &g;
    Place begin;  // of the positions
    int first_atom, depth;
    Place *under, *codes;  // where the patches and the codes of this turn begin
    const Place *offsets;  // where each column's sample lies in a patch

    static const bool rows_first = false;

    __device__ void turn(int first) const {
        if (threadIdx.x >= DEPTH || first + (int)threadIdx.x >= depth) return;
        under[threadIdx.x] = sample_of(g, begin + first + threadIdx.x);
        codes[threadIdx.x] = code_of(g, begin + first + threadIdx.x);
    }
    __device__ T left(int, int p, int row) const {
        int k = first_atom + row;
        return k < g.atoms ? z[codes[p] + k * places_of(g)] : (T)0;
    }
    __device__ T right(int, int p, int column) const { return x[under[p] + offsets[column]]; }
};

template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS)
correlate_atoms(const T *x, const T *z, Shape g, Place part, double *sums_of_parts) {
    typedef Tile<T, ROWS, REACH> Tiles;
    __shared__ Tiles tile;
    __shared__ Place under[DEPTH], codes[DEPTH], offsets[Tiles::WIDTH];
    T sums[REACH][REACH];
    int samples = g.channels * extent_of(g), first_atom = blockIdx.y * tile.HEIGHT;
    int first_sample = blockIdx.z * tile.WIDTH;
    for (int i = threadIdx.x; i < tile.WIDTH; i += THREADS)
        offsets[i] = offset_of(g, least(first_sample + i, samples - 1));
    Place begin = blockIdx.x * part, end = least(begin + part, g.signals * places_of(g));
    double *totals = sums_of_parts + (Place)blockIdx.x * g.atoms * samples;
    for (Place some = begin; some < end; some += TOGETHER) {
        int depth = (int)least(end - some, (Place)TOGETHER);
        Moments<T> matrices = {x, z, g, some, first_atom, depth, under, codes, offsets};
        tile.multiply(matrices, depth, sums);
        for (int a = 0; a < REACH; a++)
            for (int i = 0; i < REACH; i++) {
                int k = first_atom + tile.row(a), p = first_sample + tile.column(i);
                if (k >= g.atoms || p >= samples) continue;
                double *total = totals + (Place)k * samples + p;
                *total = (some == begin ? 0.0 : *total) + sums[a][i];
            }
    }
}
