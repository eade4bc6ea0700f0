# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled engine: fills the C Scene, renders without the GIL, and owns the reference's random stream."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memset

import numpy as np


cdef extern from "nb_constants.h":
    const double NB_R_E_SQR, NB_HC_EV_A, NB_DEFAULT_FLUENCE, NB_AVOGADRO
    const double NB_WATER_F, NB_WATER_MOLAR_MASS, NB_WATER_DENSITY

cdef extern from "nb_scene.h":
    ctypedef struct nb_scene:
        int32_t fpixels, spixels
        double pixel_size
        double fdet[3]
        double sdet[3]
        double odet[3]
        double beam[3]
        double pix0[3]
        double distance, close_distance
        int32_t curved, point_pixel, layers
        double layer_step, thickness, mu
        int32_t oversample, oversample_thick, oversample_polar, oversample_omega
        int32_t roi[4]
        const uint8_t *mask
        double dmin
        int32_t sources
        const double *incident
        const double *wavelength
        const double *weight
        double polarization
        double polar_vector[3]
        int32_t nopolar
        double fluence, water
        int32_t water_mode
        int64_t orientations
        const double *abc
        double N[3]
        int32_t shape
        double fudge
        double metric[9]
        const double *F
        int32_t F_min[3]
        int32_t F_count[3]
        double default_F
        int32_t interpolation
        double F_reach

cdef extern from "nb_render.h":
    ctypedef struct nb_job:
        int32_t precision, threads
        float *image
        double *image64
        const int32_t *cancel
        int64_t *progress
        double omega_sum
        int64_t pixels, nonfinite, first_nonfinite, cut_pixel
        double total, squares, largest
        int64_t largest_pixel
    const char *nb_isa_name(int isa)
    int nb_isa_available(int isa)
    int nb_isa_best()
    int nb_max_threads()
    const char *nb_compiler()
    const char *nb_flags()
    int nb_has_openmp()
    int nb_render(const nb_scene *scene, nb_job *job, int isa) nogil

cdef extern from "nb_random.h":
    ctypedef struct nb_stream:
        pass
    void nb_seed(nb_stream *r, int64_t seed)
    float nb_uniform(nb_stream *r)
    float nb_gaussian(nb_stream *r)
    float nb_poisson(nb_stream *r, float mean)
    int64_t nb_noise_image(nb_stream *r, const float *photons, uint16_t *counts, int32_t fpixels,
                           const int32_t *roi, double offset) nogil

cdef extern from "nb_reach.h":
    double nb_table_reach(const double *F, const int32_t *F_min, const int32_t *F_count, const double *metric) nogil

cdef extern from "nb_probe.h":
    void nb_probe_math(int function, int single, const double *x, double *y, int64_t n, double parameter)

cdef extern from "nb_trace.h":
    ctypedef struct nb_trace_row:
        int64_t layer, sub_slow, sub_fast, source, orientation
        double position[3]
        double R, omega, capture, wavelength, weight
        double q[3]
        double stol, polarization
        int64_t kept
        double abc[3][3]
        double hkl[3]
        int64_t hkl0[3]
        int64_t F_kind
        double F_cell, F_latt, term, running_sum
    ctypedef struct nb_trace_total:
        double start, scale, omega, polarization, capture, water, pixel
    int64_t nb_trace_length(const nb_scene *s)
    int nb_trace_pixel(const nb_scene *s, int32_t fast, int32_t slow, int interpolate, nb_trace_row *rows,
                       nb_trace_total *total, int isa) nogil


CONSTANTS = {
    "R_E_SQR": NB_R_E_SQR, "HC_EV_A": NB_HC_EV_A, "DEFAULT_FLUENCE": NB_DEFAULT_FLUENCE, "AVOGADRO": NB_AVOGADRO,
    "WATER_F": NB_WATER_F, "WATER_MOLAR_MASS": NB_WATER_MOLAR_MASS, "WATER_DENSITY": NB_WATER_DENSITY,
}

STATUS = {0: "ok", 1: "cancelled", 2: "out of memory", 3: "instruction set not available"}

_PROBES = {"round": 0, "sinpi": 1, "cospi": 2, "exp": 3, "square": 4, "sphere": 5}


def isa_levels():
    """Instruction sets this build holds, narrowest first, as (name, usable on this processor)."""
    levels = []
    cdef int i = 0
    while nb_isa_name(i) != NULL:
        levels.append((nb_isa_name(i).decode(), bool(nb_isa_available(i))))
        i += 1
    return levels


cdef int isa_index(str name):
    """Place of a level in isa_levels(), -1 for an unknown name."""
    cdef int i = 0
    while nb_isa_name(i) != NULL:
        if nb_isa_name(i).decode() == name:
            return i
        i += 1
    return -1


def best_isa():
    """Name of the widest usable instruction set."""
    return nb_isa_name(nb_isa_best()).decode()


def compiler():
    """The C compiler and the options that every instruction set was compiled with."""
    return nb_compiler().decode(), nb_flags().decode()


