/* Renders a band of pixels of which most samples are dark: patches of them, in which the bound (nb_tree.h) tells which cells of
 * NB_CELL x NB_CELL samples may count, and only those are looked at.
 *
 * Patches begin at multiples of their edge, counted from the corner of the panel's plane, so that a pixel's sum is the same for
 * every roi, mask and division into panels.  A cell goes through the functions of a tile (nb_tile.h), a sample to a lane.
 * Included by nb_image.c alone. */
#ifndef NB_SPARSE_H
#define NB_SPARSE_H

#include "nb_patch.h"

enum { CELL_LANES = NB_CELL * NB_CELL };

/* An orientation that may light some of a patch's blocks. */
typedef struct {
    nb_lit lit; /* the bits are those of blocks */
    nb_lit_frame frame;
} nb_wide;

typedef struct {
    nb_tile tile;
    nb_parts parts;
    nb_edge edge[2];    /* fast, slow */
    int32_t from[2];    /* the pixel in the corner of the band */
    int32_t at[2];      /* the patch's first pixel on its panel */
    int64_t width;
    /* of what follows all is 0 at first */
    nb_lit *lit;
    nb_wide *wide;
    nb_lit *later;      /* those that need all sub-pixels of some of the patch's pixels */
    int64_t room, count, wide_room, wide_count, later_room, later_count;
    double *band;       /* sums of its pixels */
    uint32_t *bits;     /* [sparse.words] */
    nb_ray *ray;        /* [sources] */
    nb_limits *limits;  /* [crystals] */
    nb_frame whole;     /* of the patch with all that its pixels cover */
    int fits;           /* it does not take all sub-pixels */
    int given;          /* of `later` alone, which were found before */
    int split;          /* in several patches, as it has many samples */
    int failed;
} nb_worker;

/* ---- which of it is wanted ---- */

/* Whether a pixel is rendered and light reaches it. */
static int sparse_counts(const nb_scene *s, const nb_panel *p, int32_t x, int32_t y)
{
    if (y < p->roi[2] || y > p->roi[3] || x < p->roi[0] || x > p->roi[1]) return 0;
    if (p->mask && !p->mask[(int64_t)y * p->fpixels + x]) return 0;
    return !s->transmission || s->transmission[nb_image_index(p, x, y) - s->behind] != 0.0;
}

/* Cells of each block that have a pixel which is rendered, and which light reaches.  Returns the blocks that have some. */
static uint32_t sparse_wanted(const nb_scene *s, const nb_panel *p, const nb_worker *w, uint32_t wanted[NB_PARTS])
{
    const nb_edge *f = &w->edge[0], *l = &w->edge[1];
    const int32_t fast = w->at[0], slow = w->at[1], last_f = fast + f->pixel[f->count - 1], last_s = slow + l->pixel[l->count - 1];
    int some = 1, all = !p->mask && !s->transmission && fast >= p->roi[0] && last_f <= p->roi[1] && slow >= p->roi[2] && last_s <= p->roi[3];
    uint32_t row[NB_ROWS] = {0}; /* bits: pixels */
    if (!all) {
        some = 0, all = 1;
        for (int32_t y = slow; y <= last_s; y++)
            for (int32_t x = fast; x <= last_f; x++) {
                const int counts = sparse_counts(s, p, x, y);
                row[y - slow] |= (uint32_t)counts << (x - fast);
                some |= counts;
                all &= counts;
            }
    }
    if (all) {
        memcpy(wanted, w->parts.cells, sizeof w->parts.cells);
        return w->parts.blocks;
    }
    uint32_t blocks = 0;
    memset(wanted, 0, sizeof w->parts.cells);
    for (int i = 0; some && i < l->count; i++)
        for (int j = 0; j < f->count; j++) {
            if (!(row[l->pixel[i]] >> f->pixel[j] & 1u)) continue;
            const int at[2] = {i / NB_CELL, j / NB_CELL}, block = at[0] / NB_SPLIT * NB_SPLIT + at[1] / NB_SPLIT;
            wanted[block] |= 1u << (at[0] % NB_SPLIT * NB_SPLIT + at[1] % NB_SPLIT);
            blocks |= 1u << block;
        }
    return blocks;
}

/* ---- what may light it ---- */

