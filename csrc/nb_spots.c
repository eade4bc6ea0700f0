#include "nb_spots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nb_physics.h"
#include "nb_render.h"

#define NB_FEW_RADIANS 6.0 /* of phase, below which the closed form of the square cancels */

/* Gauss and Legendre's on (0, 1) */
static const double NODES[] = {0.0024063900014893447, 0.012635722014345263, 0.0308627239986336, 0.056792236497799464, 0.08999900701304853,
                               0.12993790421072282, 0.17595317403151223, 0.22728926430558022, 0.28310324618697746, 0.3424786601519183,
                               0.40444056626319186, 0.4679715535686972, 0.5320284464313028, 0.5955594337368082, 0.6575213398480817,
                               0.7168967538130225, 0.7727107356944198, 0.8240468259684878, 0.8700620957892772, 0.9100009929869515,
                               0.9432077635022005, 0.9691372760013663, 0.9873642779856547, 0.9975936099985107};
static const double WEIGHTS[] = {0.006170614899994345, 0.01426569431446678, 0.022138719408709706, 0.02964929245771818, 0.03667324070554008,
                               0.0430950807659766, 0.04880932605205696, 0.05372213505798278, 0.05775283402686276, 0.06083523646390165,
                               0.06291872817341412, 0.06396909767337601, 0.06396909767337601, 0.06291872817341412, 0.06083523646390165,
                               0.05775283402686276, 0.05372213505798278, 0.04880932605205696, 0.0430950807659766, 0.03667324070554008,
                               0.02964929245771818, 0.022138719408709706, 0.01426569431446678, 0.006170614899994345};

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* v[i] of rows i */
static void products(const double rows[9], const double a[3], double v[3])
{
    for (int i = 0; i < 3; i++) v[i] = dot(rows + 3 * i, a);
}

/* h times rows a*, b*, c* */
static void point_of(const double h[3], const double rows[9], double g[3])
{
    for (int x = 0; x < 3; x++) g[x] = h[0] * rows[x] + h[1] * rows[3 + x] + h[2] * rows[6 + x];
}

/* along . inverse . along: the square of the reflection's width along the ray, over fudge */
static double width_sqr(const nb_spot_size *s, const double along[3])
{
    double towards[3];
    products(s->inverse, along, towards);
    return dot(towards, along);
}

/* 2/V integral over t > 0 of prod (N_i - t |along_i|) cos(2 pi e t), up to the first zero. */
static double square_slice(const nb_spot_size *s, double distance, const double along[3], double faint)
{
    double slope[3], end = INFINITY;
    for (int i = 0; i < 3; i++) {
        slope[i] = fabs(along[i]);
        const double zero = s->N[i] / (slope[i] > 1e-300 ? slope[i] : 1e-300);
        end = zero < end ? zero : end;
    }
    /* in x = t/end the factors are N_i (1 - r_i x), 0 <= r_i <= 1; their product 1 - a x + b x^2 - c x^3 */
    double r[3];
    for (int i = 0; i < 3; i++) r[i] = slope[i] * end / s->N[i];
    const double a = r[0] + r[1] + r[2], b = r[0] * r[1] + (r[0] + r[1]) * r[2], c = r[0] * r[1] * r[2];
    const double scale = 2.0 * end * s->cells / s->cell_volume, w = fabs(2.0 * NB_PI * distance * end);
    const double middle = 1.0 - a / 2.0 + b / 3.0 - c / 4.0; /* of w = 0 */
    if (w == 0.0) return scale * middle;
    if (w < NB_FEW_RADIANS) {
        double sum = 0.0;
        for (int i = 0; i < (int)(sizeof NODES / sizeof *NODES); i++) {
            const double x = NODES[i];
            sum += WEIGHTS[i] * (1.0 - x * (a - x * (b - x * c))) * cos(w * x);
        }
        return scale * sum;
    }
    /* by parts: [p sin/w + p' cos/w^2 - p'' sin/w^3 - p''' cos/w^4] from 0 to 1 */
    const double at_end = 1.0 - a + b - c, slope_end = -a + 2.0 * b - 3.0 * c, bend_end = 2.0 * b - 6.0 * c;
    const double v = 1.0 / w, v2 = v * v;
    if (faint > 0.0) {
        const double most = fabs(at_end) * v + (fabs(slope_end) + a) * v2 + fabs(bend_end) * v * v2 + 12.0 * c * v2 * v2;
        if (most < faint * middle) return 0.0;
    }
    const double sine = sin(w), cosine = cos(w);
    return scale * (at_end * sine * v + (slope_end * cosine + a) * v2 - bend_end * sine * (v * v2) + 6.0 * c * (cosine - 1.0) * (v2 * v2));
}

