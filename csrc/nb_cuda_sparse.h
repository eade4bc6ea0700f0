/* Spots of a panel of which most samples are dark, on a GPU: the samples that nb_sparse.h leaves out are left out.
 *
 * A warp has a tile of 8 x 4 pixels.  Each lane tests one of 32 staged orientations against the tile's box under a source (nb_cuda_bound.h)
 * and `ballot` lists those that may light it.  Of 32 that are listed, each lane tests one against one block of 8 x 4 samples; a ballot's
 * words tell which orientations a block's samples are evaluated for, one sample to a lane, in the order of the list.  Blocks are the
 * tile's pixels where these have one sample, and parts of them where they have more: what lanes find goes to the pixels through shared
 * memory, in a fixed order.  A sample is added where it counts by itself, and tiles begin at multiples of 8 and 4 on the panel's plane, so
 * that neither the region nor the mask decides.  Included by nb_render.cu, whose macros and functions it uses. */
#ifndef NB_CUDA_SPARSE_H
#define NB_CUDA_SPARSE_H

#include "nb_cuda_bound.h"

#define NB_WARPS (NB_THREADS / NB_WARP)

/* An orientation of the chunk that may light the tile under a source. */
typedef struct {
    int32_t source, orientation;
} nb_listed_one;

/* Of a warp. */
typedef struct {
    nb_listed_one list[2 * NB_WARP];
    nb_tile_frame tile; /* of the layer */
    nb_light light;     /* the source that is looked at */
    uint32_t word[NB_WARP];
    double value[NB_WARP];
    float frame[sizeof(nb_lit_frame) / sizeof(float)][NB_WARP]; /* of the first of the list */
} nb_room;

/* What a lane has found; in shared memory, as registers are few. */
typedef struct {
    double intensity; /* of pixel `lane` */
    int64_t visited;
    float left;
} nb_gain;

/* What all functions look at. */
typedef struct {
    const nb_scene *s;
    const nb_panel *panel;
    const nb_crystal *crystal;
    const nb_part *part;
    const nb_bound *bound;
    const nb_most *most;
    const nb_constants *c;
    const nb_orientation *staged;
    nb_room *room;
    int lane, fast, slow; /* the tile's first pixel on its panel */
    uint32_t wanted;      /* its pixels that are rendered and that light reaches */
} nb_view;

NB_FN uint32_t nb_vote(bool v)
{
    return __ballot_sync(0xffffffffu, v);
}

/* ---- what may light the tile ---- */

NB_FN nb_tile_frame nb_tile_frame_of(const nb_view *v, int layer)
{
    const nb_panel *p = v->panel;
    const int count[2] = {NB_TILE_FAST * v->s->oversample, NB_TILE_SLOW * v->s->oversample}, at[2] = {v->fast, v->slow};
    const double edge[2] = {NB_TILE_FAST, NB_TILE_SLOW};
    double middle[2], half[2];
    nb_tile_frame t;
    for (int i = 0; i < 2; i++) { /* of its first and last samples */
        middle[i] = p->pixel[i] * ((double)p->first[i] + at[i] + 0.5 * edge[i]);
        half[i] = p->pixel[i] * 0.5 * edge[i] * (count[i] - 1) / count[i];
    }
#if NB_USE_CURVED
    t.known = curved_frame(p, layer, middle, half, &t.at);
#else
    t.known = flat_frame(p, layer, middle, half, &t.at);
#endif
    if (!t.known) return t;
    t.extent = sqrt(nb_dot(t.at.f, t.at.f)) + sqrt(nb_dot(t.at.s, t.at.s)) + t.at.rho;
    t.size = 0.0f;
    for (int x = 0; x < 3; x++) {
        t.f[x] = (float)t.at.f[x], t.s[x] = (float)t.at.s[x];
        t.size += fabsf(t.f[x]) + fabsf(t.s[x]);
    }
    return t;
}

/* Source number i as the tile sees it. */
NB_FN nb_light nb_light_of(const nb_view *v, const nb_tile_frame *t, int i)
{
    const nb_source *source = v->s->source + i;
    const int64_t number = v->crystal->table + source->table;
    nb_light l;
    l.table = v->s->table + number;
    l.most = v->most + number;
    l.per = 1.0 / source->wavelength;
    float sum = t->size;
    for (int x = 0; x < 3; x++) {
        const double q = t->at.d[x] - source->incident[x];
        l.q[x] = l.per * q;
        sum += fabsf((float)q);
    }
    l.rho = (float)t->at.rho + 5e-7f * sum; /* rounding: 8 ulp of the largest */
    const double far = l.table->F_reach * (1.0 + 1e-9) + l.per * t->extent;
    l.dark = nb_dot(l.q, l.q) > far * far;
    return l;
}

