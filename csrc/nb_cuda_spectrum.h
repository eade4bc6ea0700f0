/* A run of sources whose wavenumbers join up to a spectrum, on a GPU: one thread looks at the reflections that its sample passes
 * (nb_line.h), and at the channels of those that are near.  Included by nb_render.cu, whose macros and nb_listed it uses. */

/* Light along d, unless panel is NULL: each channel is captured in its own way by a layer of it. */
typedef struct {
    const nb_panel *panel;
    int layer;
    const double *d;
} nb_ray;

/* Capture of a source's light; 1 where it is taken elsewhere. */
NB_FN double nb_captured(const nb_scene *s, const nb_ray *ray, const nb_source *one)
{
    if (!NB_USE_SOURCE_MU || !ray->panel) return 1.0;
    return nb_capture_d(ray->panel, ray->panel->source_mu[one - s->source], ray->layer, ray->d);
}

NB_FN double nb_listed_square(const nb_table *t, const double whole[3])
{
#if NB_USE_TABLE == NB_TABLE_NEAREST
    const int32_t n[3] = {(int32_t)whole[0], (int32_t)whole[1], (int32_t)whole[2]};
    const double F = nb_listed(t, (nb_real)t->default_F, n);
#else
    (void)whole;
    const double F = t->default_F;
#endif
    return F * F;
}

/* NB_LINE: sum over the channels of weight F^2 times the mean spot of one reflection. */
NB_FN double nb_sum_line(const nb_scene *s, const nb_table *tables, const nb_source *source, const nb_span *span,
                         const nb_passage_d *p, const double whole[3], const nb_ray *ray)
{
    const double speed = sqrt((2.0 / NB_GAUSS_WIDTH) * p->speed), at = speed * p->closest;
    NB_U(nb_width) width = NB_U(nb_width_of)(0);
    double sum = 0.0, F_sqr = 0.0, half = 0.0;
    int64_t table = -1;
    for (int i = 0; i < (int)source->run; i++) {
        const nb_source *one = source + i;
        if (one->table != table) {
            table = one->table;
            F_sqr = nb_listed_square(tables + table, whole);
        }
        const double low = one->channel[0] - span->middle, high = one->channel[1] - span->middle, mine = 0.5 * (high - low);
        if (fabs(mine - half) > 1e-9 * mine) {
            half = mine;
            width = NB_U(nb_width_of)((nb_real)(speed * half));
        }
        const nb_real mean = NB_U(nb_gauss_mean)(&width, (nb_real)(0.5 * speed * (low + high) - at));
#if NB_USE_SOURCE_MU
        if (mean > 0) sum += one->weight * F_sqr * nb_captured(s, ray, one) * mean;
#else
        sum += one->weight * F_sqr * mean;
#endif
    }
    return sum * nb_exp_d((-2.0 / NB_GAUSS_WIDTH) * p->apart);
}

/* NB_CULLED: sum over the channels of weight F^2 L^2 where a sample comes close to a spot. */
NB_FN double nb_sum_culled(const nb_scene *s, const nb_table *tables, const nb_constants *c, const nb_source *source,
                           const double v[3], double u_sqr, const nb_ray *ray)
{
    double sum = 0.0;
    for (int i = 0; i < (int)source->run; i++) {
        const nb_source *one = source + i;
        const double k = 1.0 / one->wavelength;
        if (s->dmin > 0.0 && !nb_resolved_d(s, k * k * u_sqr)) continue;
        double whole[3];
        nb_real d[3];
        for (int r = 0; r < 3; r++) {
            whole[r] = nb_whole_index_d(k, v[r]);
            d[r] = (nb_real)(k * v[r] - whole[r]);
        }
        const nb_real L = NB_U(nb_lattice)(NB_USE_SHAPE, d, c->n, c->metric);
        if (L > 0) sum += one->weight * L * nb_listed_square(tables + one->table, whole) * nb_captured(s, ray, one);
    }
    return sum;
}

/* Over the staged orientations; u = d - i. */
NB_FN double nb_sum_run(const nb_scene *s, const nb_crystal *crystal, const nb_constants *c, const nb_orientation *staged,
                        int count, const nb_source *source, const double u[3], const nb_ray *ray)
{
    const nb_table *tables = s->table + crystal->table;
    const double outer = nb_outer_radius_sqr(NB_USE_SPECTRUM, NB_USE_SHAPE), u_sqr = nb_dot(u, u);
    const nb_span span = nb_span_of(source);
    double sum = 0.0, metric[6];
    nb_spot_metric(crystal, metric);
NB_ONCE
    for (int o = 0; o < count; o++) {
        double v[3], whole[3], last[3];
        for (int r = 0; r < 3; r++) {
            v[r] = nb_dot(staged[o].abc + 3 * r, u);
            whole[r] = nb_whole_index_d(source->range[0], v[r]);
            last[r] = nb_whole_index_d(source->range[1], v[r]);
        }
        do {
            nb_passage_d p;
            double off[3];
            for (int r = 0; r < 3; r++) off[r] = whole[r] - span.middle * v[r];
            if (!nb_pass_d(&span, metric, v, off, outer, &p)) continue;
            if (NB_USE_SPECTRUM == NB_CULLED) {
                sum += nb_weight_of(staged + o) * nb_sum_culled(s, tables, c, source, v, u_sqr, ray);
                break;
            }
            const double k = span.middle + p.within;
            if (s->dmin > 0.0 && !nb_resolved_d(s, k * k * u_sqr)) continue;
            sum += nb_weight_of(staged + o) * nb_sum_line(s, tables, source, &span, &p, whole, ray);
        } while (nb_step_on(v, whole, last));
    }
    return sum;
}