def max_threads():
    """Threads OpenMP would take (OMP_NUM_THREADS honoured); 1 in a build without OpenMP."""
    return nb_max_threads()


def has_openmp():
    """Whether the extension was built with OpenMP."""
    return bool(nb_has_openmp())


def table_reach(const double[:, :, ::1] table, origin, const double[::1] metric):
    """Largest length of a reciprocal lattice vector whose structure factor is not zero; see nb_table_reach."""
    cdef int32_t low[3]
    cdef int32_t count[3]
    cdef int i
    cdef double reach
    if metric.shape[0] != 6:
        raise ValueError(f"a metric has 6 numbers, not {metric.shape[0]}")
    for i in range(3):
        low[i] = origin[i]
        count[i] = <int32_t>table.shape[i]
    if table.size == 0:
        return 0.0
    with nogil:
        reach = nb_table_reach(&table[0, 0, 0], low, count, &metric[0])
    return reach


def probe_math(str function, double[::1] x, bint single=False, double parameter=1.0):
    """Evaluate one of the engine's elementary functions, for the tests that state its error.

    function: round, sinpi, cospi, exp, square (lattice factor of `parameter` cells), sphere; single: the float version.
    """
    y = np.empty(x.shape[0])
    cdef double[::1] out = y
    if x.shape[0]:
        nb_probe_math(_PROBES[function], single, &x[0], &out[0], x.shape[0], parameter)
    return y


cdef class RandomStream:
    """The reference's random stream (canonical 9.1, 9.3), seeded as on the command line."""

    cdef nb_stream stream

    def __init__(self, seed):
        nb_seed(&self.stream, int(seed))

    def uniform(self):
        """Uniform deviate in (0, 1), a float32 value."""
        return nb_uniform(&self.stream)

    def gauss(self):
        """Normal deviate, a float32 value."""
        return nb_gaussian(&self.stream)

    def poisson(self, float mean):
        """Poisson deviate of the given mean, a float32 value."""
        return nb_poisson(&self.stream, mean)

    def noise_image(self, const float[:, ::1] photons, roi, double offset):
        """Counts (uint16) of one exposure and the number of overloaded pixels; see nb_noise_image."""
        counts = np.zeros((photons.shape[0], photons.shape[1]), np.uint16)
        cdef uint16_t[:, ::1] out = counts
        cdef int32_t limits[4]
        cdef int64_t overloads
        limits[0], limits[1], limits[2], limits[3] = roi
        with nogil:
            overloads = nb_noise_image(&self.stream, &photons[0, 0], &out[0, 0], <int32_t>photons.shape[1], limits, offset)
        return counts, overloads


cdef int copy_vector(double *target, values, int count) except -1:
    cdef int i
    flat = np.asarray(values, np.float64).ravel()
    if flat.size != count:
        raise ValueError(f"expected {count} numbers, got {flat.size}")
    for i in range(count):
        target[i] = flat[i]
    return 0


