// Second moments of sparse codes. One block works on one atom and a part of its codes. A thread owns
// some lags and some samples, so threads never wait and no two threads add to the same sum.

struct Codes {  // as `moments.CODES`: codes sorted by (n, v0, v1, v2, k)
    int atoms, wraps, lags[3];  // q: lags of 0 to q - 1 each way
};

template <typename T>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
moments(const T *x, Shape g, Codes c, const Offset *position, const Offset *atom,
        const double *value, const Offset *first, const Offset *by_atom, const Offset *bounds,
        double *phi, double *psi) {
    int k = blockIdx.x, samples = g.channels * extent_of(g);
    int wide1 = 2 * c.lags[1] - 1, wide2 = 2 * c.lags[2] - 1;
    Offset all = (2 * (Offset)c.lags[0] - 1) * wide1 * wide2;
    Offset slab = blockIdx.y * (Offset)c.atoms + k;
    Offset number = bounds[k + 1] - bounds[k];
    Offset from = bounds[k] + number * blockIdx.y / gridDim.y;
    Offset to = bounds[k] + number * (blockIdx.y + 1) / gridDim.y;
    for (Offset i = from; i < to; i++) {
        Offset at = position[by_atom[i]], row = at / g.positions[2], plane = row / g.positions[1];
        int a2 = at % g.positions[2], a1 = row % g.positions[1], a0 = plane % g.positions[0];
        double code = value[by_atom[i]];
        const T *patch = x + sample_of(g, at);
        for (int p = threadIdx.x; p < samples; p += THREADS_PER_BLOCK)
            psi[slab * samples + p] += code * patch[offset_of(g, p)];
        for (int lag = threadIdx.x; lag < c.lags[0] * wide1 * wide2; lag += THREADS_PER_BLOCK) {
            int d2 = lag % wide2 - c.lags[2] + 1, d1 = lag / wide2 % wide1 - c.lags[1] + 1;
            int d0 = lag / wide2 / wide1;  // only lags after zero: the others follow by symmetry
            if (d0 == 0 && (d1 < 0 || (d1 == 0 && d2 < 0))) continue;
            int b[3] = {a0 + d0, a1 + d1, a2 + d2};
            bool inside = true;
            for (int a = 0; a < 3; a++) {
                int v = g.positions[a];
                if (c.wraps) b[a] = (b[a] % v + v) % v;
                inside = inside && b[a] >= 0 && b[a] < v;
            }
            if (!inside) continue;
            Offset there = (plane - a0 + b[0]) * g.positions[1] + b[1];
            there = there * g.positions[2] + b[2];
            Offset cell = ((Offset)(c.lags[0] - 1) * wide1) * wide2 + lag;
            for (Offset j = first[there]; j < first[there + 1]; j++)
                phi[(slab * c.atoms + atom[j]) * all + cell] += code * value[j];
        }
    }
}