/* ---- what does ---- */

/* Adds up a sample's w F^2 L^2 over those of the list whose bits, of `mine`, are set in the words: 2^shift bits apart. */
NB_FN double nb_lit_sample(const nb_view *v, int layer, int x, int y, int words, uint32_t mine, int shift, nb_gain *g)
{
    const nb_scene *s = v->s;
    const nb_panel *panel = v->panel;
    const int os = s->oversample;
    double w = 0.0, total = 0.0;
    const nb_real end = (nb_real)v->bound->end, least = (nb_real)v->bound->least;
    nb_real part = 0, F_sqr = 1;
    const nb_table *t = s->table;
    nb_scattering q;
    int number = -1;
NB_ONCE
    for (int i = 0; i < words; i++)
NB_ONCE
        for (uint32_t bits = v->room->word[i] & mine; bits; bits &= bits - 1) {
            const nb_listed_one one = v->room->list[(i * NB_WARP + __ffs((int)bits) - 1) >> shift];
            if (one.source != number) {
                const nb_source *source = s->source + one.source;
                total += w * part;
                part = 0;
                number = one.source;
                t = s->table + v->crystal->table + source->table;
                /* for each source once more: registers are few */
                double d[3], sv[3], polar = 1.0, capture = 1.0;
                const double per_R = nb_direction(s, panel, v->fast + x / os, v->slow + y / os, layer, x % os, y % os, d);
                const double omega = nb_solid_angle_d(panel, per_R);
                if (nb_absorbs(panel) && s->oversample_thick)
                    capture = nb_capture_d(panel, nb_mu_differs(panel) ? panel->source_mu[number] : panel->mu, layer, d);
                if (s->oversample_polar && !s->nopolar) {
                    const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                    polar = nb_polarization_d(s->polarization, source->incident, &axes, d);
                }
                w = nb_sample_weight_d(s, source->weight, capture, polar, omega);
                nb_scattering_vector(source, d, sv);
                const double far = nb_dot(sv, sv);
                if ((s->dmin > 0.0 && !nb_resolved_d(s, far)) || far > t->F_reach * t->F_reach) w = 0.0;
#if NB_USE_TABLE == NB_TABLE_CONSTANT
                F_sqr = (nb_real)(t->default_F * t->default_F);
                w *= t->default_F * t->default_F;
#endif
                q = nb_scattering_of(sv, (float)v->part->index_bound);
            }
            const nb_orientation *m = v->staged + one.orientation;
            const nb_index index = nb_index_of(m, &q, &v->c->cells);
            nb_real L = nb_spot_at(v->c, &index);
            if (!(L > end)) L = 0;
            L = nb_with_factors(L, t, (nb_real)t->default_F, v->c, &index, 0, 1);
            if (F_sqr * L > least) part += nb_weight_of(m) * L;
            else g->left = fmaxf(g->left, (float)(F_sqr * L));
        }
    return total + w * part;
}

/* The samples of a block; what they find, to their pixels. */
NB_FN void nb_visit_block(const nb_view *v, int layer, int block, int words, uint32_t mine, int shift, nb_gain *g)
{
    const int os = v->s->oversample, left = NB_TILE_FAST * (block % os), top = NB_TILE_SLOW * (block / os);
    const int x = left + v->lane % NB_TILE_FAST, y = top + v->lane / NB_TILE_FAST;
    const bool wanted = v->wanted >> (y / os * NB_TILE_FAST + x / os) & 1u;
    if (!nb_vote(wanted)) return;
    const double value = wanted ? nb_lit_sample(v, layer, x, y, words, mine, shift, g) : 0.0;
    for (int i = 0; wanted && i < words; i++) g->visited += __popc(v->room->word[i] & mine);
    if (os == 1) {
        g->intensity += value;
        return;
    }
    v->room->value[v->lane] = value;
    __syncwarp();
    const int fast = v->lane % NB_TILE_FAST * os - left, slow = v->lane / NB_TILE_FAST * os - top; /* pixel `lane` in the block */
    double sum = 0.0;
    for (int j = slow > 0 ? slow : 0; j < slow + os && j < NB_TILE_SLOW; j++)
        for (int i = fast > 0 ? fast : 0; i < fast + os && i < NB_TILE_FAST; i++) sum += v->room->value[j * NB_TILE_FAST + i];
    g->intensity += sum;
    __syncwarp();
}

