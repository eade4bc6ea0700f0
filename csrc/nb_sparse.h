/* Renders a band of pixels of which most samples are dark: patches of them, in which the bound (nb_tree.h) tells which cells of
 * NB_CELL x NB_CELL samples may count, and only those are looked at.
 *
 * Patches begin at multiples of their edge, counted from the corner of the panel's plane, so that a pixel's sum is the same for
 * every roi, mask and division into panels.  A cell goes through the functions of a tile (nb_tile.h), a sample to a lane.
 * Included by nb_image.c alone. */
#ifndef NB_SPARSE_H
#define NB_SPARSE_H

#include "nb_plan.h"

enum { CELL_LANES = NB_CELL * NB_CELL };

/* The samples of a patch along one axis. */
typedef struct {
    int count;
    double place[NB_PATCH];  /* in pixels from the corner of the plane */
    int32_t pixel[NB_PATCH]; /* of the panel */
} nb_edge;

/* Its directions, of unit length: at the middle, half of what they change by along each edge, and what that neglects. */
typedef struct {
    double d[3], f[3], s[3], rho;
} nb_frame;

typedef struct {
    nb_tile tile;
    nb_cells cells;
    nb_edge edge[2];    /* fast, slow */
    int32_t from[2];    /* the pixel in the corner of the band */
    int64_t width;
    double *band;       /* sums of its pixels */
    int32_t *found;     /* orientations, to work in */
    nb_lit *lit;
    int64_t room, count;
    nb_limits *limits;  /* [crystals] */
    int failed;
} nb_worker;

/* ---- where a patch's samples are ---- */

static void sparse_edge(const nb_scene *s, const nb_sparse *sparse, const nb_panel *p, int axis, int32_t pixel, int part, nb_edge *e)
{
    const int os = s->oversample, parts = sparse->parts, first = part * os / parts, last = (part + 1) * os / parts;
    e->count = 0;
    for (int i = 0; i < sparse->edge; i++)
        for (int sub = first; sub < last; sub++) {
            e->place[e->count] = (double)p->first[axis] + (pixel + i) + (sub + 0.5) / os;
            e->pixel[e->count++] = pixel + i;
        }
}

static double edge_middle(const nb_edge *e) { return 0.5 * (e->place[0] + e->place[e->count - 1]); }
static double edge_half(const nb_edge *e) { return 0.5 * (e->place[e->count - 1] - e->place[0]); }

/* Middles of the cells, in halves of the patch's edges; they depend on the number of samples alone. */
static void sparse_cells(const nb_edge edge[2], nb_cells *cells)
{
    float *at[2] = {cells->f, cells->s};
    const int across = (edge[0].count + NB_CELL - 1) / NB_CELL, down = (edge[1].count + NB_CELL - 1) / NB_CELL;
    cells->count = across * down;
    for (int axis = 0; axis < 2; axis++) {
        const double most = edge[axis].count - 1, half = most > 0.0 ? 0.5 * most : 1.0;
        cells->half[axis] = (float)(fmin(0.5 * (NB_CELL - 1), 0.5 * most) / half);
        for (int c = 0; c < cells->count; c++) {
            const int first = NB_CELL * (axis ? c / across : c % across);
            at[axis][c] = (float)((0.5 * (first + fmin(first + NB_CELL - 1, most)) - 0.5 * most) / half);
        }
    }
    for (int c = cells->count; c % NB_FLANES; c++) cells->f[c] = cells->s[c] = 0.0f;
}

/* The frame of a flat patch.  The second derivative of P/|P| along a unit vector is at most (2/sqrt 3)/|P|^2.  Returns 0 where the
 * patch is too wide to be told anything of. */
static int flat_frame(const nb_panel *p, int layer, const double middle[2], const double half[2], nb_frame *at)
{
    double P[3];
    nb_layer_position_d(p, middle[0], middle[1], layer, P);
    const double R = sqrt(nb_dot(P, P)), skew = fabs(nb_dot(p->fdet, p->sdet));
    const double size = sqrt(half[0] * half[0] + half[1] * half[1] + 2.0 * skew * half[0] * half[1]);
    double sunk = 0.0; /* what the depth of the photons may differ by: |g'(u)| <= 1/12 */
    if (nb_at_mean_depth(p)) {
        const double height = fabs(nb_dot(p->pix0, p->odet));
        sunk = p->layer_step * (p->layer_step * p->mu) * size / (12.0 * height);
    }
    const double near = R - size - sunk;
    if (!(near > 0.5 * R)) return 0;
    for (int x = 0; x < 3; x++) at->d[x] = P[x] / R;
    const double along_f = nb_dot(at->d, p->fdet), along_s = nb_dot(at->d, p->sdet);
    for (int x = 0; x < 3; x++) {
        at->f[x] = half[0] * (p->fdet[x] - at->d[x] * along_f) / R;
        at->s[x] = half[1] * (p->sdet[x] - at->d[x] * along_s) / R;
    }
    at->rho = 0.57736 * size * size / (near * near) + sunk / near;
    return 1;
}