/* Room for one more of `count` entries; NULL where there is none. */
static void *sparse_room(void *list, int64_t count, int64_t *room, size_t size, nb_worker *w)
{
    if (count < *room) return list;
    const int64_t more = 2 * *room + 256;
    void *larger = realloc(list, (size_t)more * size);
    if (larger) *room = more;
    else w->failed = 1;
    return larger ? larger : list;
}

static void sparse_put(nb_worker *w, nb_lit one)
{
    w->lit = sparse_room(w->lit, w->count, &w->room, sizeof *w->lit, w);
    if (!w->failed) w->lit[w->count++] = one;
}

/* The sources as the patch sees them, for one crystal. */
static void sparse_rays(const nb_plan *plan, nb_worker *w, const nb_frame *at, int32_t crystal)
{
    const nb_scene *s = plan->s;
    const double extent = sqrt(nb_dot(at->f, at->f)) + sqrt(nb_dot(at->s, at->s)) + at->rho;
    for (int32_t i = 0; i < s->sources; i++) {
        nb_ray *ray = w->ray + i;
        const nb_source *source = s->source + i;
        const int64_t number = s->crystal[crystal].table + source->table;
        ray->table = s->table + number;
        ray->most = plan->sparse.most + number;
        ray->per = 1.0 / source->wavelength;
        for (int x = 0; x < 3; x++) ray->q[x] = ray->per * (at->d[x] - source->incident[x]);
        const double far = ray->table->F_reach * (1.0 + 1e-9) + ray->per * extent;
        ray->dark = nb_dot(ray->q, ray->q) > far * far;
    }
}

/* Notes the largest that was left out of a crystal's. */
static void sparse_left(nb_worker *w, int32_t crystal, nb_vf left)
{
    for (int i = 0; i < NB_FLANES; i++)
        if (left[i] > w->limits[crystal].left) w->limits[crystal].left = left[i];
}

/* Notes an orientation that needs all sub-pixels, once. */
static void sparse_later(nb_worker *w, nb_lit one)
{
    for (int64_t i = w->split ? w->later_count : 0; i-- > 0;)
        if (w->later[i].orientation == one.orientation && w->later[i].source == one.source && w->later[i].crystal == one.crystal) return;
    w->later = sparse_room(w->later, w->later_count, &w->later_room, sizeof *w->later, w);
    if (!w->failed) w->later[w->later_count++] = one;
}

/* Lists an orientation that may light the patch under a source. */
static void sparse_candidate(const nb_plan *plan, nb_worker *w, const nb_frame *at, nb_lit one, nb_vf *largest)
{
    const nb_sight *k = plan->sparse.sight + one.crystal;
    const nb_ray *ray = w->ray + one.source;
    const double *m = k->block->crystal->abc + 9 * (int64_t)one.orientation;
    if (w->fits && k->breaks && !fit_unbroken(&w->whole, plan->s->source + one.source, m)) {
        sparse_later(w, one);
        return;
    }
    if (w->parts.count[0] <= NB_CELL && w->parts.count[1] <= NB_CELL) {
        one.cells = 1;
        sparse_put(w, one);
        return;
    }
    const nb_lit_frame frame = lit_frame_of(&k->bound, at, ray->q, ray->per, m, k->block->metric);
    if (one.cells & (one.cells - 1)) /* of one block its cells are asked at once */
        one.cells &= tree_parts(k, ray, &frame, w->parts.block_f, w->parts.block_s, w->parts.half[0], largest);
    if (!one.cells) return;
    w->wide = sparse_room(w->wide, w->wide_count, &w->wide_room, sizeof *w->wide, w);
    if (!w->failed) w->wide[w->wide_count++] = (nb_wide){one, frame};
}

/* Lists what may light the patch by one crystal: where it is a single cell at once, else by its blocks. */
static void sparse_list(const nb_plan *plan, nb_worker *w, const nb_frame *at, int32_t crystal, uint32_t blocks)
{
    const nb_sight *k = plan->sparse.sight + crystal;
    const int64_t vectors = (k->count + NB_FLANES - 1) / NB_FLANES;
    nb_vf largest = {0};
    sparse_rays(plan, w, at, crystal);
    for (int64_t i = 0; w->given && i < w->later_count && !w->failed; i++) {
        nb_lit one = w->later[i];
        one.cells = blocks;
        if (one.crystal == crystal) sparse_candidate(plan, w, at, one, &largest);
    }
    if (!w->given) tree_orientations(k, at, w->ray, plan->s->sources, w->bits, &largest);
    for (int32_t i = 0; i < plan->s->sources && !w->given; i++)
        for (int64_t v = 0; v < vectors; v++)
            for (uint32_t bits = w->bits[i * vectors + v]; bits && !w->failed; bits &= bits - 1)
                sparse_candidate(plan, w, at, (nb_lit){i, crystal, (int32_t)(v * NB_FLANES + __builtin_ctz(bits)), blocks}, &largest);
    sparse_left(w, crystal, largest);
}