/* Whether number e of the list may light a block. */
NB_FN bool nb_may_light_block(const nb_view *v, int e, int block, const float metric[6], nb_gain *g)
{
    const int os = v->s->oversample, last[2] = {NB_TILE_FAST * os - 1, NB_TILE_SLOW * os - 1};
    const float half[2] = {(float)(NB_TILE_FAST - 1) / last[0], (float)(NB_TILE_SLOW - 1) / last[1]};
    const float f = (float)(2 * NB_TILE_FAST * (block % os) + NB_TILE_FAST - 1 - last[0]) / last[0];
    const float s = (float)(2 * NB_TILE_SLOW * (block / os) + NB_TILE_SLOW - 1 - last[1]) / last[1];
    nb_lit_frame l;
    for (int r = 0; r < 3; r++) {
        l.x[r] = v->room->frame[r][e], l.u[r] = v->room->frame[3 + r][e], l.v[r] = v->room->frame[6 + r][e];
        l.w[r] = v->room->frame[9 + r][e], l.whole[r] = v->room->frame[12 + r][e], l.size[r] = v->room->frame[15 + r][e];
    }
    nb_light light;
    const int64_t number = v->crystal->table + v->s->source[v->room->list[e].source].table;
    light.table = v->s->table + number;
    light.most = v->most + number;
    return nb_may_light_part(v->bound, &light, &l, f, s, half, metric, &g->left);
}

/* The first `count` of the list, at most 32: lanes make their frames, then test blocks. */
NB_FN void nb_visit_listed(const nb_view *v, int layer, int count, nb_gain *g)
{
    const int blocks = v->s->oversample * v->s->oversample;
    const nb_tile_frame *t = &v->room->tile;
    const bool tests = t->known && blocks > 1;
    double metric[6];
    float form[6];
    nb_spot_metric(v->crystal, metric);
    for (int j = 0; j < 6; j++) form[j] = (float)metric[j];
    if (tests && v->lane < count) {
        const nb_listed_one one = v->room->list[v->lane];
        const nb_light light = nb_light_of(v, t, one.source);
        const nb_lit_frame l = nb_lit_frame_of(v->bound, &t->at, &light, v->staged + one.orientation, metric);
        for (int r = 0; r < 3; r++) {
            v->room->frame[r][v->lane] = l.x[r], v->room->frame[3 + r][v->lane] = l.u[r], v->room->frame[6 + r][v->lane] = l.v[r];
            v->room->frame[9 + r][v->lane] = l.w[r], v->room->frame[12 + r][v->lane] = l.whole[r];
            v->room->frame[15 + r][v->lane] = l.size[r];
        }
    }
    __syncwarp();
    int shift = 0;
    while (1 << shift < blocks && 1 << shift < NB_WARP) shift++;
    const int wide = 1 << shift, per = NB_WARP >> shift, words = (count + per - 1) / per; /* wide: blocks to a word */
    const uint32_t comb = (uint32_t)(0xffffffffull / ((1ull << wide) - 1));
NB_ONCE
    for (int first = 0; first < blocks; first += wide) {
        const int block = first + (v->lane & (wide - 1));
        uint32_t any = 0;
NB_ONCE
        for (int i = 0; i < words; i++) {
            const int e = i * per + (v->lane >> shift);
            const bool real = e < count && block < blocks;
            const uint32_t bits = nb_vote(real && (!tests || nb_may_light_block(v, e, block, form, g)));
            if (v->lane == 0) v->room->word[i] = bits;
            any |= bits;
        }
        __syncwarp();
NB_ONCE
        for (int b = 0; b < wide; b++)
            if (any >> b & comb) nb_visit_block(v, layer, first + b, words, comb << b, shift, g);
        __syncwarp(); /* before the words are written again */
    }
}

