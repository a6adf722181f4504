// Second moments of sparse codes. An atom and a share of its codes are the work of one block; a
// thread owns some lags and some samples, so nobody waits and nobody adds to a neighbour's sums.

struct Codes {  // as `moments.CODES`: codes in the order of their places (n, v0, v1, v2, k)
    int atoms, wraps, lags[3];  // q: lags of 0 to q - 1 each way
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
moments(const T *x, Shape g, Codes c, const Place *position, const Place *atom, const double *value,
        const Place *first, const Place *by_atom, const Place *bounds, double *phi, double *psi) {
    int k = blockIdx.x, samples = g.channels * extent_of(g);
    int wide1 = 2 * c.lags[1] - 1, wide2 = 2 * c.lags[2] - 1;
    Place all = (2 * (Place)c.lags[0] - 1) * wide1 * wide2, slab = blockIdx.y * (Place)c.atoms + k;
    Place number = bounds[k + 1] - bounds[k];
    Place from = bounds[k] + number * blockIdx.y / gridDim.y;
    Place to = bounds[k] + number * (blockIdx.y + 1) / gridDim.y;
    for (Place i = from; i < to; i++) {
        Place at = position[by_atom[i]], row = at / g.positions[2], plane = row / g.positions[1];
        int a2 = at % g.positions[2], a1 = row % g.positions[1], a0 = plane % g.positions[0];
        double code = value[by_atom[i]];
        const T *patch = x + sample_of(g, at);
        for (int p = threadIdx.x; p < samples; p += THREADS)
            psi[slab * samples + p] += code * patch[offset_of(g, p)];
        for (int lag = threadIdx.x; lag < c.lags[0] * wide1 * wide2; lag += THREADS) {
            int d2 = lag % wide2 - c.lags[2] + 1, d1 = lag / wide2 % wide1 - c.lags[1] + 1;
            int d0 = lag / wide2 / wide1;  // only lags after zero: the others mirror them
            if (d0 == 0 && (d1 < 0 || (d1 == 0 && d2 < 0))) continue;
            int b[3] = {a0 + d0, a1 + d1, a2 + d2};
            bool inside = true;
            for (int a = 0; a < 3; a++) {
                int v = g.positions[a];
                if (c.wraps) b[a] = (b[a] % v + v) % v;
                inside = inside && b[a] >= 0 && b[a] < v;
            }
            if (!inside) continue;
            Place there = (plane - a0 + b[0]) * g.positions[1] + b[1];
            there = there * g.positions[2] + b[2];
            Place cell = ((Place)(c.lags[0] - 1) * wide1) * wide2 + lag;
            for (Place j = first[there]; j < first[there + 1]; j++)
                phi[(slab * c.atoms + atom[j]) * all + cell] += code * value[j];
        }
    }
}