/* Of a curved one, from differences: two rotations, by angles that move by no more than (half edges)/distance each. */
static int curved_frame(const nb_panel *p, int layer, const double middle[2], const double half[2], nb_frame *at)
{
    double end[5][3];
    for (int i = 0; i < 5; i++) {
        const double f = middle[0] + (i == 1 ? half[0] : i == 2 ? -half[0] : 0.0);
        const double s = middle[1] + (i == 3 ? half[1] : i == 4 ? -half[1] : 0.0);
        nb_position(p, f, s, layer, end[i]);
        const double R = sqrt(nb_dot(end[i], end[i]));
        for (int x = 0; x < 3; x++) end[i][x] /= R;
    }
    for (int x = 0; x < 3; x++) {
        at->d[x] = end[0][x];
        at->f[x] = 0.5 * (end[1][x] - end[2][x]);
        at->s[x] = 0.5 * (end[3][x] - end[4][x]);
    }
    const double angle = 2.0 * (half[0] + half[1]) / fabs(p->distance);
    at->rho = angle * angle;
    return angle < 1.0;
}

/* Cells that have a pixel which is rendered, and which light reaches. */
static uint64_t sparse_wanted(const nb_scene *s, const nb_panel *p, const nb_worker *w)
{
    const nb_edge *f = &w->edge[0], *l = &w->edge[1];
    const int across = (f->count + NB_CELL - 1) / NB_CELL;
    uint64_t wanted = 0;
    if (!p->mask && !s->transmission && f->pixel[0] >= p->roi[0] && f->pixel[f->count - 1] <= p->roi[1] && l->pixel[0] >= p->roi[2]
        && l->pixel[l->count - 1] <= p->roi[3])
        return w->cells.count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << w->cells.count) - 1;
    for (int i = 0; i < l->count; i++) {
        const int32_t slow = l->pixel[i];
        if (slow < p->roi[2] || slow > p->roi[3]) continue;
        for (int j = 0; j < f->count; j++) {
            const int32_t fast = f->pixel[j];
            if (fast < p->roi[0] || fast > p->roi[1]) continue;
            if (p->mask && !p->mask[(int64_t)slow * p->fpixels + fast]) continue;
            if (s->transmission && s->transmission[nb_image_index(p, fast, slow) - s->behind] == 0.0) continue;
            wanted |= (uint64_t)1 << (i / NB_CELL * across + j / NB_CELL);
        }
    }
    return wanted;
}

/* ---- what may light it ---- */

static void sparse_put(nb_worker *w, int32_t source, int32_t crystal, int32_t orientation, uint64_t cells)
{
    if (w->count == w->room) {
        const int64_t room = 2 * w->room + 256;
        nb_lit *more = realloc(w->lit, (size_t)room * sizeof *more);
        if (!more) {
            w->failed = 1;
            return;
        }
        w->lit = more;
        w->room = room;
    }
    w->lit[w->count++] = (nb_lit){source, crystal, orientation, cells};
}

/* Lists what one source may light by one crystal; frame NULL: nothing is known, so all that is wanted. */
static void sparse_list(const nb_plan *plan, nb_worker *w, int32_t source, int32_t crystal, const nb_patch *patch, uint64_t wanted)
{
    const nb_sight *k = plan->sparse.sight + crystal;
    const int64_t number = k->block->crystal->table + plan->s->source[source].table;
    const nb_table *t = plan->s->table + number;
    const nb_most *most = plan->sparse.most + number;
    float left = 0.0f;
    if (!patch) {
        for (int32_t o = 0; o < k->count; o++) sparse_put(w, source, crystal, o, wanted);
        return;
    }
    if (!isinf(t->F_reach)) {
        const double least = sqrt(nb_dot(patch->q, patch->q)) - sqrt(nb_dot(patch->f, patch->f)) - sqrt(nb_dot(patch->s, patch->s));
        if (least - patch->rho > t->F_reach * (1.0 + 1e-9)) return;
    }
    const int64_t found = tree_orientations(k, t, most, patch, w->found, &left);
    for (int64_t i = 0; i < found; i++) {
        const double *m = k->block->crystal->abc + 9 * (int64_t)w->found[i];
        const uint64_t cells = wanted & tree_cells(k, t, most, patch, &w->cells, m, &left);
        if (cells) sparse_put(w, source, crystal, w->found[i], cells);
    }
    w->limits[crystal].left = fmax(w->limits[crystal].left, left);
}