/* A layer of the tile for the staged orientations. */
NB_FN void nb_visit_layer(const nb_view *v, int layer, int count, nb_gain *g)
{
    nb_room *room = v->room;
    int listed = 0;
    if (v->lane == 0) room->tile = nb_tile_frame_of(v, layer);
    __syncwarp();
NB_ONCE
    for (int i = 0; i < v->s->sources; i++) {
        if (v->lane == 0 && room->tile.known) room->light = nb_light_of(v, &room->tile, i);
        __syncwarp();
NB_ONCE
        for (int first = 0; first < count; first += NB_WARP) {
            const int o = first + v->lane;
            bool may = o < count;
            if (may && room->tile.known) may = nb_may_light(v->bound, v->staged + o, &room->tile, &room->light, &g->left);
            const uint32_t bits = nb_vote(may);
            const nb_listed_one one = {i, o};
            if (may) room->list[listed + __popc(bits & ((1u << v->lane) - 1u))] = one;
            listed += __popc(bits);
            __syncwarp();
            const bool last = first + NB_WARP >= count && i + 1 == v->s->sources;
NB_ONCE
            while (listed >= NB_WARP || (last && listed > 0)) {
                nb_visit_listed(v, layer, listed < NB_WARP ? listed : NB_WARP, g);
                listed = listed > NB_WARP ? listed - NB_WARP : 0;
                if (v->lane < listed) room->list[v->lane] = room->list[NB_WARP + v->lane];
                __syncwarp();
            }
        }
    }
}

/* ---- the pixel ---- */

/* Of its first sample that is kept; 0: none is. */
NB_FN double nb_first_polarization(const nb_scene *s, const nb_panel *panel, int fast, int slow)
{
    const int os = s->oversample, points = panel->layers * os * os;
NB_ONCE
    for (int i = 0; i < points; i++) {
        double d[3], q[3];
        nb_direction(s, panel, fast, slow, i / (os * os), i % os, i / os % os, d);
NB_ONCE
        for (int k = 0; k < s->sources; k++) {
            nb_scattering_vector(s->source + k, d, q);
            if (s->dmin > 0.0 && !nb_resolved_d(s, nb_dot(q, q))) continue;
            const nb_axes axes = nb_axes_of(s->polar_vector, s->source[k].incident);
            return nb_polarization_d(s->polarization, s->source[k].incident, &axes, d);
        }
    }
    return 0.0;
}

/* The factors that are taken once for a pixel, and its solid angle. */
NB_FN nb_pixel_d nb_pixel_once(const nb_scene *s, const nb_panel *panel, int fast, int slow)
{
    const double points = (double)panel->layers * s->oversample * s->oversample;
    nb_pixel_d p;
    double d[3];
    nb_pixel_start_d(s, 0.0, &p);
    p.omega = nb_solid_angle_d(panel, nb_direction(s, panel, fast, slow, 0, 0, 0, d));
    p.capture = 1.0;
    if (!s->oversample_thick && nb_absorbs(panel)) {
        nb_direction(s, panel, fast, slow, panel->layers - 1, 0, 0, d);
        p.capture = nb_capture_d(panel, panel->mu, panel->layers - 1, d);
    }
    if (!s->oversample_polar && !s->nopolar) p.polar = nb_first_polarization(s, panel, fast, slow);
    p.omega_sum = s->oversample_omega ? 0.0 : points * p.omega;
    if (!s->oversample_omega) return p;
    const nb_three three = nb_three_of(s->oversample);
NB_ONCE
    for (int i = 0; i < 9 * panel->layers; i++) {
        const int f = i % 3 - 1, l = i / 3 % 3 - 1;
        const double weight = nb_three_weight(&three, l, f);
        if (weight == 0.0) continue;
        const double F = panel->pixel[0] * ((double)panel->first[0] + fast) + (0.5 + f * three.far) * panel->pixel[0];
        const double S = panel->pixel[1] * ((double)panel->first[1] + slow) + (0.5 + l * three.far) * panel->pixel[1];
        p.omega_sum += weight * nb_solid_angle_d(panel, nb_direction_to(panel, F, S, i / 9, d));
    }
    return p;
}

/* ---- the kernel ---- */

/* First pixel of the number-th tile of a launch; false beyond its end. */
NB_FN bool nb_tile_at(const nb_panel *p, const nb_part *part, int64_t number, int *fast, int *slow)
{
    const int last_row = (int)(part->first_row + part->rows - 1);
    const int left = (int)patch_number(p->first[0] + p->roi[0], NB_TILE_FAST), right = (int)patch_number(p->first[0] + p->roi[1], NB_TILE_FAST);
    const int top = (int)patch_number(p->first[1] + (int)part->first_row, NB_TILE_SLOW);
    const int bottom = (int)patch_number(p->first[1] + last_row, NB_TILE_SLOW), columns = right - left + 1;
    *fast = (left + (int)(number % columns)) * NB_TILE_FAST - p->first[0];
    *slow = (top + (int)(number / columns)) * NB_TILE_SLOW - p->first[1];
    return number < (int64_t)columns * (bottom - top + 1);
}

