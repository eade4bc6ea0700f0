/* Derivatives of the image on the CPU, compiled once per instruction set (NB_ISA is the suffix of its one visible function).
 *
 * Contract: nb_gradient.h.  One pass over the samples; nothing is kept for one (gradients 7).  The pixels that are rendered
 * are cut into units of one tile in raster order, and the units into runs that do not depend on the number of threads.  A run
 * goes through its units in order and adds up in its own memory; runs are added pairwise.  So every sum is the same to the
 * bit for any number of threads, and rows do not depend on any division at all. */
#include "nb_gradient.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_gradient_lanes.h"

#define NB_RUNS 64
#define NB_MOST_MEMORY 1e9 /* bytes for the sums of all runs; with larger ones there are fewer runs */

/* What one run adds up, in one block of doubles: columns, orientations of each crystal, tables, H, b. */
typedef struct {
    int64_t columns, size;
    int64_t *orientations, *tables; /* where each begins, -1: not asked for */
    int64_t H, b, rows;             /* H: rows * rows */
} nb_account;

typedef struct {
    const nb_scene *s;
    nb_gradient *job;
    nb_course course;
    nb_asked *asked;
    nb_block *block;
    nb_axes *axes;
    nb_account account;
    double *ledger; /* [runs][account.size] */
    int64_t runs, units;
    int32_t columns, extras, vectors; /* vectors of doubles worked on at a time */
    int64_t orientations;             /* of all crystals, where they are summed */
} nb_plan;

/* Room of one thread. */
typedef struct {
    nb_places places;
    nb_vd *by;              /* rows: [vectors][columns]; sums: [columns] of one unit */
    nb_vd *extras;
    double *slope_extras;   /* an NB_REAL for each extra column */
    double *orientations;   /* an NB_REAL each: [orientations][10] of all crystals */
    int64_t limit[2 * NB_LANES] __attribute__((aligned(64)));
    nb_rows rows;
    double **tables;
    nb_sink sink;
    double given[NB_TILE] __attribute__((aligned(64))); /* weight of each lane */
    nb_chunk_vd chunk_vd;   /* one of them is used */
    nb_chunk_vf chunk_vf;
    int32_t uses;           /* additions to `orientations` since they were taken over */
} __attribute__((aligned(64))) nb_bench;

static void *room(size_t size)
{
    return aligned_alloc(64, (size + 64) / 64 * 64);
}

/* ---- one run's ledger ---- */

/* What the float (or double) sums of orientations came to, onto the run's. */
static void take_orientations(const nb_plan *plan, nb_bench *w, double *ledger)
{
    const int single = plan->vectors == 2;
    if (!plan->orientations || !w->uses) return;
    const nb_vd *at = (const nb_vd *)w->orientations;
    for (int c = 0; c < plan->s->crystals; c++) {
        if (plan->account.orientations[c] < 0) continue;
        double *to = ledger + plan->account.orientations[c];
        const double unit = plan->course.per_fluence * plan->s->fluence * plan->block[c].peak;
        for (int64_t i = 0; i < 10 * plan->s->crystal[c].orientations; i++) {
            nb_vd v = *at++;
            if (single) v = nb_part((nb_vf)v, 0) + nb_part((nb_vf)v, 1);
            to[i] += unit * nb_lane_sum(v);
        }
    }
    memset(w->orientations, 0, (size_t)(10 * plan->orientations) * sizeof(nb_vd));
    w->uses = 0;
}

/* The unit's columns onto the run's. */
static void take_columns(const nb_plan *plan, nb_bench *w, int panel, double *ledger)
{
    double *others = ledger + (int64_t)plan->s->panels * NB_PANEL_COLUMNS;
    for (int j = 0; j < plan->columns; j++) {
        const double sum = nb_lane_sum(w->by[j]);
        if (j < NB_PANEL_COLUMNS) ledger[(int64_t)panel * NB_PANEL_COLUMNS + j] += sum;
        else others[j - NB_PANEL_COLUMNS] += sum;
        w->by[j] = (nb_vd){0};
    }
}

