# cython: language_level=3
"""What _engine.pyx uses of csrc."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "nb_constants.h":
    const double NB_R_E_SQR, NB_HC_EV_A, NB_DEFAULT_FLUENCE, NB_AVOGADRO, NB_BOLTZMANN
    const double NB_WATER_F, NB_WATER_MOLAR_MASS, NB_WATER_DENSITY
    const double NB_SPHERE_SCALE, NB_GAUSS_WIDTH, NB_TOPHAT_RADIUS_SQR

cdef extern from "nb_scene.h":
    enum:
        NB_SQUARE, NB_ELLIPSOID, NB_GAUSS, NB_TOPHAT
        NB_NEAREST, NB_TRICUBIC, NB_TRICUBIC_EXACT
        NB_FLAT, NB_CURVED_LAB, NB_CURVED_AXES
        NB_WATER_IN_SUM, NB_WATER_AFTER
        NB_NOT_DISPLACED, NB_DISPLACED, NB_DISPLACED_RATE
        NB_DIRECT, NB_LINE, NB_CULLED
    ctypedef struct nb_panel:
        int32_t fpixels, spixels
        int32_t first[2]
        double pixel[2]
        double fdet[3]
        double sdet[3]
        double odet[3]
        double beam[3]
        double pix0[3]
        double distance, close_distance
        int32_t curved, point_pixel, layers, mean_depth
        int32_t roi[4]
        double layer_step, thickness, mu
        int64_t offset
        const uint8_t *mask
        const int32_t *listed
        int64_t listed_count
        const double *source_mu
        const double *source_mu_slope
    ctypedef struct nb_source:
        double incident[3]
        double wavelength, weight
        int64_t table
        double channel[2]
        double range[2]
        int64_t run
    ctypedef struct nb_table:
        const double *F
        int32_t F_min[3]
        int32_t F_count[3]
        double default_F, F_reach
        int64_t interpolation
    ctypedef struct nb_crystal:
        int64_t orientations
        const double *abc
        const double *orientation_weight
        double weight_sum, weight
        double N[3]
        double fudge
        double metric[9]
        int32_t shape, table, displaced
        double displacement[6]
        double displacement_rate[6]
    ctypedef struct nb_scene:
        int32_t panels, sources, crystals, tables
        const nb_panel *panel
        const nb_source *source
        const nb_crystal *crystal
        const nb_table *table
        int64_t pixels
        int32_t oversample, oversample_thick, oversample_polar, oversample_omega
        double dmin, polarization
        double polar_vector[3]
        int32_t nopolar, water_mode, spectral
        double fluence, water
        const double *transmission
        const double *background
        const double *fixed
        int64_t behind

cdef extern from "nb_obstacles.h":
    enum:
        NB_GAS, NB_SHELL, NB_SHEET, NB_WALL
        NB_DISC, NB_HOLE, NB_POLYGON
        NB_NOTHING, NB_BALL, NB_SLAB
        NB_BALL_PIECES
    ctypedef struct nb_absorber:
        int64_t kind
        double normal[3]
        double distance
        const double *depth
    ctypedef struct nb_stop:
        int64_t kind, edges
        double normal[3]
        double u[3]
        double v[3]
        double distance
        double centre[2]
        double radius
        double arm[2]
        double half_width, transmission
        const double *edge
    ctypedef struct nb_body:
        int64_t kind, spread
        double centre[3]
        double normal[3]
        double size
        const double *mu
        const double *mean
    ctypedef struct nb_obstacles:
        int64_t absorbers, stops
        const nb_absorber *absorber
        const nb_stop *stop
        nb_body body

cdef extern from "nb_transmit.h":
    void nb_transmit(const nb_obstacles *o, int32_t source, const double *incident, const double *at, int64_t at_step,
                     const double *P, double *T, int64_t n) nogil

cdef extern from "nb_summary.h":
    ctypedef struct nb_summary:
        double omega, total, squares, largest
        int64_t largest_pixel, pixels, nonfinite, first_nonfinite, cut_pixel
    nb_summary nb_summary_of_nothing()

cdef extern from "nb_most.h":
    ctypedef struct nb_most:
        const float *F_sqr
        int32_t count[3]
        int32_t edge
        float all
        float outside
        int32_t sparse
    ctypedef struct nb_bound:
        double end, least, photons, untold
    int32_t nb_most_size(const nb_table *t, int32_t *count)
    int nb_most_of(const nb_table *t, float *F_sqr, nb_most *out)

cdef extern from "nb_render.h":
    enum:
        NB_DOUBLE, NB_MIXED
        NB_OK, NB_CANCELLED, NB_NO_MEMORY, NB_NO_ISA
    ctypedef struct nb_rules:
        const int32_t *count
        const double *place
        const double *weight
        int32_t rules
    ctypedef struct nb_job:
        int32_t precision, threads
        float *image
        double *image64
        const int32_t *cancel
        int64_t *progress
        double tolerance, spot_end, left_out
        const nb_most *most
        int32_t always
        nb_rules rules
        int64_t visited
        nb_summary summary
        int64_t cut_sequence
    const char *nb_isa_name(int isa)
    int nb_isa_available(int isa)
    int nb_isa_best()
    int nb_max_threads()
    const char *nb_compiler()
    const char *nb_flags()
    int nb_has_openmp()
    int nb_render(const nb_scene *scene, nb_job *job, int isa) nogil
    int nb_bounds(const nb_scene *scene, const nb_job *job, nb_bound *bound, int *sparse, int isa) nogil

cdef extern from "nb_backdrop.h":
    ctypedef struct nb_curve:
        const double *knot
        const double *cubic
        const int32_t *bucket
        double low, per_bucket, least, most
        int32_t buckets, steps
    ctypedef struct nb_scatterer:
        int32_t curve, squared, polarized, fixed
        double amount
    ctypedef struct nb_place:
        double at[3]
        int32_t first, count
    ctypedef struct nb_backdrop:
        const nb_curve *curve
        const nb_place *place
        const nb_scatterer *scatterer
        const nb_obstacles *obstacles
        int32_t curves, places, scatterers, oversample
    ctypedef struct nb_backdrop_job:
        int32_t threads
        int64_t origin
        double *background
        double *fixed
        double *transmission
        const int32_t *cancel
        int64_t *progress
        int64_t *outside
    int nb_backdrop_images(const nb_scene *scene, const nb_backdrop *backdrop, nb_backdrop_job *job, int isa) nogil
    int nb_backdrop_pixel(const nb_scene *scene, const nb_backdrop *backdrop, int32_t panel, int32_t fast, int32_t slow,
                          double *behind, int isa) nogil

cdef extern from "nb_diffuse.h":
    enum:
        NB_LIQUID, NB_THERMAL
        NB_MOST_ORDER, NB_FORMS
    ctypedef struct nb_motion:
        const double *abc
        const double *weight
        const double *form
        const double *outside
        const double *shell
        double scale, per_shell, along, across, soft
        int64_t orientations
        int32_t kind, table, models, order, stencil, damped, shells
    ctypedef struct nb_diffuse:
        const nb_motion *motion
        int32_t motions, oversample
    ctypedef struct nb_diffuse_job:
        int32_t threads
        int64_t origin
        double *image
        const int32_t *cancel
        int64_t *progress
    int nb_diffuse_image(const nb_scene *scene, const nb_diffuse *diffuse, nb_diffuse_job *job, int isa) nogil
    int nb_diffuse_pixel(const nb_scene *scene, const nb_diffuse *diffuse, int32_t panel, int32_t fast, int32_t slow,
                         double *value, int isa) nogil

cdef extern from "nb_block.h":
    ctypedef struct nb_cut:
        int64_t pixel, sequence
    ctypedef struct nb_block:
        pass

cdef extern from "nb_columns.h":
    enum:
        NB_BY_PIX0, NB_BY_FDET, NB_BY_SDET, NB_BY_ODET, NB_BY_BEAM, NB_BY_PIXEL, NB_BY_LAYER_STEP, NB_BY_MU
        NB_BY_CLOSE_DISTANCE, NB_BY_DISTANCE, NB_PANEL_COLUMNS
        NB_BY_POLARIZATION, NB_BY_POLAR_VECTOR, NB_BY_FLUENCE, NB_BY_WATER, NB_IMAGE_COLUMNS
        NB_BY_INCIDENT, NB_BY_WAVELENGTH, NB_BY_WEIGHT, NB_SOURCE_COLUMNS
        NB_BY_N, NB_BY_METRIC, NB_BY_CRYSTAL_WEIGHT, NB_BY_CELL, NB_CRYSTAL_COLUMNS
        NB_F_CONSTANT, NB_F_NEAREST, NB_F_TRICUBIC
        NB_WANT_PULL, NB_WANT_CELL, NB_WANT_SHAPE, NB_WANT_DEFAULT, NB_WANT_ORIENTATIONS, NB_WANT_TABLE
        NB_ASK_PANELS, NB_ASK_SOURCES, NB_ASK_POLARIZATION
    ctypedef struct nb_rates:
        const int64_t *start
        const int32_t *column
        const double *value
    ctypedef struct nb_asked:
        int want
        int32_t extras, weighted
        nb_rates turn, move, weight
    ctypedef struct nb_layout:
        int32_t source, table
        const int32_t *crystal
        int32_t columns

cdef extern from "nb_gradient.h":
    ctypedef struct nb_terms:
        const int64_t *start
        const int32_t *column
        const double *value
    ctypedef struct nb_gradient:
        int32_t precision, threads
        nb_cut cut
        nb_layout layout
        const nb_asked *asked
        int32_t asks
        const double *given
        double norm
        int32_t rows
        nb_terms terms
        const nb_terms *panel_terms
        int32_t factors
        const int32_t **slot
        const double **share
        const double *residual
        const double *weights
        double *sums
        double **orientations
        double **tables
        void *image
        const int32_t *place
        int32_t image_is_float
        double *H
        double *b
        const int32_t *cancel
        int64_t *progress
    int nb_differentiate(const nb_scene *scene, nb_gradient *job, int isa) nogil

cdef extern from "nb_random.h":
    ctypedef struct nb_stream:
        pass
    void nb_seed(nb_stream *r, int64_t seed)
    float nb_uniform(nb_stream *r)
    float nb_gaussian(nb_stream *r)
    float nb_poisson(nb_stream *r, float mean)
    int64_t nb_noise_image(nb_stream *r, const float *photons, int32_t *counts, int32_t fpixels,
                           const int32_t *roi, double offset, int32_t most) nogil

cdef extern from "nb_philox.h":
    enum:
        NB_STAGE_FLICKER, NB_STAGE_COUNTING, NB_STAGE_CHARGE, NB_STAGE_PATTERN, NB_STAGE_READOUT, NB_STAGE_DEAD
        NB_STAGE_HOT, NB_STAGE_DEAD_TIME, NB_STAGE_SWITCH_POINT

cdef extern from "nb_exact.h":
    enum:
        NB_LN, NB_LN_FACTORIAL, NB_NORMAL_OF_UNIFORM, NB_LOWER_ROOT
        NB_UNIFORM, NB_SECOND_UNIFORM, NB_NORMAL, NB_POISSON, NB_BINOMIAL
    void nb_philox(const uint32_t *counter, const uint32_t *key, uint32_t *words)
    void nb_exact_math(int function, const double *x, double *y, int64_t n)
    void nb_deviates(int kind, uint64_t seed, uint64_t image, uint32_t stage, uint32_t draw, const uint64_t *pixel,
                     const double *a, const double *b, double *y, int64_t n) nogil
    double nb_flicker(uint64_t seed, uint64_t image, double rms)

cdef extern from "nb_response.h":
    enum:
        NB_EXPECT, NB_COUNT, NB_READ
        NB_INTEGRATING, NB_COUNTER, NB_RETRIGGER, NB_PARALYSABLE, NB_PULSED
        NB_FLOAT64, NB_FLOAT32, NB_UINT8, NB_UINT16, NB_UINT32, NB_INT16, NB_INT32
        NB_MARK_GAP, NB_MARK_HIDDEN, NB_MARK_DEAD
        NB_MOST_STAGES
    ctypedef struct nb_response:
        uint64_t seed, image, calib_seed, dead_seed, hot_seed
        double scale, flicker, loss, spread
        int64_t counting, frames, corrected
        double dead_time, windows, pulses, charge, gain, offset, readout, dead_fraction, hot_fraction, hot_adu
        int64_t flag_dead
        double mask_value, gap_value
        int64_t digitise, wrap
        double low, high, top, most
        int64_t stages, raw
        double energy
        double stage_gain[3]
        double pedestal[3]
        double stage_readout[3]
        double switch_at[3]
        double switch_spread[3]
    ctypedef struct nb_exposed:
        int64_t first, count
        const void *from_ "from"
        const uint8_t *marks
        void *to
        uint8_t *stage
        int64_t from_type, to_type, parts
    ctypedef struct nb_tally:
        int64_t overloads, underloads
        uint64_t worst
    int nb_respond(const nb_response *r, const nb_exposed *e, nb_tally *tally, int32_t threads, const int32_t *cancel,
                   int isa) nogil

cdef extern from "nb_reach.h":
    double nb_table_reach(const double *F, const int32_t *F_min, const int32_t *F_count, const double *metric) nogil

cdef extern from "nb_spots.h":
    ctypedef struct nb_spot_size:
        int64_t shape
        double fudge, share, cells, cell_volume, volume
        double[3] N
        double[9] inverse
    ctypedef struct nb_spot_light:
        const nb_spot_size *size
        const double *axes
        const double *reciprocal
        const double *weight
        const int64_t *part
        const double *incident
        const double *wavelength
        const double *source_weight
        int64_t sizes, orientations, sources
        double[9] middle
        double[9] dual
        double zone, faint, polarization
        double[3] polar_vector
        int64_t nopolar
        double[3] spindle
        double osc
    ctypedef struct nb_sphere:
        double[3] incident
        double wavelength, angle, bandwidth, least, slack, d_min
    void nb_spot_slices(const nb_spot_size *s, const double *distance, const double *along, double *out, int64_t n) nogil
    int64_t nb_spots_near(const nb_spot_light *s, const nb_sphere *at, const float *h, const float *k, const float *l,
                          int64_t n, int64_t room, int64_t *number, double *limit) nogil
    int nb_spots_sum(const nb_spot_light *s, const double *hkl, const double *limit, const double *g, int64_t m, int sides,
                     double *counts, double *full, double *polarization, double *direction, double *by_source) nogil

cdef extern from "nb_probe.h":
    enum:
        NB_PROBE_ROUND, NB_PROBE_SINPI, NB_PROBE_COSPI, NB_PROBE_EXP, NB_PROBE_SQUARE, NB_PROBE_SPHERE, NB_PROBE_ERF, NB_PROBE_GAUSS_MEAN
    void nb_probe_math(int function, int single, const double *x, double *y, int64_t n, double parameter)

cdef extern from "nb_trace.h":
    enum:
        NB_F_NOT_LOOKED_AT, NB_F_DEFAULT, NB_F_LISTED, NB_F_INTERPOLATED
    ctypedef struct nb_trace_row:
        int64_t panel, layer, sub_slow, sub_fast, source, crystal, orientation
        double position[3]
        double R, omega, capture, wavelength, weight, share
        double q[3]
        double stol, polarization
        int64_t kept
        double abc[3][3]
        double hkl[3]
        int64_t hkl0[3]
        int64_t F_kind
        double F_cell, F_latt, term, running_sum
    ctypedef struct nb_trace_total:
        double start, scale, omega, polarization, capture, water, transmission, background, pixel
    int64_t nb_trace_length(const nb_scene *s, int32_t panel)
    int nb_trace_pixel(const nb_scene *s, int32_t panel, int32_t fast, int32_t slow, int interpolate, nb_trace_row *rows,
                       nb_trace_total *total, int isa) nogil

cdef extern from "nb_physics.h":
    const int NB_POINT
    double nb_mean_absorption_d(double u)

cdef extern from "nb_launch.h":
    enum:
        NB_INDEX_DOUBLE, NB_INDEX_FIXED, NB_INDEX_PAIRS
        NB_TABLE_CONSTANT, NB_TABLE_NEAREST, NB_TABLE_TRICUBIC
        NB_PER_THREAD, NB_WORDS, NB_WARP, NB_TILE_FAST, NB_TILE_SLOW
    ctypedef struct nb_part:
        int64_t first_row, rows, origin, image_stride, splits, crystal, before, per_source
        double index_bound
    ctypedef struct nb_block_cut:
        int64_t beyond, sequence
    ctypedef struct nb_seen:
        unsigned long long visited, left
    ctypedef struct nb_request:
        int64_t want, extras, weighted, first
        int64_t start[3]
        int64_t column[3]
        int64_t value[3]
    ctypedef struct nb_questions:
        int64_t source, table, columns, asks, cut_pixel, cut_sequence
        double norm
    ctypedef struct nb_sweep:
        int64_t first, last, groups, pixels, columns, extras, rows, factors, origin, slots, crystal, lanes, before
        int64_t per_source, tables, bits

cdef extern from "nb_axes.h":
    ctypedef struct nb_axes:
        pass
    ctypedef struct nb_course:
        pass

cdef extern from "nb_backdrop_slope.h":
    ctypedef struct nb_panel_c:
        int32_t fpixels, spixels
        int32_t first[2]
        double complex pixel[2]
        double complex fdet[3]
        double complex sdet[3]
        double complex odet[3]
        double complex beam[3]
        double complex pix0[3]
        double complex distance, close_distance
        int32_t curved, point_pixel, layers, mean_depth
        int32_t roi[4]
        double complex layer_step, thickness, mu
        int64_t offset
        const uint8_t *mask
        const int32_t *listed
        int64_t listed_count
        const double complex *source_mu
    ctypedef struct nb_source_c:
        double complex incident[3]
        double complex wavelength, weight
        int64_t table
    ctypedef struct nb_table_c:
        const double complex *F
        int32_t F_min[3]
        int32_t F_count[3]
        double complex default_F
    ctypedef struct nb_scene_c:
        int32_t panels, sources, nopolar
        const nb_panel_c *panel
        const nb_source_c *source
        const nb_table_c *table
        int64_t pixels
        double complex dmin
        double complex polarization
        double complex polar_vector[3]
    ctypedef struct nb_absorber_c:
        int64_t kind
        double complex normal[3]
        double complex distance
        const double complex *depth
    ctypedef struct nb_stop_c:
        int64_t kind, edges
        double complex normal[3]
        double complex u[3]
        double complex v[3]
        double complex distance
        double complex centre[2]
        double complex radius
        double complex arm[2]
        double complex half_width, transmission
        const double complex *edge
    ctypedef struct nb_body_c:
        int64_t kind, spread
        double complex centre[3]
        double complex normal[3]
        double complex size
        const double complex *mu
        const double complex *mean
    ctypedef struct nb_obstacles_c:
        int64_t absorbers, stops
        const nb_absorber_c *absorber
        const nb_stop_c *stop
        nb_body_c body
    ctypedef struct nb_curve_c:
        const double complex *knot
        const double complex *cubic
        const int32_t *bucket
        double complex low, per_bucket, least, most
        int32_t buckets, steps
    ctypedef struct nb_scatterer_c:
        int32_t curve, squared, polarized, fixed
        double complex amount
    ctypedef struct nb_place_c:
        double complex at[3]
        int32_t first, count
    ctypedef struct nb_backdrop_c:
        const nb_curve_c *curve
        const nb_place_c *place
        const nb_scatterer_c *scatterer
        const nb_obstacles_c *obstacles
        int32_t curves, places, scatterers, oversample
    ctypedef struct nb_backdrop_planes:
        double *background
        double *fixed
        double *transmission
    ctypedef struct nb_backdrop_slopes_job:
        int32_t threads
        double step
        nb_backdrop_planes rates, values
        const int32_t *cancel
        int64_t *progress
    int nb_backdrop_slopes(const nb_scene_c *scene, const nb_backdrop_c *backdrop, const nb_backdrop_slopes_job *job) nogil

cdef extern from "nb_diffuse_slope.h":
    ctypedef struct nb_motion_c:
        const double complex *abc
        const double complex *weight
        const double complex *form
        const double complex *outside
        const double complex *shell
        double complex scale, per_shell, along, across, soft
        int64_t orientations
        int32_t kind, table, models, order, stencil, damped, shells
    ctypedef struct nb_diffuse_c:
        const nb_motion_c *motion
        int32_t motions, oversample
    ctypedef struct nb_diffuse_slopes_job:
        int32_t threads
        double step
        double *rate
        double *value
        const int32_t *cancel
        int64_t *progress
    int nb_diffuse_slopes(const nb_scene_c *scene, const nb_diffuse_c *diffuse, const nb_diffuse_slopes_job *job) nogil