/* What the block's threads have found, in their order: omega, unless it is NULL, and `seen`. */
NB_FN void nb_put_block(double omega_sum, double points, nb_gain *gains, double *omega, nb_seen *seen)
{
    gains[threadIdx.x].intensity = omega_sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    nb_gain all = gains[0];
    for (int i = 1; i < NB_THREADS; i++) {
        all.intensity += gains[i].intensity;
        all.visited += gains[i].visited;
        all.left = fmaxf(all.left, gains[i].left);
    }
    if (omega) *omega = all.intensity / points;
    if (all.visited) atomicAdd(&seen->visited, (unsigned long long)all.visited); /* whole numbers: in any order */
    if (all.left > 0.0f) atomicMax(&seen->left, (unsigned long long)__float_as_int(all.left));
}

/* As nb_render, which see, where samples are left out.  most: of all tables; seen: [image][crystal].  Blocks have the tiles of the
 * launch's rows in raster order, one to a warp; partial: [split][image][slot] with slots in raster order of the pixels. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_render_sparse(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
                 const __grid_constant__ nb_crystal crystal, const __grid_constant__ nb_part part,
                 const __grid_constant__ nb_bound bound, const nb_most *most, float *image, double *partial, double *omega,
                 nb_seen *seen)
{
    __shared__ nb_orientation staged[NB_CHUNK];
    __shared__ nb_room rooms[NB_WARPS];
    __shared__ nb_gain gains[NB_THREADS];
    const nb_scene *s = &scene;
    const nb_constants c = nb_constants_of(&crystal);
    nb_view v = {s, &panel, &crystal, &part, &bound, most, &c, staged, rooms + threadIdx.x / NB_WARP, (int)threadIdx.x % NB_WARP, 0, 0, 0};
    bool active = nb_tile_at(&panel, &part, (int64_t)blockIdx.x * NB_WARPS + threadIdx.x / NB_WARP, &v.fast, &v.slow);
    const int fast = v.fast + v.lane % NB_TILE_FAST, slow = v.slow + v.lane / NB_TILE_FAST;
    active = active && fast >= panel.roi[0] && fast <= panel.roi[1] && slow >= part.first_row && slow < part.first_row + part.rows
          && nb_unmasked(&panel, fast, slow);
    const int64_t pixel = nb_image_index(&panel, fast, slow);
    v.wanted = nb_vote(active && (!s->transmission || s->transmission[pixel - s->behind] != 0.0));
    const bool first_split = part.crystal == 0 && blockIdx.y == 0;
    const double *abc = crystal.abc + (int64_t)blockIdx.z * 9 * crystal.orientations;
    const int begin = (int)(crystal.orientations * blockIdx.y / part.splits);
    const int end = (int)(crystal.orientations * (blockIdx.y + 1) / part.splits);
    nb_gain *gain = gains + threadIdx.x;
    const nb_gain nothing = {0.0, 0, 0.0f};
    *gain = nothing;
    for (int chunk = begin; chunk < end; chunk += NB_CHUNK) {
        const int count = end - chunk < NB_CHUNK ? end - chunk : NB_CHUNK;
        nb_stage_chunk(&crystal, abc, chunk, count, staged);
NB_ONCE
        for (int layer = 0; v.wanted && layer < panel.layers; layer++) nb_visit_layer(&v, layer, count, gain);
    }
    double omega_sum = 0.0;
    if (active) {
        nb_pixel_d p = nb_pixel_once(s, &panel, fast, slow);
        p.intensity = gain->intensity * (nb_lattice_peak(&crystal) * nb_crystal_share(s, s->crystal + part.crystal));
        omega_sum = p.omega_sum;
        const double photons = nb_pixel_photons_d(s, nb_photon_scale(s), 0.0, &p);
        const int64_t slot = (slow - part.first_row) * (panel.roi[1] - panel.roi[0] + 1) + (fast - panel.roi[0]);
        if (partial) partial[((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * ((int64_t)gridDim.x * NB_THREADS) + slot] = photons;
        else image[nb_buffer_place(&part, pixel)] = (float)photons;
    }
    nb_put_block(omega_sum, (double)panel.layers * s->oversample * s->oversample, gains,
                 first_split ? omega + (int64_t)blockIdx.z * gridDim.x + blockIdx.x : (double *)0,
                 seen + (int64_t)blockIdx.z * s->crystals + part.crystal);
}

#endif