/* ---- rows ---- */

static void add_terms(const nb_terms *t, int32_t row, const nb_vd *by, nb_vd *sum)
{
    for (int64_t j = t->start[row]; j < t->start[row + 1]; j++) *sum += t->value[j] * by[t->column[j]];
}

static void make_rows(const nb_plan *plan, nb_bench *w, int panel, int lane)
{
    for (int i = 0; i < plan->vectors; i++)
        for (int32_t row = 0; row < plan->job->rows; row++) {
            nb_vd sum = {0};
            add_terms(&plan->job->terms, row, w->by + i * plan->columns, &sum);
            add_terms(plan->job->panel_terms + panel, row, w->by + i * plan->columns, &sum);
            nb_store_vd(w->rows.value[row] + lane + i * NB_LANES, sum);
        }
}

static void store_rows(const nb_plan *plan, nb_bench *w)
{
    const nb_gradient *job = plan->job;
    const nb_places *t = &w->places;
    for (int32_t n = 0; n < w->rows.count; n++) {
        const int32_t row = w->rows.active[n];
        const int64_t first = job->place[row] * plan->s->pixels;
        const double *value = w->rows.value[row];
        if (job->image_is_float)
            for (int i = 0; i < t->count; i++) ((float *)job->image)[first + t->pixel[i]] = (float)value[i];
        else
            for (int i = 0; i < t->count; i++) ((double *)job->image)[first + t->pixel[i]] = value[i];
    }
}

/* H += J^T W J, b += J^T W r of the tile's pixels (gradients 7.4). */
static void square_rows(const nb_plan *plan, nb_bench *w, double *ledger)
{
    const nb_gradient *job = plan->job;
    const nb_places *t = &w->places;
    double weight[NB_TILE] __attribute__((aligned(64))), residual[NB_TILE] __attribute__((aligned(64)));
    double weighed[NB_TILE] __attribute__((aligned(64)));
    for (int i = 0; i < t->lanes; i++) {
        weight[i] = i < t->count ? job->weights[t->pixel[i]] : 0.0;
        residual[i] = i < t->count ? job->residual[t->pixel[i]] : 0.0;
    }
    for (int32_t n = 0; n < w->rows.count; n++) {
        const int32_t row = w->rows.active[n];
        nb_vd b = {0};
        for (int i = 0; i < t->lanes; i += NB_LANES) {
            const nb_vd v = nb_load_vd(weight + i) * nb_load_vd(w->rows.value[row] + i);
            nb_store_vd(weighed + i, v);
            b += v * nb_load_vd(residual + i);
        }
        ledger[plan->account.b + row] += nb_lane_sum(b);
        for (int32_t m = 0; m <= n; m++) {
            const int32_t other = w->rows.active[m];
            const double *value = w->rows.value[other];
            nb_vd h[2] = {{0}, {0}};
            for (int i = 0; i < t->lanes; i += 2 * NB_LANES) {
                h[0] += nb_load_vd(weighed + i) * nb_load_vd(value + i);
                h[1] += nb_load_vd(weighed + i + NB_LANES) * nb_load_vd(value + i + NB_LANES);
            }
            const int64_t low = row > other ? row : other, high = row > other ? other : row;
            ledger[plan->account.H + low * plan->account.rows + high] += nb_lane_sum(h[0] + h[1]);
        }
    }
}

/* ---- pixels ---- */

/* Weights of the tile's pixels; 0 in the padding of a sum. */
static void give(const nb_plan *plan, nb_bench *w)
{
    const double *given = plan->job->given;
    const double per_norm = 1.0 / plan->job->norm;
    const nb_places *t = &w->places;
    if (!given)
        for (int i = 0; i < t->lanes; i++) w->given[i] = 1.0;
    else {
        for (int i = 0; i < t->count; i++) w->given[i] = given[t->pixel[i]] * per_norm;
        for (int i = t->count; i < t->lanes; i++) w->given[i] = 0.0;
    }
}

