# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled engine: fills the C Scene, renders without the GIL, and owns the reference's random stream."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.math cimport isnan
from libc.string cimport memset

import weakref

import numpy as np


CONSTANTS = {
    "R_E_SQR": NB_R_E_SQR, "HC_EV_A": NB_HC_EV_A, "DEFAULT_FLUENCE": NB_DEFAULT_FLUENCE, "AVOGADRO": NB_AVOGADRO,
    "BOLTZMANN": NB_BOLTZMANN,
    "WATER_F": NB_WATER_F, "WATER_MOLAR_MASS": NB_WATER_MOLAR_MASS, "WATER_DENSITY": NB_WATER_DENSITY,
    "SPHERE_SCALE": NB_SPHERE_SCALE, "GAUSS_WIDTH": NB_GAUSS_WIDTH, "TOPHAT_RADIUS_SQR": NB_TOPHAT_RADIUS_SQR,
}

# words of the Scene and of the options -> enumerations of C
SHAPES = {"square": NB_SQUARE, "round": NB_ELLIPSOID, "gauss": NB_GAUSS, "tophat": NB_TOPHAT}
CURVATURES = {"flat": NB_FLAT, "laboratory": NB_CURVED_LAB, "axes": NB_CURVED_AXES}
INTERPOLATIONS = {"nearest": NB_NEAREST, "tricubic": NB_TRICUBIC, "tricubic_exact": NB_TRICUBIC_EXACT}
WATER_MODES = {"in_sum": NB_WATER_IN_SUM, "after": NB_WATER_AFTER}
MOTIONS = {"liquid": NB_LIQUID, "thermal": NB_THERMAL}
MOST_ORDER = NB_MOST_ORDER
SPECTRA = {"direct": NB_DIRECT, "line": NB_LINE, "culled": NB_CULLED}
PRECISIONS = {"double": NB_DOUBLE, "mixed": NB_MIXED}
# numbers of the CUDA kernels' specialisations
INDEX_ARITHMETICS = {"double": NB_INDEX_DOUBLE, "fixed": NB_INDEX_FIXED, "pairs": NB_INDEX_PAIRS}
TABLE_KINDS = {"constant": NB_TABLE_CONSTANT, "nearest": NB_TABLE_NEAREST, "tricubic": NB_TABLE_TRICUBIC}
POINT = NB_POINT  # beside SHAPES: a block of one cell
PER_THREAD = NB_PER_THREAD
WARP, TILE = NB_WARP, (NB_TILE_FAST, NB_TILE_SLOW)
# enumerations of C -> words
STATUS = {
    NB_OK: "ok", NB_CANCELLED: "cancelled", NB_NO_MEMORY: "out of memory",
    NB_NO_ISA: "instruction set not available",
}
F_KINDS = {
    NB_F_NOT_LOOKED_AT: "not looked at", NB_F_DEFAULT: "default_F", NB_F_LISTED: "listed",
    NB_F_INTERPOLATED: "interpolated",
}
# bytes of the C structs
SIZES = {
    "nb_panel": sizeof(nb_panel), "nb_source": sizeof(nb_source), "nb_crystal": sizeof(nb_crystal),
    "nb_table": sizeof(nb_table), "nb_scene": sizeof(nb_scene), "nb_summary": sizeof(nb_summary),
    "nb_trace_row": sizeof(nb_trace_row), "nb_part": sizeof(nb_part), "nb_block_cut": sizeof(nb_block_cut),
    "nb_bound": sizeof(nb_bound), "nb_most": sizeof(nb_most), "nb_seen": sizeof(nb_seen),
    "nb_asked": sizeof(nb_asked), "nb_block": sizeof(nb_block), "nb_axes": sizeof(nb_axes), "nb_course": sizeof(nb_course),
    "nb_backdrop": sizeof(nb_backdrop), "nb_diffuse": sizeof(nb_diffuse),
}

_PROBES = {
    "round": NB_PROBE_ROUND, "sinpi": NB_PROBE_SINPI, "cospi": NB_PROBE_COSPI, "exp": NB_PROBE_EXP,
    "square": NB_PROBE_SQUARE, "sphere": NB_PROBE_SPHERE, "erf": NB_PROBE_ERF, "gauss_mean": NB_PROBE_GAUSS_MEAN,
}