/* Lists all, where nothing is known of a patch. */
static void sparse_all(const nb_plan *plan, nb_worker *w, uint32_t cells)
{
    for (int32_t i = 0; i < plan->s->sources; i++)
        for (int32_t c = 0; c < plan->s->crystals; c++)
            for (int32_t o = 0; o < plan->s->crystal[c].orientations && !w->failed; o++) sparse_put(w, (nb_lit){i, c, o, cells});
}

/* Lists what may light a block's cells. */
static void sparse_block(const nb_plan *plan, nb_worker *w, const nb_frame *at, int block, uint32_t wanted)
{
    for (int64_t i = 0, end; i < w->wide_count; i = end) {
        const int32_t crystal = w->wide[i].lit.crystal;
        const nb_sight *k = plan->sparse.sight + crystal;
        nb_vf left = {0};
        if (plan->s->crystals > 1) sparse_rays(plan, w, at, crystal);
        for (end = i; end < w->wide_count && w->wide[end].lit.crystal == crystal; end++) {
            const nb_wide *wide = w->wide + end;
            if (!(wide->lit.cells >> block & 1)) continue;
            const uint32_t cells = tree_parts(k, w->ray + wide->lit.source, &wide->frame, w->parts.cell_f[block],
                                              w->parts.cell_s[block], w->parts.half[1], &left);
            if (cells & wanted) sparse_put(w, (nb_lit){wide->lit.source, crystal, wide->lit.orientation, cells & wanted});
        }
        sparse_left(w, crystal, left);
    }
}

/* ---- what does ---- */

/* Adds the crystals' F^2 L^2 under one source, those of the listed from `first` to `last`, to the cell's samples.  same: the
 * light comes from where that of the source before came from. */