/* ---- what does ---- */

/* Adds the crystals' F^2 L^2 under one source, those of the listed from `first` to `last`, to the cell's samples. */
static void cell_source(const nb_plan *plan, const nb_panel *p, nb_worker *w, const nb_sensor *sensor, int64_t first, int64_t last,
                        uint64_t cell, int precision)
{
    const nb_scene *s = plan->s;
    nb_tile *t = &w->tile;
    const int32_t number = w->lit[first].source;
    const nb_source *source = s->source + number;
    tile_scattering(s, t, source);
    if (s->oversample_polar) tile_polarization(s, t, source);
    if (nb_mu_differs(p) && s->oversample_thick) tile_captured(sensor, sensor->mu[number], t);
    for (int i = 0; i < t->q.lanes; i++) t->sum[i] = 0.0;
    for (int64_t next; first < last; first = next) {
        const int32_t c = w->lit[first].crystal;
        for (next = first; next < last && w->lit[next].crystal == c;) next++;
        const nb_block *block = plan->block + c;
        const nb_table *table = s->table + block->crystal->table + source->table;
        const int64_t *limit = NULL;
        if (block->interpolation != NB_NEAREST) {
            tile_limits(block, &plan->cut, t, 0);
            limit = t->limit;
        }
        if (precision == NB_MIXED)
            nb_sum_lit_vf(table, block, &t->q, t->sum, limit, w->lit + first, next - first, cell, w->limits + c);
        else
            nb_sum_lit_vd(table, block, &t->q, t->sum, limit, w->lit + first, next - first, cell, w->limits + c);
    }
    tile_weigh(s, t, source->weight, source->weight);
}

static void cell_render(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int number, int precision)
{
    const nb_scene *s = plan->s;
    nb_tile *t = &w->tile;
    const nb_edge *f = &w->edge[0], *l = &w->edge[1];
    const int across = (f->count + NB_CELL - 1) / NB_CELL, left = number % across * NB_CELL, top = number / across * NB_CELL;
    const uint64_t cell = (uint64_t)1 << number;
    for (int i = 0; i < CELL_LANES; i++) {
        const int j = left + i % NB_CELL, k = top + i / NB_CELL;
        t->at.f[i] = f->place[j < f->count ? j : f->count - 1];
        t->at.s[i] = l->place[k < l->count ? k : l->count - 1];
    }
    tile_points(p, t, layer, 0.0, 0.0);
    const int captures = nb_absorbs(p) && s->oversample_thick;
    nb_sensor sensor = plan->sensor[p - s->panel];
    if (captures) tile_capture(p, t, layer);
    if (captures && nb_mu_differs(p)) {
        sensor = tile_sensor(p, &sensor, layer, t);
        tile_prepare_captures(&sensor, t);
    }
    for (int i = 0; i < CELL_LANES / NB_LANES; i++) nb_pixel_start_vd(s, 0.0, t->p + i);
    for (int64_t first = 0, last; first < w->count; first = last) {
        int any = 0;
        for (last = first; last < w->count && w->lit[last].source == w->lit[first].source; last++) any |= (w->lit[last].cells & cell) != 0;
        if (any) cell_source(plan, p, w, &sensor, first, last, cell, precision);
    }
    for (int i = 0; i < CELL_LANES; i++) {
        const int j = left + i % NB_CELL, k = top + i / NB_CELL;
        if (j >= f->count || k >= l->count) continue;
        const int32_t fast = f->pixel[j] - w->from[0], slow = l->pixel[k] - w->from[1];
        if (fast < 0 || fast >= w->width || slow < 0 || slow >= plan->sparse.edge) continue;
        w->band[slow * w->width + fast] += t->p[i / NB_LANES].intensity[i % NB_LANES];
    }
}