cdef _dtypes():
    """NumPy's view of the structs that come back as arrays."""
    cdef nb_summary summary
    cdef nb_trace_row row
    cdef nb_part part
    cdef nb_response response
    cdef nb_tally tally
    cdef nb_spot_size size
    found = [np.asarray(x).dtype for x in (
        <nb_summary[:1]>&summary, <nb_trace_row[:1]>&row, <nb_part[:1]>&part, <nb_response[:1]>&response,
        <nb_tally[:1]>&tally, <nb_spot_size[:1]>&size,
    )]
    sizes = [sizeof(nb_summary), sizeof(nb_trace_row), sizeof(nb_part), sizeof(nb_response), sizeof(nb_tally),
             sizeof(nb_spot_size)]
    if [dtype.itemsize for dtype in found] != sizes:
        raise ImportError("a struct of csrc has fields that nbragg/_engine.pxd does not declare")
    return found


SUMMARY_DTYPE, TRACE_ROW_DTYPE, PART_DTYPE, RESPONSE_DTYPE, TALLY_DTYPE, SPOT_SIZE_DTYPE = _dtypes()


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


def mean_absorption(double u):
    """Mean depth of what a layer absorbs, as a fraction of its thickness, which is u attenuation depths along the ray."""
    return nb_mean_absorption_d(u)


include "_engine_random.pxi"


cdef int number_of(dict words, word, str what) except -1:
    """The enumeration that a word stands for."""
    try:
        return words[word]
    except (KeyError, TypeError):
        raise ValueError(f"{what} {word!r} is not known: give one of {', '.join(words)}") from None


cdef int copy_vector(double *target, values, int count, str what) except -1:
    cdef const double[::1] flat = values if values.ndim == 1 else values.reshape(-1)
    cdef int i
    if flat.shape[0] != count:
        raise ValueError(f"{what} has {flat.shape[0]} numbers; {count} were expected")
    for i in range(count):
        target[i] = flat[i]
    return 0


include "_engine_obstacles.pxi"


include "_engine_packing.pxi"


