/* Tricubic interpolation of the table (canonical 7.3), stamped out for one real type like nb_math.h. */

/* Cubic Lagrange weights of the planes at -1, 0, 1, 2 for a point u in [0, 1). */
NB_FN void NB_R(nb_lagrange_weights)(NB_REAL u, NB_REAL w[4])
{
    const NB_REAL inner = (u - NB_K(1)) * (u - NB_K(2)), outer = (u + NB_K(1)) * u;
    w[0] = u * inner * NB_K(-1.0 / 6.0);
    w[1] = (u + NB_K(1)) * inner * NB_K(0.5);
    w[2] = outer * (u - NB_K(2)) * NB_K(-0.5);
    w[3] = outer * (u - NB_K(1)) * NB_K(1.0 / 6.0);
}

/* Weighted sum over the 4 x 4 x 4 of `values` (laid out as t->F) from place `corner` on; w: weights along h, k, l. */
NB_FN NB_REAL NB_R(nb_tricubic_sum)(const nb_table *t, const NB_SCALAR *values, int64_t corner, NB_REAL w[3][4])
{
    const int64_t row = t->F_count[2], plane = row * t->F_count[1];
    NB_REAL sum = NB_SET(NB_K(0));
    for (int i = 0; i < 4; i++) {
        NB_REAL in_plane = NB_SET(NB_K(0));
        for (int j = 0; j < 4; j++) {
            const NB_SCALAR *p = values + (corner + i * plane + j * row);
            in_plane += w[1][j] * (p[0] * w[2][0] + p[1] * w[2][1] + p[2] * w[2][2] + p[3] * w[2][3]);
        }
        sum += w[0][i] * in_plane;
    }
    return sum;
}