/* Columns of the vectors from `lane` on, onto those there are; returns 0 where nothing is given. */
static int differentiate_lanes(const nb_plan *plan, nb_bench *w, const nb_panel *p, int lane)
{
    unsigned any = 0;
    for (int i = 0; i < plan->vectors; i++) any |= nb_bits_vd(nb_load_vd(w->given + lane + i * NB_LANES) != 0.0);
    if (!any) return 0;
    w->sink.lane = lane;
#define NB_CHUNK(suffix, per)                                                                                          \
    do {                                                                                                               \
        nb_chunk##suffix *c = &w->chunk##suffix;                                                                       \
        c->pixel = w->places.pixel + lane;                                                                             \
        for (int i = 0; i < per; i++) {                                                                                \
            c->F[i] = nb_load_vd(w->places.f + lane + i * NB_LANES);                                                    \
            c->S[i] = nb_load_vd(w->places.s + lane + i * NB_LANES);                                                    \
            c->given[i] = nb_load_vd(w->given + lane + i * NB_LANES);                                                   \
            c->by[i] = plan->job->given ? w->by : w->by + i * plan->columns;                                            \
        }                                                                                                              \
        nb_basis##suffix(&plan->course, p, c);                                                                         \
    } while (0)
    if (plan->vectors == 1) NB_CHUNK(_vd, 1);
    else NB_CHUNK(_vf, 2);
#undef NB_CHUNK
    return 1;
}

/* One unit of pixels, at most a tile. */
static void differentiate_unit(const nb_plan *plan, nb_bench *w, int64_t unit, double *ledger)
{
    const nb_gradient *job = plan->job;
    nb_walk walk = nb_walk_unit(plan->s, NB_TILE, unit);
    const int panel = (int)(walk.panel - plan->s->panel), points = walk.panel->layers * plan->s->oversample * plan->s->oversample;
    nb_fill_places(&w->places, &walk);
    give(plan, w);
    w->rows.count = job->rows;
    if (job->factors) memset(w->rows.met, 0, (size_t)job->factors);
    for (int lane = 0; lane < w->places.lanes; lane += plan->vectors * NB_LANES) {
        if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return;
        if (!job->given) memset(w->by, 0, (size_t)(plan->vectors * plan->columns) * sizeof *w->by);
        const int some = differentiate_lanes(plan, w, walk.panel, lane);
        if (!job->given) make_rows(plan, w, panel, lane);
        w->uses += some * points * plan->s->sources;
        /* as many as nb_pull adds up in float */
        if (w->uses >= (plan->vectors == 2 ? NB_BLOCK : 64 * NB_BLOCK)) take_orientations(plan, w, ledger);
    }
    if (job->given) take_columns(plan, w, panel, ledger);
    if (job->image) store_rows(plan, w);
    if (job->weights) square_rows(plan, w, ledger);
    __atomic_fetch_add(job->progress, w->places.count, __ATOMIC_RELAXED);
}

static void differentiate_run(const nb_plan *plan, nb_bench *w, int64_t run)
{
    double *ledger = plan->ledger + run * plan->account.size;
    const nb_account *a = &plan->account;
    for (int t = 0; plan->job->tables && t < plan->s->tables; t++) w->tables[t] = a->tables[t] < 0 ? NULL : ledger + a->tables[t];
    const int64_t first = run * plan->units / plan->runs, last = (run + 1) * plan->units / plan->runs;
    for (int64_t unit = first; unit < last; unit++) differentiate_unit(plan, w, unit, ledger);
    take_orientations(plan, w, ledger);
}

/* ---- memory ---- */

static void free_bench(nb_bench *w)
{
    if (!w) return;
    free(w->by), free(w->extras), free(w->slope_extras), free(w->orientations);
    free(w->rows.value), free(w->rows.active), free(w->rows.met), free(w->tables), free(w);
}