cdef class EngineScene:
    """A Scene as the C structs; those of panels, sources and tables that were packed before are used again."""

    cdef nb_scene c
    cdef object scene, behind
    cdef int64_t behind_pixels
    cdef Packed panels, sources, crystals, tables

    def __init__(self, scene):
        cdef nb_scene *c = &self.c
        memset(c, 0, sizeof(nb_scene))
        self.scene = scene
        self.panels, self.sources = pack_panels(scene.panels), pack_sources(scene.sources)
        self.crystals, self.tables = pack_crystals(scene.crystals), pack_tables(scene.tables)
        c.panels, c.sources = self.panels.count, self.sources.count
        c.crystals, c.tables = self.crystals.count, self.tables.count
        c.panel, c.source = <nb_panel *>self.panels.at, <nb_source *>self.sources.at
        c.crystal, c.table = <nb_crystal *>self.crystals.at, <nb_table *>self.tables.at
        c.pixels = self.panels.pixels
        c.oversample = scene.oversample
        if c.oversample < 1:
            raise ValueError(f"oversample = {c.oversample}; at least 1 was expected")
        c.oversample_thick, c.oversample_polar = scene.oversample_thick, scene.oversample_polar
        c.oversample_omega = scene.oversample_omega
        c.dmin, c.polarization, c.nopolar = scene.dmin, scene.polarization, scene.nopolar
        copy_vector(c.polar_vector, scene.polar_vector, 3, "polar_vector")
        c.fluence, c.water = scene.fluence, scene.water
        c.water_mode = number_of(WATER_MODES, scene.water_mode, "water_mode")
        c.spectral = number_of(SPECTRA, scene.spectral, "spectral")
        for panel in scene.panels:
            if panel.source_mu is not None and len(panel.source_mu) != c.sources:
                raise ValueError(f"source_mu has {len(panel.source_mu)} numbers; {c.sources} were expected")
        self.check_tables()
        if c.spectral != NB_DIRECT:
            self.check_spectral()

    cdef int check_tables(self) except -1:
        """Every crystal needs a table for each that a source names, all of one kind."""
        cdef int64_t most = 0, i, j
        cdef const nb_table *first
        for i in range(self.c.sources):
            most = max(most, self.c.source[i].table)
        for i in range(self.c.crystals):
            j = self.c.crystal[i].table
            if j < 0 or j + most >= self.c.tables:
                raise ValueError(
                    f"crystal {i} takes {most + 1} tables of structure factors from number {j} on; there are {self.c.tables}"
                )
            first = self.c.table + j
            for j in range(j, j + most + 1):
                if first.interpolation != self.c.table[j].interpolation or (first.F == NULL) != (self.c.table[j].F == NULL):
                    raise ValueError(f"the tables of crystal {i} differ in interpolation, or in having a list")
        return 0

    cdef int check_spectral(self) except -1:
        """What a rendering other than "direct" needs: channels, and crystals for which it is right."""
        cdef const nb_crystal *crystal
        cdef int i
        if self.scene.sources.channel is None:
            raise ValueError(f"spectral {self.scene.spectral!r} needs the channels of the sources")
        for i in range(self.c.crystals):
            crystal = self.c.crystal + i
            if self.c.table[crystal.table].interpolation != NB_NEAREST or crystal.shape == NB_SQUARE:
                raise ValueError(f"spectral {self.scene.spectral!r} is for nearest structure factors and spots that end")
            if self.c.spectral == NB_LINE and crystal.shape != NB_GAUSS:
                raise ValueError("spectral 'line' is for Gaussian spots")
        return 0

    @property
    def pixels(self):
        """Pixels of all panels."""
        return self.panels.pixels

    @property
    def rendered(self):
        """Pixels that are in a roi and not masked."""
        return self.panels.rendered

    @property
    def listed(self):
        """Of each panel the int32 array that `nb_panel.listed` points to, or None."""
        return tuple(self.panels.listed)

    def put_behind(self, transmission, background, fixed, int64_t first=0):
        """Let the pixels from image index `first` on have these images behind their spots: float64, or None."""
        cdef int64_t pixels = next((image.size for image in (transmission, background, fixed) if image is not None), 0)
        self.c.transmission = image_of(transmission, pixels, "the transmission")
        self.c.background = image_of(background, pixels, "the background")
        self.c.fixed = image_of(fixed, pixels, "the fixed background")
        self.c.behind, self.behind, self.behind_pixels = first, (transmission, background, fixed), pixels

    cdef int check_behind(self, int64_t pixel) except -1:
        """Raises unless the images behind the spots, where there are any, hold a pixel; -1: all of them."""
        cdef int64_t first = self.c.behind, last = first + self.behind_pixels
        if self.behind_pixels and not (first == 0 and last == self.c.pixels if pixel < 0 else first <= pixel < last):
            raise ValueError(f"the images behind the spots hold pixels {first} to {last - 1} of {self.c.pixels}")
        return 0

    def bounds(self, str isa, *, double tolerance=0.0, double spot_end=0.0, bint always=False):
        """What decides which samples are left out, for a renderer elsewhere; None: all are evaluated.

        Otherwise the structs nb_bound of the crystals as bytes; for each of them the photons that a largest F^2 L^2 of 1 amounts to,
        and the F^2 L^2 that may be left out untold; and the arrays of the structs nb_most, which `most_bytes` returns: float32, one for each table.
        """
        cdef nb_job job
        cdef int level = isa_index(isa), sparse = 0, status
        cdef bytearray copy
        cdef nb_bound *at
        cdef Most most
        if not (tolerance > 0.0 or spot_end > 0.0):
            return None
        memset(&job, 0, sizeof(nb_job))
        most = most_of(self.tables)
        job.tolerance, job.spot_end, job.most, job.always = tolerance, spot_end, most.at, always
        copy = bytearray(self.c.crystals * sizeof(nb_bound))
        at = <nb_bound *><char *>copy
        with nogil:
            status = nb_bounds(&self.c, &job, at, &sparse, level)
        if status:
            raise MemoryError(STATUS[status])
        if not sparse:
            return None
        told = [(at[i].photons, at[i].untold) for i in range(self.c.crystals)]
        return bytes(copy), told, tuple(most.arrays)

    def most_bytes(self, addresses):
        """The structs nb_most of the tables as bytes, with the addresses of their arrays in another memory."""
        cdef Most most = most_of(self.tables)
        cdef bytearray copy = bytearray((<const char *>most.at)[: self.c.tables * sizeof(nb_most)])
        cdef nb_most *at = <nb_most *><char *>copy
        for i, address in enumerate(addresses):
            if at[i].F_sqr != NULL:
                at[i].F_sqr = <const float *><size_t>address
        return bytes(copy)

    def device_bytes(self, str kind, **addresses):
        """C structs as bytes, their pointers replaced by addresses in another memory: what a CUDA kernel reads.

        kind and addresses: "scene" with panel, source, crystal, table, transmission, background, fixed; "panel" with mask, listed, source_mu,
        source_mu_slope, "source", "crystal" with abc, orientation_weight, "table" with F, where an address is given for each struct of the
        array.  Without one a pointer is NULL.
        """
        cdef bytearray copy
        cdef char *at
        cdef Packed packed
        if kind == "scene":
            copy = bytearray((<const char *>&self.c)[: sizeof(nb_scene)])
            at = copy
            (<nb_scene *>at).panel = <const nb_panel *><size_t>addresses.pop("panel", 0)
            (<nb_scene *>at).source = <const nb_source *><size_t>addresses.pop("source", 0)
            (<nb_scene *>at).crystal = <const nb_crystal *><size_t>addresses.pop("crystal", 0)
            (<nb_scene *>at).table = <const nb_table *><size_t>addresses.pop("table", 0)
            (<nb_scene *>at).transmission = <const double *><size_t>addresses.pop("transmission", 0)
            (<nb_scene *>at).background = <const double *><size_t>addresses.pop("background", 0)
            (<nb_scene *>at).fixed = <const double *><size_t>addresses.pop("fixed", 0)
        else:
            packed = {"panel": self.panels, "source": self.sources, "crystal": self.crystals, "table": self.tables}[kind]
            copy = bytearray((<const char *>packed.at)[: packed.bytes])
            at = copy
            none = [0] * packed.count
            if kind == "panel":
                names = ("mask", "listed", "source_mu", "source_mu_slope")
                for i, (mask, listed, mu, slope) in enumerate(
                    zip(*(addresses.pop(name, none) for name in names), strict=True)
                ):
                    (<nb_panel *>at)[i].mask = <const uint8_t *><size_t>mask
                    (<nb_panel *>at)[i].listed = <const int32_t *><size_t>listed
                    (<nb_panel *>at)[i].source_mu = <const double *><size_t>mu
                    (<nb_panel *>at)[i].source_mu_slope = <const double *><size_t>slope
            elif kind == "crystal":
                for i, (abc, weight) in enumerate(
                    zip(addresses.pop("abc", none), addresses.pop("orientation_weight", none), strict=True)
                ):
                    (<nb_crystal *>at)[i].abc = <const double *><size_t>abc
                    (<nb_crystal *>at)[i].orientation_weight = <const double *><size_t>weight
            elif kind == "table":
                for i, F in enumerate(addresses.pop("F", none)):
                    (<nb_table *>at)[i].F = <const double *><size_t>F
        if addresses:
            raise TypeError(f"{kind} has no pointer {', '.join(addresses)}")
        return bytes(copy)