static void patch_render(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int precision)
{
    const nb_scene *s = plan->s;
    const uint64_t wanted = sparse_wanted(s, p, w);
    if (!wanted) return;
    const double middle[2] = {p->pixel[0] * edge_middle(&w->edge[0]), p->pixel[1] * edge_middle(&w->edge[1])};
    const double half[2] = {p->pixel[0] * edge_half(&w->edge[0]), p->pixel[1] * edge_half(&w->edge[1])};
    nb_frame at;
    const int known = p->curved == NB_FLAT ? flat_frame(p, layer, middle, half, &at) : curved_frame(p, layer, middle, half, &at);
    w->count = 0;
    for (int32_t i = 0; i < s->sources; i++) {
        nb_patch patch;
        const double *in = s->source[i].incident, per = 1.0 / s->source[i].wavelength;
        for (int x = 0; known && x < 3; x++) {
            patch.q[x] = per * (at.d[x] - in[x]);
            patch.f[x] = per * at.f[x];
            patch.s[x] = per * at.s[x];
        }
        patch.rho = known ? per * (at.rho + 1e-15) : 0.0;
        for (int32_t c = 0; c < s->crystals; c++) sparse_list(plan, w, i, c, known ? &patch : NULL, wanted);
    }
    uint64_t cells = 0;
    for (int64_t i = 0; i < w->count; i++) cells |= w->lit[i].cells;
    for (; cells; cells &= cells - 1) cell_render(plan, p, w, layer, __builtin_ctzll(cells), precision);
}

/* ---- from samples to pixels ---- */

/* Sum of a vector of pixels' solid angles over all sub-pixels of a layer.  A symmetric rule of three points an axis with the second
 * and fourth moment of the sub-pixels' places: exact up to their sixth powers, and the same points up to three of them. */
static void sparse_solid_angles(const nb_scene *s, const nb_panel *p, nb_tile *t, int layer)
{
    const double os = s->oversample, second = (1.0 - 1.0 / (os * os)) / 12.0;
    const double fourth = (1.0 - 1.0 / (os * os)) * (3.0 - 7.0 / (os * os)) / 240.0;
    const double far = os > 1.0 ? sqrt(fourth / second) : 0.0, side = os > 1.0 ? 0.5 * second * second / fourth : 0.0;
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++) {
            const double weight = (i ? side : 1.0 - 2.0 * side) * (j ? side : 1.0 - 2.0 * side) * os * os;
            if (weight == 0.0) continue;
            tile_points(p, t, layer, (0.5 + i * far) * p->pixel[0], (0.5 + j * far) * p->pixel[1]);
            for (int v = 0; v < t->q.lanes / NB_LANES; v++) t->p[v].omega_sum += weight * nb_load_vd(t->omega + v * NB_LANES);
        }
}

/* The polarization that counts once for a pixel: of its first sample that is kept. */
static void sparse_polarization(const nb_scene *s, const nb_panel *p, nb_tile *t)
{
    for (int layer = 0; layer < p->layers; layer++)
        for (int i = 0; i < s->oversample * s->oversample; i++) {
            tile_geometry(s, p, t, layer, i / s->oversample, i % s->oversample);
            for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
                int known = 1;
                for (int v = 0; v < t->q.lanes / NB_LANES; v++) known &= !nb_bits_vd(t->p[v].polar == 0.0);
                if (known) return;
                tile_scattering(s, t, source);
                tile_polarization(s, t, source);
            }
        }
}

/* The factors that are taken once for a pixel, and its solid angle. */
static void sparse_once(const nb_scene *s, const nb_panel *p, nb_tile *t)
{
    const double points = (double)p->layers * s->oversample * s->oversample;
    nb_pixel_vd *end = t->p + t->q.lanes / NB_LANES;
    for (int i = 0; i < t->q.lanes; i++) t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
    if (!s->oversample_thick && nb_absorbs(p)) {
        tile_geometry(s, p, t, p->layers - 1, 0, 0);
        tile_capture(p, t, p->layers - 1);
    }
    for (nb_pixel_vd *pixel = t->p; pixel < end; pixel++) pixel->capture = nb_load_vd(t->capture + (pixel - t->p) * NB_LANES);
    if (!s->oversample_polar && !s->nopolar) sparse_polarization(s, p, t);
    if (s->oversample_omega) {
        for (int layer = 0; layer < p->layers; layer++) sparse_solid_angles(s, p, t, layer);
        return;
    }
    tile_geometry(s, p, t, 0, 0, 0);
    for (nb_pixel_vd *pixel = t->p; pixel < end; pixel++) {
        pixel->omega = nb_load_vd(t->omega + (pixel - t->p) * NB_LANES);
        pixel->omega_sum = points * pixel->omega;
    }
}

