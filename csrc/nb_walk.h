/* The pixels that are rendered, in raster order: cut into units of work, and from there into tiles. */
#ifndef NB_WALK_H
#define NB_WALK_H

#include "nb_block.h"
#include "nb_vector.h"

#define NB_TILE 128 /* lanes: what is kept for each of a tile's pixels stays in L1 */

/* Up to NB_TILE pixels of one panel; the last vector is padded with copies of the last pixel. */
typedef struct {
    double f[NB_TILE], s[NB_TILE]; /* whole pixels from the corner of the panel's plane */
    int64_t pixel[NB_TILE];        /* image index */
    int count, lanes;              /* pixels; lanes in use, a whole number of vectors */
} __attribute__((aligned(64))) nb_places;

/* An orientation of a crystal that may light some of a block's cells under one source; the bits of those. */
typedef struct {
    int32_t source, crystal, orientation;
    uint32_t cells;
} nb_lit;

/* From where on samples count: L^2 as a fraction of its peak, and that times F^2; the largest that does not, and how many were
 * evaluated. */
typedef struct {
    double end, least, left;
    int64_t visited;
} nb_limits;

/* Pixels of a panel that are rendered. */
static int64_t nb_panel_pixels(const nb_panel *p)
{
    if (p->listed) return p->listed_count;
    return (int64_t)(p->roi[1] - p->roi[0] + 1) * (p->roi[3] - p->roi[2] + 1);
}

static int64_t nb_panel_units(const nb_panel *p, int64_t unit)
{
    return (nb_panel_pixels(p) + unit - 1) / unit;
}

/* Where a walk through the pixels of a panel in raster order stands. */
typedef struct {
    const nb_panel *panel;
    int64_t index, end; /* among those rendered */
    int32_t fast, slow; /* of the pixel at `index`; of an earlier one in a list */
} nb_walk;

/* Units of all panels. */
static int64_t nb_units(const nb_scene *s, int64_t size)
{
    int64_t units = 0;
    for (int i = 0; i < s->panels; i++) units += nb_panel_units(s->panel + i, size);
    return units;
}

/* The pixels of one unit of `size` pixels; the last of a panel has what is left. */
static nb_walk nb_walk_unit(const nb_scene *s, int64_t size, int64_t unit)
{
    const nb_panel *p = s->panel;
    for (int64_t units; unit >= (units = nb_panel_units(p, size)); p++) unit -= units;
    const int64_t begin = unit * size, end = begin + size, all = nb_panel_pixels(p);
    nb_walk w = {p, begin, end < all ? end : all, 0, 0};
    if (p->listed) {
        w.slow = p->listed[begin] / p->fpixels;
        w.fast = p->listed[begin] % p->fpixels;
    } else {
        const int64_t width = p->roi[1] - p->roi[0] + 1;
        w.slow = (int32_t)(p->roi[2] + begin / width);
        w.fast = (int32_t)(p->roi[0] + begin % width);
    }
    return w;
}

static int64_t nb_image_index(const nb_panel *p, int32_t fast, int32_t slow)
{
    return p->offset + (int64_t)slow * p->fpixels + fast;
}

static void nb_put(nb_places *t, int lane, const nb_panel *p, int32_t fast, int32_t slow)
{
    t->pixel[lane] = nb_image_index(p, fast, slow);
    t->f[lane] = (double)p->first[0] + fast; /* whole before it is scaled: a part of a panel gets the bits of the whole */
    t->s[lane] = (double)p->first[1] + slow;
}

/* The next pixels of the walk, as many as fit, into a tile. */
static void nb_fill_places(nb_places *t, nb_walk *w)
{
    const nb_panel *p = w->panel;
    int n = 0;
    while (w->index < w->end && n < NB_TILE) {
        if (p->listed) {
            const int32_t place = p->listed[w->index++];
            int64_t fast = place - (int64_t)w->slow * p->fpixels;
            if (fast >= p->fpixels) {
                w->slow = place / p->fpixels;
                fast = place % p->fpixels;
            }
            nb_put(t, n++, p, (int32_t)fast, w->slow);
            continue;
        }
        /* a run of pixels in one row */
        int64_t run = p->roi[1] - w->fast + 1;
        if (run > w->end - w->index) run = w->end - w->index;
        if (run > NB_TILE - n) run = NB_TILE - n;
        const int64_t pixel = nb_image_index(p, w->fast, w->slow);
        const double fast = (double)p->first[0] + w->fast, slow = (double)p->first[1] + w->slow;
        for (int i = 0; i < run; i++) {
            t->pixel[n + i] = pixel + i;
            t->f[n + i] = fast + i;
            t->s[n + i] = slow;
        }
        n += (int)run;
        w->index += run;
        w->fast += (int32_t)run;
        if (w->fast > p->roi[1]) {
            w->fast = p->roi[0];
            w->slow++;
        }
    }
    t->count = n;
    t->lanes = (n + NB_FLANES - 1) / NB_FLANES * NB_FLANES;
    for (int i = n; i < t->lanes; i++) {
        t->pixel[i] = t->pixel[n - 1];
        t->f[i] = t->f[n - 1];
        t->s[i] = t->s[n - 1];
    }
}

#endif