include "_engine_backdrop.pxi"
include "_engine_diffuse.pxi"


cdef class Job:
    """One render: progress and cancel may be used from other threads while run() works."""

    cdef int32_t cancelled
    cdef int64_t done, passed
    cdef int passes
    cdef nb_job job
    cdef int level
    cdef EngineScene scene
    cdef Most most
    cdef object rules
    cdef readonly object image
    cdef readonly object image64

    def __init__(
        self, EngineScene scene, image, str precision, int threads, str isa, image64=None, *, double tolerance=0.0,
        double spot_end=0.0, rules=None, bint always=False
    ):
        """Into ``image``, float32, and ``image64``, float64, C-contiguous arrays with a place for each pixel of all panels.

        tolerance: photons that a pixel may lose; spot_end: fraction of its peak at which a Gaussian spot ends; 0: every sample is
        evaluated; rules: `nbragg.engine.quadrature.Rules` from which pixels take as many sub-pixels as they need, None: all; always:
        samples are left out where that does not pay, too.
        """
        cdef float[::1] flat
        cdef double[::1] flat64
        for array in (image, image64):
            if array is not None and not array.flags.c_contiguous:
                raise ValueError("an image must be C-contiguous")
        flat = image.reshape(-1)
        if flat.shape[0] != scene.c.pixels:
            raise ValueError(f"an image of {flat.shape[0]} pixels for a detector of {scene.c.pixels}")
        self.scene, self.image, self.image64 = scene, image, image64
        self.level = isa_index(isa)
        self.job.precision, self.job.threads = number_of(PRECISIONS, precision, "precision"), threads
        self.job.image = &flat[0]
        if image64 is not None:
            flat64 = image64.reshape(-1)
            if flat64.shape[0] != scene.c.pixels:
                raise ValueError(f"an image64 of {flat64.shape[0]} pixels for a detector of {scene.c.pixels}")
            self.job.image64 = &flat64[0]
        self.job.cancel, self.job.progress = &self.cancelled, &self.done
        self.job.summary = nb_summary_of_nothing()
        self.job.visited = -1
        if rules is not None:
            self.put_rules(rules)
        if tolerance > 0.0 or spot_end > 0.0 or rules is not None:
            self.most = most_of(scene.tables)
            self.job.tolerance, self.job.spot_end, self.job.most = tolerance, spot_end, self.most.at
            self.job.always = always

    cdef int put_rules(self, rules) except -1:
        cdef const int32_t[::1] count = rules.counts
        cdef const double[::1] place = rules.places, weight = rules.weights
        cdef int64_t places = rules.counts.sum()
        if count.shape[0] == 0 or place.shape[0] != places or weight.shape[0] != places or rules.counts.min() < 1:
            raise ValueError(f"rules of {places} places, with {place.shape[0]} places and {weight.shape[0]} weights")
        if count[count.shape[0] - 1] != self.scene.c.oversample:
            raise ValueError(f"rules for {count[count.shape[0] - 1]} sub-pixels, not {self.scene.c.oversample}")
        self.rules = rules
        self.job.rules.count, self.job.rules.place, self.job.rules.weight = &count[0], &place[0], &weight[0]
        self.job.rules.rules = <int32_t>count.shape[0]
        return 0

    @property
    def progress(self):
        """Fraction of the work done, by pixels."""
        return (self.done + self.passed) / max((1 + self.passes) * self.scene.panels.rendered, 1)

    @property
    def summary(self):
        """nb_summary as a dict, with what was left out."""
        return self.job.summary | {"visited": self.job.visited, "left_out": self.job.left_out}

    @property
    def cut(self):
        """Image index and sequence number of the sample that ended the interpolation; None: none did."""
        if self.job.summary.cut_pixel < 0:
            return None
        return self.job.summary.cut_pixel, self.job.cut_sequence

    def cancel(self):
        """Ask run() to stop at the next sub-pixel."""
        self.cancelled = 1

    def make_behind(self, PackedBackdrop backdrop, transmission, background, fixed, outside):
        """Fill the images behind the spots on this thread (and OpenMP's); returns an entry of STATUS.

        Images: float64, of all pixels, or None.
        outside: int64, one for each scatterer; pixels beyond its curve are added to it.
        """
        cdef nb_backdrop_job job
        cdef int64_t[::1] counts = outside
        cdef int status
        memset(&job, 0, sizeof(nb_backdrop_job))
        backdrop.check(self.scene)
        if counts.shape[0] != backdrop.c.curves:
            raise ValueError(f"{counts.shape[0]} counts for {backdrop.c.curves} curves")
        pixels = self.scene.c.pixels
        job.transmission = image_of(transmission, pixels, "the transmission")
        job.background = image_of(background, pixels, "the background")
        job.fixed = image_of(fixed, pixels, "the fixed background")
        job.outside = &counts[0] if counts.shape[0] else NULL
        job.threads = self.job.threads
        job.cancel, job.progress = &self.cancelled, &self.passed
        self.passes, self.passed = 1, 0
        with nogil:
            status = nb_backdrop_images(&self.scene.c, &backdrop.c, &job, self.level)
        return STATUS[status]

    def make_diffuse(self, PackedDiffuse diffuse, image):
        """Fill the image of diffuse scattering, float64, of all pixels, as make_behind; returns an entry of STATUS."""
        cdef nb_diffuse_job job
        cdef int status
        memset(&job, 0, sizeof(nb_diffuse_job))
        diffuse.check(self.scene)
        job.image = image_of(image, self.scene.c.pixels, "the diffuse image")
        job.threads = self.job.threads
        job.cancel, job.progress = &self.cancelled, &self.passed
        self.passes += 1
        with nogil:
            status = nb_diffuse_image(&self.scene.c, &diffuse.c, &job, self.level)
        return STATUS[status]

    def run(self):
        """Render on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef int status
        self.scene.check_behind(-1)
        with nogil:
            status = nb_render(&self.scene.c, &self.job, self.level)
        return STATUS[status]


cdef int check_panel(EngineScene scene, int panel) except -1:
    if not 0 <= panel < scene.c.panels:
        raise ValueError(f"panel {panel} of {scene.c.panels}")
    return 0


cdef int check_pixel(EngineScene scene, int panel, int fast, int slow) except -1:
    check_panel(scene, panel)
    if not (0 <= fast < scene.c.panel[panel].fpixels and 0 <= slow < scene.c.panel[panel].spixels):
        raise ValueError(f"pixel fast {fast}, slow {slow} is not on panel {panel}")
    return 0


def behind_pixel(EngineScene scene, PackedBackdrop backdrop, int panel, int fast, int slow, str isa):
    """Transmission, background and fixed background of one pixel: float64, shape (3,)."""
    cdef int level = isa_index(isa), status
    behind = np.empty(3)
    cdef double[::1] out = behind
    check_pixel(scene, panel, fast, slow)
    backdrop.check(scene)
    with nogil:
        status = nb_backdrop_pixel(&scene.c, &backdrop.c, panel, fast, slow, &out[0], level)
    if status:
        raise ValueError(f"{isa}: {STATUS[status]}")
    return behind


def diffuse_pixel(EngineScene scene, PackedDiffuse diffuse, int panel, int fast, int slow, str isa):
    """Diffuse scattering of one pixel, photons at a fluence of 1 photon/m^2."""
    cdef int level = isa_index(isa), status
    cdef double value = 0.0
    check_pixel(scene, panel, fast, slow)
    diffuse.check(scene)
    with nogil:
        status = nb_diffuse_pixel(&scene.c, &diffuse.c, panel, fast, slow, &value, level)
    if status:
        raise ValueError(f"{isa}: {STATUS[status]}")
    return value


def trace_length(EngineScene scene, int panel=0):
    """Samples of one pixel of a panel."""
    check_panel(scene, panel)
    return nb_trace_length(&scene.c, panel)


def trace_pixel(EngineScene scene, int panel, int fast, int slow, bint interpolate, str isa, rows):
    """Fill `rows`, trace_length records of TRACE_ROW_DTYPE, and return how their sum becomes the pixel, as a dict.

    interpolate: whether the pixel's samples start out interpolated; see nb_trace.h.
    """
    cdef nb_trace_row[::1] out = rows
    cdef nb_trace_total total
    cdef int level = isa_index(isa), status
    check_pixel(scene, panel, fast, slow)
    scene.check_behind(scene.c.panel[panel].offset + slow * <int64_t>scene.c.panel[panel].fpixels + fast)
    if out.shape[0] != nb_trace_length(&scene.c, panel):
        raise ValueError(f"{out.shape[0]} rows for {nb_trace_length(&scene.c, panel)} samples")
    with nogil:
        status = nb_trace_pixel(&scene.c, panel, fast, slow, interpolate, &out[0], &total, level)
    if status:
        raise ValueError(f"{isa}: {STATUS[status]}")
    return total


include "_engine_gradient.pxi"
include "_engine_response.pxi"
include "_engine_slopes.pxi"
include "_engine_spots.pxi"