cdef class EngineScene:
    """A Scene as the C struct, with the arrays it borrows kept alive."""

    cdef nb_scene c
    cdef object scene
    cdef const double[:, ::1] incident
    cdef const double[::1] wavelength
    cdef const double[::1] weight
    cdef const double[:, :, ::1] abc
    cdef const double[:, :, ::1] table
    cdef const uint8_t[:, ::1] mask

    def __init__(self, scene):
        cdef int i
        cdef nb_scene *c = &self.c
        memset(c, 0, sizeof(nb_scene))
        self.scene = scene
        c.fpixels, c.spixels, c.pixel_size = scene.fpixels, scene.spixels, scene.pixel_size
        copy_vector(c.fdet, scene.fdet, 3)
        copy_vector(c.sdet, scene.sdet, 3)
        copy_vector(c.odet, scene.odet, 3)
        copy_vector(c.beam, scene.beam_vector, 3)
        copy_vector(c.pix0, scene.pix0, 3)
        c.distance, c.close_distance = scene.distance, scene.close_distance
        c.curved, c.point_pixel = scene.curved, scene.point_pixel
        c.layers, c.layer_step, c.thickness, c.mu = scene.layers, scene.layer_step, scene.thickness, scene.mu
        c.oversample = scene.oversample
        c.oversample_thick, c.oversample_polar = scene.oversample_thick, scene.oversample_polar
        c.oversample_omega = scene.oversample_omega
        for i in range(4):
            c.roi[i] = scene.roi[i]
        if not (0 <= c.roi[0] <= c.roi[1] < c.fpixels and 0 <= c.roi[2] <= c.roi[3] < c.spixels):
            raise ValueError(f"roi {tuple(scene.roi)} does not fit a detector of {c.fpixels} x {c.spixels} pixels")
        if scene.mask is not None:
            self.mask = scene.mask
            if self.mask.shape[0] != c.spixels or self.mask.shape[1] != c.fpixels:
                raise ValueError("mask and detector differ in shape")
            c.mask = &self.mask[0, 0]
        c.dmin = scene.dmin
        self.incident, self.wavelength, self.weight = scene.source_incident, scene.source_wavelength, scene.source_weight
        c.sources = <int32_t>self.wavelength.shape[0]
        if c.sources < 1 or self.incident.shape[0] != c.sources or self.incident.shape[1] != 3 or self.weight.shape[0] != c.sources:
            raise ValueError("source arrays differ in length")
        c.incident, c.wavelength, c.weight = &self.incident[0, 0], &self.wavelength[0], &self.weight[0]
        c.polarization, c.nopolar = scene.polarization, scene.nopolar
        copy_vector(c.polar_vector, scene.polar_vector, 3)
        c.fluence, c.water, c.water_mode = scene.fluence, scene.water, scene.water_mode
        self.abc = scene.orientations
        c.orientations = self.abc.shape[0]
        if c.orientations < 1 or self.abc.shape[1] != 3 or self.abc.shape[2] != 3:
            raise ValueError("orientations must have the shape (n, 3, 3), n >= 1")
        c.abc = &self.abc[0, 0, 0]
        copy_vector(c.N, scene.N, 3)
        c.shape, c.fudge = scene.shape, scene.fudge
        copy_vector(c.metric, scene.shape_metric, 9)
        c.default_F, c.interpolation, c.F_reach = scene.default_F, scene.interpolation, scene.F_reach
        if scene.F_table is not None:
            self.table = scene.F_table
            if self.table.size >= 2**31:
                raise ValueError(f"a table of {self.table.size} structure factors is beyond the limit of 2^31 - 1")
            c.F = &self.table[0, 0, 0]
            for i in range(3):
                c.F_min[i] = scene.F_origin[i]
                c.F_count[i] = <int32_t>self.table.shape[i]
        else:
            c.interpolation = 0

    def packed(self, *, size_t mask=0, size_t incident=0, size_t wavelength=0, size_t weight=0, size_t abc=0, size_t F=0):
        """The C struct as bytes, its pointers replaced by addresses in another memory: what a CUDA kernel takes."""
        cdef nb_scene c = self.c
        c.mask = <const uint8_t *>mask
        c.incident, c.wavelength, c.weight = <const double *>incident, <const double *>wavelength, <const double *>weight
        c.abc, c.F = <const double *>abc, <const double *>F
        return (<const char *>&c)[:sizeof(nb_scene)]


cdef class Job:
    """One render: progress and cancel may be used from other threads while run() works."""

    cdef int32_t cancelled
    cdef int64_t done
    cdef EngineScene scene
    cdef readonly object image
    cdef readonly object image64
    cdef readonly dict report

    def __init__(self, EngineScene scene, image, image64=None):
        self.scene = scene
        self.image = image
        self.image64 = image64

    @property
    def progress(self):
        """Pixels of the roi passed so far."""
        return self.done

    def cancel(self):
        """Ask run() to stop at the next sub-pixel."""
        self.cancelled = 1

    def run(self, int precision, int threads, str isa):
        """Render on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef nb_job job
        cdef float[:, ::1] image = self.image
        cdef double[:, ::1] image64
        cdef int level = isa_index(isa), status
        if image.shape[0] != self.scene.c.spixels or image.shape[1] != self.scene.c.fpixels:
            raise ValueError("image and detector differ in shape")
        memset(&job, 0, sizeof(nb_job))
        job.precision, job.threads = precision, threads
        job.image = &image[0, 0]
        if self.image64 is not None:
            image64 = self.image64
            if image64.shape[0] != image.shape[0] or image64.shape[1] != image.shape[1]:
                raise ValueError("image64 and detector differ in shape")
            job.image64 = &image64[0, 0]
        job.cancel, job.progress = &self.cancelled, &self.done
        with nogil:
            status = nb_render(&self.scene.c, &job, level)
        self.report = {
            "omega_sum": job.omega_sum, "pixels": job.pixels, "nonfinite": job.nonfinite,
            "first_nonfinite": job.first_nonfinite, "cut_pixel": job.cut_pixel,
            "sums": (job.total, job.squares, job.largest, job.largest_pixel),
        }
        return STATUS[status]


def trace_length(EngineScene scene):
    """Samples of one pixel."""
    return nb_trace_length(&scene.c)


def trace_pixel(EngineScene scene, int fast, int slow, bint interpolate, str isa, rows):
    """Fill `rows`, of trace_length records of nb_trace_row's layout, and return how their sum becomes the pixel, as a dict.

    interpolate: whether the pixel's samples start out interpolated; see nb_trace.h.
    """
    cdef nb_trace_row[::1] out = rows
    cdef nb_trace_total total
    cdef int level = isa_index(isa), status
    if out.shape[0] != nb_trace_length(&scene.c):
        raise ValueError(f"{out.shape[0]} rows for {nb_trace_length(&scene.c)} samples")
    with nogil:
        status = nb_trace_pixel(&scene.c, fast, slow, interpolate, &out[0], &total, level)
    if status:
        raise ValueError(f"{isa}: {STATUS[status]}")
    return total