static void cell_source(const nb_plan *plan, const nb_panel *p, nb_worker *w, const nb_sensor *sensor, int64_t first, int64_t last,
                        uint32_t cell, int same, int precision)
{
    const nb_scene *s = plan->s;
    nb_tile *t = &w->tile;
    const int32_t number = w->lit[first].source;
    const nb_source *source = s->source + number;
    tile_scattering(s, t, source);
    if (s->oversample_polar && !same) tile_polarization(s, t, source, plan->axes + number);
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

/* The first samples of a cell along fast and slow. */
static void cell_corner(int block, int number, int corner[2])
{
    corner[0] = (block % NB_SPLIT * NB_SPLIT + number % NB_SPLIT) * NB_CELL;
    corner[1] = (block / NB_SPLIT * NB_SPLIT + number / NB_SPLIT) * NB_CELL;
}

/* Its samples, to the tile's lanes from `lane` on ... */
static void cell_places(const nb_panel *p, nb_worker *w, const int corner[2], int lane)
{
    nb_tile *t = &w->tile;
    const nb_edge *f = &w->edge[0], *l = &w->edge[1];
    for (int i = 0; i < CELL_LANES; i++) {
        const int j = corner[0] + i % NB_CELL, k = corner[1] + i / NB_CELL;
        t->at.f[lane + i] = (double)(p->first[0] + w->at[0]) + f->place[j < f->count ? j : f->count - 1];
        t->at.s[lane + i] = (double)(p->first[1] + w->at[1]) + l->place[k < l->count ? k : l->count - 1];
    }
}

/* ... and from them to the band's pixels. */
static void cell_add(const nb_plan *plan, nb_worker *w, const int corner[2], int from)
{
    const nb_edge *f = &w->edge[0], *l = &w->edge[1];
    const int left = corner[0], top = corner[1];
    const int right = left + NB_CELL < f->count ? left + NB_CELL : f->count, bottom = top + NB_CELL < l->count ? top + NB_CELL : l->count;
    for (int k = top; k < bottom; k++) {
        const int32_t slow = w->at[1] + l->pixel[k] - w->from[1];
        if (slow < 0 || slow >= plan->sparse.edge) continue;
        for (int j = left; j < right; j++) {
            const int32_t fast = w->at[0] + f->pixel[j] - w->from[0];
            if (fast < 0 || fast >= w->width) continue;
            const int lane = from + (k - top) * NB_CELL + j - left;
            w->band[slow * w->width + fast] += l->weight[k] * f->weight[j] * w->tile.p[lane / NB_LANES].intensity[lane % NB_LANES];
        }
    }
}

static int same_direction(const nb_source *a, const nb_source *b)
{
    return a->incident[0] == b->incident[0] && a->incident[1] == b->incident[1] && a->incident[2] == b->incident[2];
}

/* Cells of a block, `count` of them, that the same orientations light. */
static void cells_render(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int block, const int *cells, int count,
                         int precision)
{
    const nb_scene *s = plan->s;
    nb_tile *t = &w->tile;
    const uint32_t cell = 1u << cells[0];
    int corner[NB_TILE / CELL_LANES][2];
    for (int c = 0; c < count; c++) {
        cell_corner(block, cells[c], corner[c]);
        cell_places(p, w, corner[c], c * CELL_LANES);
    }
    t->q.lanes = count * CELL_LANES;
    tile_points(p, t, layer, 0.0, 0.0);
    const int captures = nb_absorbs(p) && s->oversample_thick;
    nb_sensor sensor = plan->sensor[p - s->panel];
    if (captures) tile_capture(p, t, layer);
    if (captures && nb_mu_differs(p)) {
        sensor = tile_sensor(p, &sensor, layer, t);
        tile_prepare_captures(&sensor, t);
    }
    for (int i = 0; i < t->q.lanes / NB_LANES; i++) nb_pixel_start_vd(s, 0.0, t->p + i);
    const nb_source *before = NULL;
    for (int64_t first = 0, last; first < w->count; first = last) {
        uint32_t any = 0;
        for (last = first; last < w->count && w->lit[last].source == w->lit[first].source; last++) any |= w->lit[last].cells;
        if (!(any & cell)) continue;
        const nb_source *source = s->source + w->lit[first].source;
        cell_source(plan, p, w, &sensor, first, last, cell, before && same_direction(before, source), precision);
        before = source;
    }
    for (int c = 0; c < count; c++) cell_add(plan, w, corner[c], c * CELL_LANES);
}

static void patch_cells(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int block, int precision)
{
    uint32_t cells = 0, common = ~0u;
    for (int64_t i = 0; i < w->count; i++) cells |= w->lit[i].cells, common &= w->lit[i].cells;
    const int room = cells == common ? NB_TILE / CELL_LANES : 1; /* what the same orientations light is worked on together */
    while (cells && !w->failed) {
        int number[NB_TILE / CELL_LANES], count = 0;
        for (; cells && count < room; cells &= cells - 1) number[count++] = __builtin_ctz(cells);
        cells_render(plan, p, w, layer, block, number, count, precision);
    }
}

/* Samples of a layer that w->edge has. */
static void patch_cover(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int precision)
{
    const nb_scene *s = plan->s;
    uint32_t wanted[NB_PARTS], blocks = sparse_wanted(s, p, w, wanted);
    if (!blocks) return;
    double middle[2], half[2];
    for (int axis = 0; axis < 2; axis++) {
        const nb_edge *e = &w->edge[axis];
        const double low = e->place[0], high = e->place[e->count - 1];
        middle[axis] = p->pixel[axis] * (p->first[axis] + w->at[axis] + 0.5 * (low + high));
        half[axis] = p->pixel[axis] * 0.5 * (high - low);
    }
    nb_frame at;
    const int known = patch_frame(p, layer, middle, half, &at);
    w->count = w->wide_count = 0;
    for (int32_t c = 0; known && c < s->crystals; c++) sparse_list(plan, w, &at, c, blocks);
    if (known && w->parts.count[0] <= NB_CELL && w->parts.count[1] <= NB_CELL) {
        patch_cells(plan, p, w, layer, 0, precision);
        return;
    }
    uint32_t lit = known ? 0 : blocks;
    for (int64_t i = 0; i < w->wide_count; i++) lit |= w->wide[i].lit.cells;
    for (; lit && !w->failed; lit &= lit - 1) {
        const int block = __builtin_ctz(lit);
        w->count = 0;
        if (known) sparse_block(plan, w, &at, block, wanted[block]);
        else sparse_all(plan, w, wanted[block]);
        patch_cells(plan, p, w, layer, block, precision);
    }
}

/* A patch of so many pixels along its edges, by these rules. */
static void patch_sampled(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int pixels, const int rule[2], int precision)
{
    const nb_scene *s = plan->s;
    int parts[2];
    for (int axis = 0; axis < 2; axis++) parts[axis] = (pixels * patch_count(s, &plan->sparse, rule[axis]) + NB_PATCH - 1) / NB_PATCH;
    w->split = parts[0] * parts[1] > 1;
    for (int slow = 0; slow < parts[1]; slow++)
        for (int fast = 0; fast < parts[0] && !w->failed; fast++) {
            if (__atomic_load_n(plan->block->cancel, __ATOMIC_RELAXED)) return;
            patch_samples(s, &plan->sparse, rule[0], fast, parts[0], pixels, &w->edge[0]);
            patch_samples(s, &plan->sparse, rule[1], slow, parts[1], pixels, &w->edge[1]);
            patch_parts(w->edge, &w->parts);
            patch_cover(plan, p, w, layer, precision);
        }
}

/* Whether nothing can light the patch, by w->whole. */
static int patch_dark(const nb_plan *plan, nb_worker *w)
{
    for (int32_t c = 0; c < plan->s->crystals; c++) {
        const nb_sight *k = plan->sparse.sight + c;
        const int64_t words = (k->count + NB_FLANES - 1) / NB_FLANES * plan->s->sources;
        nb_vf largest = {0};
        uint32_t some = 0;
        sparse_rays(plan, w, &w->whole, c);
        tree_orientations(k, &w->whole, w->ray, plan->s->sources, w->bits, &largest);
        for (int64_t i = 0; i < words; i++) some |= w->bits[i];
        if (some) return 0;
        sparse_left(w, c, largest);
    }
    return 1;
}

/* The rules by which the pixels of w->whole are sampled, so many along an edge.  Returns whether one takes fewer than all sub-pixels. */
static int patch_fits(const nb_plan *plan, const nb_worker *w, int pixels, int rule[2])
{
    double need[2] = {0.0, 0.0};
    rule[0] = rule[1] = NB_ALL;
    if (!fit_resolved(plan->s, &w->whole)) return 0;
    nb_frame one = w->whole;
    for (int x = 0; x < 3; x++) one.f[x] /= pixels, one.s[x] /= pixels;
    for (int c = 0; c < plan->s->crystals; c++) fit_needs(plan->sparse.sight + c, &one, plan->sparse.wavenumber, need);
    for (int axis = 0; axis < 2; axis++) rule[axis] = fit_rule(&plan->sparse.rules, need[axis]);
    return rule[0] != NB_ALL || rule[1] != NB_ALL;
}

/* The orientations in w->later, pixel by pixel: with all sub-pixels where one of them breaks off. */
static void patch_broken(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int pixels, int precision)
{
    const int32_t at[2] = {w->at[0], w->at[1]};
    w->given = 1;
    for (int slow = 0; slow < pixels; slow++)
        for (int fast = 0; fast < pixels && !w->failed; fast++) {
            int rule[2];
            w->at[0] = at[0] + fast, w->at[1] = at[1] + slow;
            int fits = patch_whole(p, layer, w->at, 1, &w->whole) && patch_fits(plan, w, 1, rule);
            for (int64_t i = 0; fits && i < w->later_count; i++) {
                const nb_lit *one = w->later + i;
                const double *m = plan->s->crystal[one->crystal].abc + 9 * (int64_t)one->orientation;
                fits = fit_unbroken(&w->whole, plan->s->source + one->source, m);
            }
            w->fits = 0;
            if (!fits) rule[0] = rule[1] = NB_ALL;
            patch_sampled(plan, p, w, layer, 1, rule, precision);
        }
    w->given = 0;
    w->at[0] = at[0], w->at[1] = at[1];
}

/* The patch at w->at. */
static void patch_render(const nb_plan *plan, const nb_panel *p, nb_worker *w, int layer, int precision)
{
    const int pixels = plan->sparse.edge;
    int rule[2] = {NB_ALL, NB_ALL};
    w->later_count = w->fits = 0;
    if (plan->sparse.rules.rules > 1 && patch_whole(p, layer, w->at, pixels, &w->whole)) {
        if (patch_dark(plan, w)) return;
        w->fits = patch_fits(plan, w, pixels, rule);
    }
    patch_sampled(plan, p, w, layer, pixels, rule, precision);
    if (w->later_count) patch_broken(plan, p, w, layer, pixels, precision);
}

/* ---- from samples to pixels ---- */

/* Sum of a vector of pixels' solid angles over all sub-pixels of a layer. */
static void sparse_solid_angles(const nb_scene *s, const nb_panel *p, nb_tile *t, int layer)
{
    const nb_three three = nb_three_of(s->oversample);
    const double far = three.far;
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++) {
            const double weight = nb_three_weight(&three, i, j);
            if (weight == 0.0) continue;
            tile_points(p, t, layer, (0.5 + i * far) * p->pixel[0], (0.5 + j * far) * p->pixel[1]);
            for (int v = 0; v < t->q.lanes / NB_LANES; v++) t->p[v].omega_sum += weight * nb_load_vd(t->omega + v * NB_LANES);
        }
}