/* Integral of (3 (sin u - u cos u)/u^3)^2 over the plane at distance x from the centre, 9 pi/2 (j0(x)^2 + j1(x)^2). */
static double sphere_slice(double x)
{
    const double zeroth = x < 1e-3 ? 1.0 - x * x / 6.0 : sin(x) / x;
    const double first = x < 1e-2 ? x / 3.0 - x * x * x / 30.0 : (sin(x) / x - cos(x)) / x;
    return 4.5 * NB_PI * (zeroth * zeroth + first * first);
}

static double determinant(const double m[9])
{
    return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

static double slice(const nb_spot_size *s, double distance, const double along[3], double faint)
{
    if (s->shape == NB_SQUARE) return square_slice(s, distance, along, faint);
    /* q^T G q = fudge radius^2 with G the metric in the laboratory; d^T G^-1 d is its width along the ray */
    const double width = width_sqr(s, along), area = sqrt(determinant(s->inverse) / width) / s->cell_volume;
    const double radius_sqr = s->fudge * distance * distance / width; /* of the plane's point nearest to the centre */
    const double scale = s->cells * s->cells * area / s->fudge;
    if (s->shape == NB_GAUSS) return scale * (0.5 * NB_PI * NB_GAUSS_WIDTH) * exp(-radius_sqr / (0.5 * NB_GAUSS_WIDTH));
    if (s->shape == NB_TOPHAT) return radius_sqr < NB_TOPHAT_RADIUS_SQR ? scale * NB_PI * (NB_TOPHAT_RADIUS_SQR - radius_sqr) : 0.0;
    return scale * (NB_SPHERE_SCALE * NB_SPHERE_SCALE / (NB_PI * NB_PI)) * sphere_slice(NB_PI * sqrt(radius_sqr));
}

void nb_spot_slices(const nb_spot_size *s, const double *distance, const double *along, double *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = slice(s, distance[i], along + 3 * i, 0.0);
}

/* Distance beyond which a slice is below `least` times the largest, at most: the shapes with edges fall off with its square. */
static double reach(const nb_spot_size *s, const double along[3], double least)
{
    if (s->shape == NB_SQUARE) {
        double longest = INFINITY;
        for (int i = 0; i < 3; i++) {
            const double slope = fabs(along[i]), end = s->N[i] / (slope > 1e-300 ? slope : 1e-300);
            longest = end < longest ? end : longest;
        }
        /* |S| <= 4 (3/T) / w^2 and S(0) >= T/2 of the autocorrelation's height, w = 2 pi e */
        return sqrt(24.0 / least) / (2.0 * NB_PI * longest);
    }
    const double width = sqrt(width_sqr(s, along) / s->fudge);
    if (s->shape == NB_GAUSS) return width * sqrt(-log(least) * (0.5 * NB_GAUSS_WIDTH));
    if (s->shape == NB_TOPHAT) return width * sqrt(NB_TOPHAT_RADIUS_SQR);
    return width / (NB_PI * sqrt(least)) * sqrt(2.0);
}

static double longest_reach(const nb_spot_light *s, const double along[3], double least)
{
    double most = 0.0;
    for (int64_t i = 0; i < s->sizes; i++) {
        const double one = reach(s->size + i, along, least);
        most = one > most ? one : most;
    }
    return most;
}

/* A crystal whose slices alone decide what is listed: what is seen of it is known better than `reach` has it. */
static int is_alone(const nb_spot_light *s)
{
    return s->faint > 0.0 && s->faint < 3e-3 && s->size->shape == NB_SQUARE;
}

/* No limit is larger, whatever the direction. */
static double largest_limit(const nb_spot_light *s, const nb_sphere *at)
{
    double edges[3], most = 0.0;
    for (int i = 0; i < 3; i++) edges[i] = sqrt(dot(s->dual + 3 * i, s->dual + 3 * i));
    for (int64_t i = 0; i < s->sizes; i++) {
        nb_spot_size one = s->size[i];
        for (int j = 0; j < 9; j++) one.inverse[j] = fabs(one.inverse[j]);
        const double far = reach(&one, edges, at->least);
        most = far > most ? far : most;
    }
    const double zone = s->zone * (edges[0] + edges[1] + edges[2]);
    if (is_alone(s)) most *= sqrt(12.1 / 24.0); /* as is_seen has it */
    return at->slack * (zone < most ? zone : most);
}

/* Whether a slice at the distance `error` of such a crystal may be above `faint` of the largest. */
static int is_seen(const nb_spot_light *s, double error, const double along[3])
{
    double longest = INFINITY;
    for (int i = 0; i < 3; i++) {
        const double slope = fabs(along[i]), end = s->size->N[i] / (slope > 1e-300 ? slope : 1e-300);
        longest = end < longest ? end : longest;
    }
    /* with w = 2 pi e T: 12 w^-2 + 48 w^-4, where the three factors end at once, is the most that square_slice knows of */
    const double w = 2.0 * NB_PI * error * longest, v2 = 1.0 / (w * w);
    return w * w < 36.0 || v2 * (12.0 + 48.0 * v2) >= s->faint;
}

/* Excitation error up to which the reflection g counts for some orientation and source; negative: it is not near. */
static double limit_of(const nb_spot_light *s, const nb_sphere *at, const double g[3])
{
    const double wavenumber = 1.0 / at->wavelength;
    double ray[3], index[3], along[3], largest = 0.0;
    for (int x = 0; x < 3; x++) ray[x] = g[x] + at->incident[x] * wavenumber;
    const double length = sqrt(dot(ray, ray)), per = 1.0 / length;
    for (int x = 0; x < 3; x++) ray[x] *= per;
    products(s->dual, ray, along);
    if (is_alone(s)) return is_seen(s, length - wavenumber, along) ? wavenumber : -1.0; /* the zone is looked at later */
    products(s->middle, ray, index);
    for (int i = 0; i < 3; i++) largest = fabs(index[i]) > largest ? fabs(index[i]) : largest;
    const double zone = s->zone / largest, far = longest_reach(s, along, at->least);
    const double limit = at->slack * (zone < far ? zone : far);
    const double size_sqr = dot(g, g), size = sqrt(size_sqr), forward = dot(g, at->incident);
    const double across_sqr = size_sqr - forward * forward, across = across_sqr > 0.0 ? sqrt(across_sqr) : 0.0;
    const double angle = at->angle, allowance = angle * across + 0.5 * angle * angle * size
                                              + at->bandwidth * 0.5 * at->wavelength * size_sqr;
    return fabs(length - wavenumber) < limit + 1.1 * allowance ? limit : -1.0;
}

/* End of the run of reflections with the h and k of the first. */
static int64_t run_end(const float *h, const float *k, int64_t first, int64_t n)
{
    int64_t inside = first, step = 1;
    while (first + step < n && h[first + step] == h[first] && k[first + step] == k[first]) {
        inside = first + step;
        step *= 2;
    }
    int64_t outside = first + step < n ? first + step : n;
    while (outside - inside > 1) {
        const int64_t middle = inside + (outside - inside) / 2;
        if (h[middle] == h[first] && k[middle] == k[first])
            inside = middle;
        else
            outside = middle;
    }
    return outside;
}

/* First of a run whose l is no less. */
static int64_t from_index(const float *l, int64_t first, int64_t end, double least)
{
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (l[middle] < least)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* Where | a + b l + c l^2 | <= most, c > 0: one interval or two, a little too wide.  Returns how many. */
static int near_intervals(double a, double b, double c, double most, double interval[4])
{
    const double margin = 1e-3, above = b * b - 4.0 * c * (a - most), below = b * b - 4.0 * c * (a + most);
    if (!(above >= 0.0)) return 0;
    const double middle = -b / (2.0 * c), far = sqrt(above) / (2.0 * c) + margin;
    const double gap = below > 0.0 ? sqrt(below) / (2.0 * c) - margin : 0.0;
    interval[0] = middle - far;
    interval[1] = gap > 0.0 ? middle - gap : middle + far;
    interval[2] = middle + gap;
    interval[3] = middle + far;
    return gap > 0.0 ? 2 : 1;
}

int64_t nb_spots_near(const nb_spot_light *s, const nb_sphere *at, const float *h, const float *k, const float *l, int64_t n,
                      int64_t room, int64_t *number, double *limit)
{
    /* With E the largest error of a reflection that is near, | |g|^2 + 2 i/lambda . g | = | (wavenumber + e)^2 - wavenumber^2 |
     * <= E (2 wavenumber + E): along l a parabola, which says where to look. */
    const double wavenumber = 1.0 / at->wavelength, farthest = 1.0 / (at->d_min * at->d_min), longest = 1.0 / at->d_min;
    const double wide = 1.1 * (at->angle + 0.5 * at->angle * at->angle), broad = 1.1 * at->bandwidth * 0.5 * at->wavelength;
    const double least = largest_limit(s, at), E = least + wide * longest + broad * farthest;
    const double rounding = 1e-12 * (farthest + 2.0 * wavenumber * longest), most = E * (2.0 * wavenumber + E) + rounding;
    const double *star[3] = {s->dual, s->dual + 3, s->dual + 6}, along = dot(star[2], star[2]);
    double forward[3];
    products(s->dual, at->incident, forward);
    int64_t found = 0;
    for (int64_t first = 0, end; first < n; first = end) {
        end = run_end(h, k, first, n);
        double g[3], interval[4];
        for (int x = 0; x < 3; x++) g[x] = h[first] * star[0][x] + k[first] * star[1][x];
        const double here = dot(g, g) + 2.0 * wavenumber * (h[first] * forward[0] + k[first] * forward[1]);
        const int parts = near_intervals(here, 2.0 * (dot(g, star[2]) + wavenumber * forward[2]), along, most, interval);
        for (int part = 0; part < parts; part++)
            for (int64_t i = from_index(l, first, end, interval[2 * part]); i < end && l[i] <= interval[2 * part + 1]; i++) {
                double at_l[3];
                for (int x = 0; x < 3; x++) at_l[x] = g[x] + l[i] * star[2][x];
                const double g_sqr = dot(at_l, at_l);
                if (g_sqr > farthest || g_sqr == 0.0) continue;
                const double own = least + wide * sqrt(g_sqr) + broad * g_sqr;
                if (fabs(g_sqr + 2.0 * wavenumber * dot(at_l, at->incident)) > own * (2.0 * wavenumber + own) + rounding) continue;
                const double counts = limit_of(s, at, at_l);
                if (counts < 0.0) continue;
                if (found == room) return -1;
                number[found] = i;
                limit[found++] = counts;
            }
    }
    return found;
}

/* What one source makes of a reflection, on both sides of the sphere. */
typedef struct {
    double photons[2], direction[2][3];
} nb_excited;

static void excite(const nb_spot_light *s, const double *hkl, double limit, int64_t source, int sides, nb_excited *e)
{
    const double *incident = s->incident + 3 * source, wavenumber = 1.0 / s->wavelength[source];
    memset(e, 0, sizeof *e);
    for (int64_t o = 0; o < s->orientations; o++) {
        const double *dual = s->reciprocal + 9 * o, *axes = s->axes + 9 * o;
        double g[3], ray[3], index[3], along[3], towards[3];
        point_of(hkl, dual, g);
        for (int x = 0; x < 3; x++) ray[x] = g[x] + incident[x] * wavenumber;
        const double length = sqrt(dot(ray, ray)), error = length - wavenumber;
        if (!(fabs(error) <= limit)) continue;
        for (int x = 0; x < 3; x++) ray[x] /= length;
        products(axes, ray, index);
        if (!(fabs(error * index[0]) <= s->zone && fabs(error * index[1]) <= s->zone && fabs(error * index[2]) <= s->zone))
            continue;
        products(dual, ray, along);
        const nb_spot_size *size = s->size + s->part[o];
        const double photons = slice(size, error, along, s->faint) * s->weight[o];
        if (photons == 0.0) continue;
        /* the brightest point of the spot lies where the plane cuts the lattice factor's middle */
        products(size->inverse, along, towards);
        const double step = -error / dot(towards, along);
        double beside[3], bright[3];
        point_of(towards, dual, beside);
        for (int x = 0; x < 3; x++) bright[x] = g[x] + step * beside[x] + incident[x] * wavenumber;
        const double bright_length = sqrt(dot(bright, bright));
        int side = 0;
        if (sides == 2) {
            const double *u = s->spindle;
            const double speed[3] = {u[1] * g[2] - u[2] * g[1], u[2] * g[0] - u[0] * g[2], u[0] * g[1] - u[1] * g[0]};
            side = dot(speed, incident) < 0.0;
        }
        e->photons[side] += photons;
        for (int x = 0; x < 3; x++) e->direction[side][x] += bright[x] / bright_length * photons;
    }
}

/* Of the whole reflection: turned through at the speed of a rotation; of a still exactly on the sphere. */
static double full_strength(const nb_spot_light *s, const double g[3], const double ray[3], const double *incident)
{
    double sum = 0.0, along[3];
    if (s->osc > 0.0) {
        const double *u = s->spindle;
        const double turn[3] = {u[1] * g[2] - u[2] * g[1], u[2] * g[0] - u[0] * g[2], u[0] * g[1] - u[1] * g[0]};
        const double speed = fabs(dot(turn, incident)) * s->osc;
        for (int64_t i = 0; i < s->sizes; i++) {
            const nb_spot_size *size = s->size + i;
            sum += size->share * (size->volume / size->cell_volume / speed);
        }
        return sum;
    }
    products(s->dual, ray, along);
    for (int64_t i = 0; i < s->sizes; i++) sum += s->size[i].share * slice(s->size + i, 0.0, along, 0.0);
    return sum;
}

int nb_spots_sum(const nb_spot_light *s, const double *hkl, const double *limit, const double *g, int64_t m, int sides,
                 double *counts, double *full, double *polarization, double *direction, double *by_source)
{
    nb_excited *excited = malloc((size_t)s->sources * sizeof *excited);
    if (!excited) return NB_NO_MEMORY;
    for (int64_t i = 0; i < m; i++) {
        double lit[2] = {0.0, 0.0};
        for (int64_t n = 0; n < s->sources; n++) {
            excite(s, hkl + 3 * i, limit[i], n, sides, excited + n);
            for (int k = 0; k < sides; k++) lit[k] += excited[n].photons[k];
        }
        for (int k = 0; k < sides; k++) {
            const int64_t row = i * sides + k;
            const double *at = g + 3 * row;
            double sum = 0.0, whole = 0.0, polar_sum = 0.0, towards[3] = {0.0, 0.0, 0.0};
            for (int64_t n = 0; n < s->sources && lit[k] > 0.0; n++) {
                const double *incident = s->incident + 3 * n, wavelength = s->wavelength[n];
                double ray[3];
                for (int x = 0; x < 3; x++) ray[x] = at[x] + incident[x] / wavelength;
                const double length = sqrt(dot(ray, ray));
                for (int x = 0; x < 3; x++) ray[x] /= length;
                const nb_axes axes = nb_axes_of(s->polar_vector, incident);
                const double polar = s->nopolar ? 1.0 : nb_polarization_d(s->polarization, incident, &axes, ray);
                const double strength = s->source_weight[n] * wavelength * wavelength * polar;
                sum += strength * excited[n].photons[k];
                if (by_source) by_source[(n * m + i) * sides + k] = strength * excited[n].photons[k];
                for (int x = 0; x < 3; x++) towards[x] += strength * excited[n].direction[k][x];
                polar_sum += s->source_weight[n] * polar;
                whole += strength * full_strength(s, at, ray, incident);
            }
            counts[row] = sum;
            full[row] = whole;
            polarization[row] = polar_sum;
            for (int x = 0; x < 3; x++) direction[3 * row + x] = towards[x];
        }
    }
    free(excited);
    return NB_OK;
}