static nb_bench *make_bench(const nb_plan *plan)
{
    const nb_gradient *job = plan->job;
    const size_t rows = (size_t)job->rows + (size_t)job->factors, extras = (size_t)plan->extras;
    nb_bench *w = room(sizeof *w);
    if (!w) return NULL;
    memset(w, 0, sizeof *w);
    w->by = room((size_t)(plan->vectors * plan->columns) * sizeof *w->by);
    w->extras = room((extras * (size_t)plan->vectors) * sizeof *w->extras);
    w->slope_extras = room(extras * sizeof(nb_vd));
    w->orientations = room((size_t)(10 * plan->orientations) * sizeof(nb_vd));
    w->rows.value = room(rows * sizeof *w->rows.value);
    w->rows.active = room(rows * sizeof *w->rows.active);
    w->rows.met = room((size_t)job->factors);
    w->tables = room((size_t)plan->s->tables * sizeof *w->tables);
    if (!w->by || !w->extras || !w->slope_extras || !w->orientations || !w->rows.value || !w->rows.active
        || !w->rows.met || !w->tables) {
        free_bench(w);
        return NULL;
    }
    memset(w->by, 0, (size_t)(plan->vectors * plan->columns) * sizeof *w->by);
    memset(w->orientations, 0, (size_t)(10 * plan->orientations) * sizeof(nb_vd));
    memset(w->rows.value, 0, rows * sizeof *w->rows.value);
    for (int32_t i = 0; i < job->rows; i++) w->rows.active[i] = i;
    w->chunk_vd.extras = w->chunk_vf.extras = w->extras;
    w->chunk_vd.limit = w->chunk_vf.limit = w->limit;
    w->chunk_vd.samples.sink = w->chunk_vf.samples.sink = &w->sink;
    w->chunk_vd.orientations = (nb_vd *)w->orientations;
    w->chunk_vf.orientations = (nb_vf *)w->orientations;
    w->chunk_vd.samples.extras = (nb_vd *)w->slope_extras;
    w->chunk_vf.samples.extras = (nb_vf *)w->slope_extras;
    w->sink = (nb_sink){.first = plan->s->table, .table = job->tables ? w->tables : NULL,
                        .slot = job->slot, .share = job->share, .rows = &w->rows, .before = job->rows};
    return w;
}

/* Where each sum lies in a ledger. */
static void open_account(nb_plan *plan)
{
    const nb_scene *s = plan->s;
    const nb_gradient *job = plan->job;
    nb_account *a = &plan->account;
    a->columns = (int64_t)s->panels * NB_PANEL_COLUMNS + plan->columns - NB_PANEL_COLUMNS;
    a->size = job->given ? a->columns : 0;
    for (int c = 0; c < s->crystals; c++) {
        a->orientations[c] = -1;
        if (!job->orientations || !job->orientations[c]) continue;
        a->orientations[c] = a->size;
        a->size += 10 * s->crystal[c].orientations;
        plan->orientations += s->crystal[c].orientations;
    }
    for (int t = 0; t < s->tables; t++) {
        a->tables[t] = -1;
        if (!job->tables || !job->tables[t]) continue;
        a->tables[t] = a->size;
        a->size += (int64_t)s->table[t].F_count[0] * s->table[t].F_count[1] * s->table[t].F_count[2];
    }
    a->rows = job->weights ? job->rows + job->factors : 0;
    a->H = a->size;
    a->b = a->H + a->rows * a->rows;
    a->size = a->b + a->rows;
    plan->runs = NB_RUNS;
    while (plan->runs > 1 && (double)plan->runs * (double)a->size * 8.0 > NB_MOST_MEMORY) plan->runs /= 2;
}