/* The polarization that counts once for a pixel: of its first sample that is kept. */
static void sparse_polarization(const nb_plan *plan, const nb_panel *p, nb_tile *t)
{
    const nb_scene *s = plan->s;
    for (int layer = 0; layer < p->layers; layer++)
        for (int i = 0; i < s->oversample * s->oversample; i++) {
            tile_geometry(s, p, t, layer, i / s->oversample, i % s->oversample);
            for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
                int known = 1;
                for (int v = 0; v < t->q.lanes / NB_LANES; v++) known &= !nb_bits_vd(t->p[v].polar == 0.0);
                if (known) return;
                tile_scattering(s, t, source);
                tile_polarization(s, t, source, plan->axes + (source - s->source));
            }
        }
}

/* The factors that are taken once for a pixel, and its solid angle. */
static void sparse_once(const nb_plan *plan, const nb_panel *p, nb_tile *t)
{
    const nb_scene *s = plan->s;
    const double points = (double)p->layers * s->oversample * s->oversample;
    nb_pixel_vd *end = t->p + t->q.lanes / NB_LANES;
    for (int i = 0; i < t->q.lanes; i++) t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
    if (!s->oversample_thick && nb_absorbs(p)) {
        tile_geometry(s, p, t, p->layers - 1, 0, 0);
        tile_capture(p, t, p->layers - 1);
    }
    for (nb_pixel_vd *pixel = t->p; pixel < end; pixel++) pixel->capture = nb_load_vd(t->capture + (pixel - t->p) * NB_LANES);
    if (!s->oversample_polar && !s->nopolar) sparse_polarization(plan, p, t);
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
    const int64_t begin = patch_number((int64_t)p->first[1] + p->roi[2], sparse->edge);
    *first = (int32_t)(begin * sparse->edge - p->first[1]);
    return patch_number((int64_t)p->first[1] + p->roi[3], sparse->edge) - begin + 1;
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
    const int32_t begin = (int32_t)(patch_number((int64_t)p->first[0] + p->roi[0], edge) * edge - p->first[0]);
    w->from[0] = p->roi[0], w->from[1] = corner;
    w->width = p->roi[1] - p->roi[0] + 1;
    for (int64_t i = 0; i < w->width * edge; i++) w->band[i] = 0.0;
    nb_tile *t = &w->tile;
    for (int i = 0; i < NB_TILE; i++) t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
    for (int32_t fast = begin; fast <= p->roi[1]; fast += edge)
        for (int layer = 0; layer < p->layers; layer++) {
            w->at[0] = fast, w->at[1] = corner;
            patch_render(plan, p, w, layer, job->precision);
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || w->failed) return;
        }
    *r = nb_summary_of_nothing();
    nb_walk walk = sparse_walk(p, top, bottom);
    const int64_t pixels = walk.end - walk.index;
    const int32_t corner_f = p->first[0] + w->from[0], corner_s = p->first[1] + w->from[1];
    while (walk.index < walk.end) {
        nb_fill_places(&t->at, &walk);
        t->q.lanes = t->at.lanes;
        for (int i = 0; i < t->q.lanes / NB_LANES; i++) nb_pixel_start_vd(s, 0.0, t->p + i);
        sparse_once(plan, p, t);
        for (int i = 0; i < t->q.lanes; i++) {
            const int64_t fast = (int32_t)t->at.f[i] - corner_f, slow = (int32_t)t->at.s[i] - corner_s;
            t->p[i / NB_LANES].intensity[i % NB_LANES] = w->band[slow * w->width + fast];
        }
        store_tile(plan, p, t, job, r);
    }
    __atomic_fetch_add(job->progress, pixels, __ATOMIC_RELAXED);
}

#endif