/* The pixels of a panel in the rows from `top` on, in raster order. */
static nb_walk sparse_walk(const nb_panel *p, int32_t top, int32_t bottom)
{
    nb_walk w = {p, 0, 0, p->roi[0], top};
    const int64_t width = p->roi[1] - p->roi[0] + 1;
    if (!p->listed) {
        w.index = (top - p->roi[2]) * width;
        w.end = (bottom + 1 - p->roi[2]) * width;
        return w;
    }
    int64_t at[2];
    for (int i = 0; i < 2; i++) {
        const int64_t place = (int64_t)(i ? bottom + 1 : top) * p->fpixels;
        int64_t low = 0, high = p->listed_count;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (p->listed[middle] < place) low = middle + 1;
            else high = middle;
        }
        at[i] = low;
    }
    w.index = at[0], w.end = at[1];
    w.slow = top;
    return w;
}

/* ---- bands ---- */

/* Rows of patches that cover a panel's roi. */
static int64_t sparse_bands(const nb_sparse *sparse, const nb_panel *p, int32_t *first)
{
    const int64_t low = (int64_t)p->first[1] + p->roi[2], high = (int64_t)p->first[1] + p->roi[3], edge = sparse->edge;
    const int64_t begin = low >= 0 ? low / edge : -((-low + edge - 1) / edge), end = high >= 0 ? high / edge : -((-high + edge - 1) / edge);
    *first = (int32_t)(begin * edge - p->first[1]);
    return end - begin + 1;
}

static int64_t sparse_units(const nb_scene *s, const nb_sparse *sparse)
{
    int64_t units = 0;
    int32_t first;
    for (int i = 0; i < s->panels; i++) units += sparse_bands(sparse, s->panel + i, &first);
    return units;
}

/* Renders one band; stops early when cancelled. */
static void sparse_render(const nb_plan *plan, nb_job *job, nb_worker *w, int64_t unit, nb_summary *r)
{
    const nb_scene *s = plan->s;
    const nb_sparse *sparse = &plan->sparse;
    const nb_panel *p = s->panel;
    const int edge = sparse->edge;
    int32_t first;
    for (int64_t bands; unit >= (bands = sparse_bands(sparse, p, &first)); p++) unit -= bands;
    const int32_t corner = (int32_t)(first + unit * edge);
    const int32_t top = corner > p->roi[2] ? corner : p->roi[2], bottom = corner + edge - 1 < p->roi[3] ? corner + edge - 1 : p->roi[3];
    const int64_t left = (int64_t)p->first[0] + p->roi[0];
    const int32_t begin = (int32_t)((left >= 0 ? left / edge : -((-left + edge - 1) / edge)) * edge - p->first[0]);
    w->from[0] = p->roi[0], w->from[1] = corner;
    w->width = p->roi[1] - p->roi[0] + 1;
    for (int64_t i = 0; i < w->width * edge; i++) w->band[i] = 0.0;
    nb_tile *t = &w->tile;
    t->q.lanes = t->at.lanes = t->at.count = CELL_LANES;
    for (int i = 0; i < CELL_LANES; i++) t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
    for (int32_t fast = begin; fast <= p->roi[1]; fast += edge)
        for (int part = 0; part < sparse->parts * sparse->parts; part++) {
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || w->failed) return;
            sparse_edge(s, sparse, p, 0, fast, part % sparse->parts, &w->edge[0]);
            sparse_edge(s, sparse, p, 1, corner, part / sparse->parts, &w->edge[1]);
            sparse_cells(w->edge, &w->cells);
            for (int layer = 0; layer < p->layers; layer++) patch_render(plan, p, w, layer, job->precision);
        }
    *r = nb_summary_of_nothing();
    nb_walk walk = sparse_walk(p, top, bottom);
    const int64_t pixels = walk.end - walk.index;
    while (walk.index < walk.end) {
        nb_fill_places(&t->at, &walk);
        t->q.lanes = t->at.lanes;
        for (int i = 0; i < t->q.lanes / NB_LANES; i++) nb_pixel_start_vd(s, 0.0, t->p + i);
        sparse_once(s, p, t);
        for (int i = 0; i < t->q.lanes; i++) {
            const int64_t place = t->at.pixel[i] - p->offset, slow = place / p->fpixels, fast = place % p->fpixels;
            t->p[i / NB_LANES].intensity[i % NB_LANES] = w->band[(slow - w->from[1]) * w->width + fast - w->from[0]];
        }
        store_tile(plan, p, t, job, r);
    }
    __atomic_fetch_add(job->progress, pixels, __ATOMIC_RELAXED);
}

#endif