/* Adds the runs pairwise, and hands the sums over. */
static void close_account(nb_plan *plan)
{
    const nb_scene *s = plan->s;
    nb_gradient *job = plan->job;
    const nb_account *a = &plan->account;
    for (int64_t step = 1; step < plan->runs; step *= 2)
        for (int64_t run = 0; run + step < plan->runs; run += 2 * step)
            for (int64_t i = 0; i < a->size; i++) plan->ledger[run * a->size + i] += plan->ledger[(run + step) * a->size + i];
    if (job->given) memcpy(job->sums, plan->ledger, (size_t)a->columns * sizeof(double));
    for (int c = 0; c < s->crystals; c++)
        if (a->orientations[c] >= 0)
            memcpy(job->orientations[c], plan->ledger + a->orientations[c],
                   (size_t)(10 * s->crystal[c].orientations) * sizeof(double));
    for (int t = 0; t < s->tables; t++)
        if (a->tables[t] >= 0)
            memcpy(job->tables[t], plan->ledger + a->tables[t],
                   (size_t)s->table[t].F_count[0] * s->table[t].F_count[1] * s->table[t].F_count[2] * sizeof(double));
    if (!a->rows) return;
    memcpy(job->H, plan->ledger + a->H, (size_t)(a->rows * a->rows) * sizeof(double));
    memcpy(job->b, plan->ledger + a->b, (size_t)a->rows * sizeof(double));
}

/* ---- the whole image ---- */

static int differentiate_runs(const nb_plan *plan)
{
    int failed = 0;
#ifdef _OPENMP
    const int threads = plan->job->threads > 0 ? plan->job->threads : omp_get_max_threads();
#pragma omp parallel num_threads(threads)
#endif
    {
        nb_bench *bench = make_bench(plan);
        if (!bench) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, 1)
        for (int64_t run = 0; run < plan->runs; run++) {
            if (__atomic_load_n(plan->job->cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            differentiate_run(plan, bench, run);
        }
        free_bench(bench);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(plan->job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}

static int differentiate_plan(nb_plan *plan)
{
    const nb_scene *s = plan->s;
    nb_gradient *job = plan->job;
    for (int c = 0; c < s->crystals; c++) {
        plan->block[c] = nb_block_of(s, s->crystal + c, job->cancel);
        plan->asked[c] = job->asked[c];
        plan->asked[c].block = plan->block + c;
        if (plan->asked[c].extras > plan->extras) plan->extras = plan->asked[c].extras;
    }
    for (int i = 0; i < s->sources; i++) plan->axes[i] = nb_axes_of(s->polar_vector, s->source[i].incident);
    plan->course = nb_course_of(s, &job->layout, plan->asked, job->asks, plan->axes, job->cut, job->given ? job->norm : 1.0);
    open_account(plan);
    plan->ledger = calloc((size_t)(plan->runs * plan->account.size) + 1, sizeof *plan->ledger);
    if (!plan->ledger) return NB_NO_MEMORY;
    const int status = differentiate_runs(plan);
    if (status == NB_OK) close_account(plan);
    free(plan->ledger);
    return status;
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_differentiate_, NB_ISA)(const nb_scene *s, nb_gradient *job)
{
    nb_plan plan = {.s = s, .job = job, .columns = job->layout.columns, .units = nb_units(s, NB_TILE),
                    .vectors = job->precision == NB_MIXED ? 2 : 1};
    plan.asked = malloc((size_t)s->crystals * sizeof *plan.asked);
    plan.block = malloc((size_t)s->crystals * sizeof *plan.block);
    plan.axes = malloc((size_t)s->sources * sizeof *plan.axes);
    plan.account.orientations = malloc((size_t)s->crystals * sizeof(int64_t));
    plan.account.tables = malloc((size_t)s->tables * sizeof(int64_t));
    const int has = plan.asked && plan.block && plan.axes && plan.account.orientations && plan.account.tables;
    const int status = has ? differentiate_plan(&plan) : NB_NO_MEMORY;
    free(plan.asked), free(plan.block), free(plan.axes), free(plan.account.orientations), free(plan.account.tables);
    return status;
}
