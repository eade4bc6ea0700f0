"""Derivatives of the image on the CPU; see csrc/nb_gradient.h."""

# columns of the basis, as csrc/nb_columns.h numbers them
COLUMNS = {
    "pix0": NB_BY_PIX0, "fdet": NB_BY_FDET, "sdet": NB_BY_SDET, "odet": NB_BY_ODET, "beam": NB_BY_BEAM, "pixel": NB_BY_PIXEL,
    "layer_step": NB_BY_LAYER_STEP, "mu": NB_BY_MU, "close_distance": NB_BY_CLOSE_DISTANCE, "distance": NB_BY_DISTANCE,
    "panel_end": NB_PANEL_COLUMNS, "polarization": NB_BY_POLARIZATION, "polar_vector": NB_BY_POLAR_VECTOR,
    "fluence": NB_BY_FLUENCE, "water": NB_BY_WATER, "image_end": NB_IMAGE_COLUMNS,
    # from the first column of a source, or of a crystal
    "incident": NB_BY_INCIDENT, "wavelength": NB_BY_WAVELENGTH, "weight": NB_BY_WEIGHT, "source_end": NB_SOURCE_COLUMNS,
    "N": NB_BY_N, "metric": NB_BY_METRIC, "crystal_weight": NB_BY_CRYSTAL_WEIGHT, "cell": NB_BY_CELL,
    "crystal_end": NB_CRYSTAL_COLUMNS,
}
WANTS = {
    "pull": NB_WANT_PULL, "cell": NB_WANT_CELL, "shape": NB_WANT_SHAPE, "default_F": NB_WANT_DEFAULT,
    "orientations": NB_WANT_ORIENTATIONS, "table": NB_WANT_TABLE,
}
ASKS = {"panels": NB_ASK_PANELS, "sources": NB_ASK_SOURCES, "polarization": NB_ASK_POLARIZATION}
WORDS = NB_WORDS
# numbers of nb_gradient.cu: where structure factors come from
FACTOR_SOURCES = {"constant": NB_F_CONSTANT, "nearest": NB_F_NEAREST, "tricubic": NB_F_TRICUBIC}


cdef _gradient_dtypes():
    """NumPy's view of what nb_gradient.cu takes."""
    cdef nb_request request
    cdef nb_questions questions
    cdef nb_sweep sweep
    found = [
        np.asarray(x).dtype
        for x in (<nb_request[:1]>&request, <nb_questions[:1]>&questions, <nb_sweep[:1]>&sweep)
    ]
    if [dtype.itemsize for dtype in found] != [sizeof(nb_request), sizeof(nb_questions), sizeof(nb_sweep)]:
        raise ImportError("a struct of csrc/nb_launch.h has fields that nbragg/_engine.pxd does not declare")
    return found


REQUEST_DTYPE, QUESTIONS_DTYPE, SWEEP_DTYPE = _gradient_dtypes()


cdef class Rates:
    """Sparse numbers sorted by their first index: start (n+1,) int64, column (m,) int32, value (m, width) float64."""

    cdef const int64_t[::1] start
    cdef const int32_t[::1] column
    cdef const double[::1] value
    cdef Py_ssize_t rows, width

    def __init__(self, start, column, value):
        self.start, self.column, self.value = start, column, value.reshape(-1)
        self.rows = self.start.shape[0] - 1
        count = self.column.shape[0]
        self.width = self.value.shape[0] // max(count, 1)
        if self.rows < 0 or start[0] != 0 or self.start[self.rows] != count or self.value.shape[0] != count * self.width:
            raise ValueError(f"{self.rows + 1} starts, {count} columns and {self.value.shape[0]} values do not fit together")

    @property
    def arrays(self):
        """start, column, value as they were given, the last one flat."""
        return np.asarray(self.start), np.asarray(self.column), np.asarray(self.value)

    cdef int check(self, str what, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t columns) except -1:
        cdef Py_ssize_t i
        if self.rows != rows or (self.column.shape[0] and self.width != width):
            raise ValueError(f"{what}: {self.rows} rows of {self.width} numbers; {rows} of {width} were expected")
        for i in range(rows):
            if self.start[i + 1] < self.start[i]:
                raise ValueError(f"{what}: row {i} ends before it begins")
        for i in range(self.column.shape[0]):
            if not 0 <= self.column[i] < columns:
                raise ValueError(f"{what}: column {self.column[i]} of {columns}")
        return 0

    cdef nb_rates rates(self):
        cdef nb_rates c
        c.start = &self.start[0]
        c.column = &self.column[0] if self.column.shape[0] else NULL
        c.value = &self.value[0] if self.column.shape[0] else NULL
        return c

    cdef nb_terms terms(self):
        cdef nb_rates r = self.rates()
        cdef nb_terms c
        c.start, c.column, c.value = r.start, r.column, r.value
        return c


cdef double *doubles(array, Py_ssize_t count, str what) except? NULL:
    """Address of a C-contiguous float64 array of so many numbers; NULL for None."""
    cdef double[::1] flat
    if array is None:
        return NULL
    if not array.flags.c_contiguous or array.size != count:
        raise ValueError(f"{what}: an array of shape {array.shape}; {count} contiguous numbers were expected")
    flat = array.reshape(-1)
    return &flat[0] if count else NULL


cdef const double *given_doubles(array, Py_ssize_t count, str what) except? NULL:
    cdef const double[::1] flat
    if array is None:
        return NULL
    if not array.flags.c_contiguous or array.size != count:
        raise ValueError(f"{what}: an array of shape {array.shape}; {count} contiguous numbers were expected")
    flat = array.reshape(-1)
    return &flat[0] if count else NULL


cdef class GradientJob:
    """One pass of derivatives: progress and cancel may be used from other threads while run() works.

    Either `sums` or rows are made.  Outputs are zero before.
    """

    cdef int32_t cancelled
    cdef int64_t done
    cdef nb_gradient job
    cdef int level
    cdef EngineScene scene
    cdef list kept
    cdef nb_asked *asked
    cdef int32_t *crystal
    cdef nb_terms *panel_terms
    cdef const int32_t **slot
    cdef const double **share
    cdef double **orientations
    cdef double **tables

    def __cinit__(self, EngineScene scene, *arguments, **named):
        self.asked = <nb_asked *>calloc(scene.c.crystals, sizeof(nb_asked))
        self.crystal = <int32_t *>calloc(scene.c.crystals, sizeof(int32_t))
        self.panel_terms = <nb_terms *>calloc(scene.c.panels, sizeof(nb_terms))
        self.slot = <const int32_t **>calloc(scene.c.tables, sizeof(int32_t *))
        self.share = <const double **>calloc(scene.c.tables, sizeof(double *))
        self.orientations = <double **>calloc(scene.c.crystals, sizeof(double *))
        self.tables = <double **>calloc(scene.c.tables, sizeof(double *))
        if (
            self.asked == NULL or self.crystal == NULL or self.panel_terms == NULL or self.slot == NULL
            or self.share == NULL or self.orientations == NULL or self.tables == NULL
        ):
            raise MemoryError

    def __dealloc__(self):
        free(self.asked)
        free(self.crystal)
        free(self.panel_terms)
        free(self.slot)
        free(self.share)
        free(self.orientations)
        free(self.tables)

    def __init__(self, EngineScene scene, asked, int asks, *, str precision, int threads, str isa, cut=None):
        """``asked``: for each crystal (want, extras, weighted, turn, move, weight), the last three Rates or None.

        asks: sum of ASKS.
        """
        cdef int32_t columns = NB_IMAGE_COLUMNS, i
        cdef nb_asked *c
        cdef Rates rates
        self.scene, self.kept = scene, [asked]
        self.level, self.job.asks = isa_index(isa), asks
        self.job.precision, self.job.threads = number_of(PRECISIONS, precision, "precision"), threads
        self.job.cut.pixel, self.job.cut.sequence = (2**63 - 1, 0) if cut is None else cut
        self.job.cancel, self.job.progress = &self.cancelled, &self.done
        self.job.layout.source = columns
        columns += NB_SOURCE_COLUMNS * scene.c.sources
        self.job.layout.table = columns
        columns += scene.c.tables
        if len(asked) != scene.c.crystals:
            raise ValueError(f"{len(asked)} requests for {scene.c.crystals} crystals")
        for i in range(scene.c.crystals):
            c = &self.asked[i]
            c.want, c.extras, c.weighted, turn, move, weight = asked[i]
            if not 0 <= c.weighted <= c.extras:
                raise ValueError(f"{c.weighted} of {c.extras} columns")
            for name, value, width in (("turn", turn, 3), ("move", move, 9), ("weight", weight, 1)):
                if value is not None:
                    rates = value
                    rates.check(name, scene.c.crystal[i].orientations, width, c.extras)
            if turn is not None:
                c.turn = (<Rates>turn).rates()
            if move is not None:
                c.move = (<Rates>move).rates()
            if weight is not None:
                c.weight = (<Rates>weight).rates()
            self.crystal[i] = columns
            columns += NB_CRYSTAL_COLUMNS + c.extras
        self.job.layout.columns, self.job.layout.crystal, self.job.asked = columns, self.crystal, self.asked
        self.job.norm = 1.0

    @property
    def layout(self):
        """First column of the sources, of the tables, of each crystal; the number of columns."""
        cdef nb_layout *c = &self.job.layout
        return c.source, c.table, tuple(self.crystal[i] for i in range(self.scene.c.crystals)), c.columns

    def sum_columns(self, given, double norm, sums, orientations=None, tables=None):
        """Sum the columns weighed by the image ``given``, whose largest magnitude is ``norm``.

        sums: (panels * panel_end + columns - panel_end,); orientations: of each crystal (n, 10) or None; tables: of
        each table an array of its shape or None.
        """
        cdef int i
        cdef Py_ssize_t others = self.job.layout.columns - NB_PANEL_COLUMNS
        self.job.given, self.job.norm = given_doubles(given, self.scene.c.pixels, "cotangent"), norm
        self.job.sums = doubles(sums, self.scene.c.panels * NB_PANEL_COLUMNS + others, "sums")
        for i, array in enumerate(orientations or ()):
            self.orientations[i] = doubles(array, 10 * self.scene.c.crystal[i].orientations, "orientations")
            self.job.orientations = self.orientations
        for i, array in enumerate(tables or ()):
            if array is not None and self.scene.c.table[i].F == NULL:
                raise ValueError(f"table {i} has no list")
            if array is not None:
                self.tables[i] = doubles(array, self.scene.scene.tables[i].values.size, "table")
            self.job.tables = self.tables
        self.kept += [given, sums, orientations, tables]

    def make_rows(self, int rows, Rates terms, panel_terms, int factors=0, slots=None, shares=None):
        """Rows: sums of columns by ``terms``, and by ``panel_terms`` of each panel; then one for each of ``factors``.

        slots: of each table an int32 array of its shape, -1 where no row is asked for, or None; shares: likewise a
        float64 array of what each entry counts for.
        """
        cdef int i
        cdef const int32_t[::1] flat
        cdef Rates of_panel
        terms.check("terms", rows, 1, self.job.layout.columns)
        self.job.rows, self.job.factors, self.job.terms = rows, factors, terms.terms()
        if len(panel_terms) != self.scene.c.panels:
            raise ValueError(f"{len(panel_terms)} panels' terms for {self.scene.c.panels} panels")
        for i, value in enumerate(panel_terms):
            of_panel = value
            of_panel.check("panel terms", rows, 1, NB_PANEL_COLUMNS)
            self.panel_terms[i] = of_panel.terms()
        self.job.panel_terms = self.panel_terms
        for i, array in enumerate(slots or ()):
            if array is None:
                continue
            if self.scene.c.table[i].F == NULL or array.shape != self.scene.scene.tables[i].values.shape:
                raise ValueError(f"slots of shape {array.shape} for table {i}")
            if array.size and not (-1 <= array.min() and array.max() < factors):
                raise ValueError(f"slots beyond the {factors} rows of structure factors")
            flat = array.reshape(-1)
            self.slot[i] = &flat[0]
            self.share[i] = given_doubles(shares[i], array.size, "shares")
            self.job.slot, self.job.share = self.slot, self.share
        self.kept += [terms, panel_terms, slots, shares]

    def store(self, image, place):
        """Rows go into ``image`` (rows + factors, pixels), float64 or float32; ``place``, int32: where each of them."""
        cdef const int32_t[::1] order = place
        cdef Py_ssize_t count = (self.job.rows + self.job.factors) * self.scene.c.pixels
        cdef float[::1] flat
        if image.dtype == np.float32:
            if not image.flags.c_contiguous or image.size != count:
                raise ValueError(f"rows: an array of shape {image.shape}; {count} contiguous numbers were expected")
            flat = image.reshape(-1)
            self.job.image, self.job.image_is_float = <void *>(&flat[0] if count else NULL), 1
        else:
            self.job.image = <void *>doubles(image, count, "rows")
        if sorted(place) != list(range(self.job.rows + self.job.factors)):
            raise ValueError("the places of the rows are no permutation")
        self.job.place = &order[0] if order.shape[0] else NULL
        self.kept += [image, place]

    def square(self, residual, weights, H, b):
        """H (n, n), its lower half, and b (n,): the rows' products, weighed by images."""
        cdef Py_ssize_t n = self.job.rows + self.job.factors
        self.job.residual = given_doubles(residual, self.scene.c.pixels, "residual")
        self.job.weights = given_doubles(weights, self.scene.c.pixels, "weights")
        self.job.H, self.job.b = doubles(H, n * n, "H"), doubles(b, n, "b")
        self.kept += [residual, weights, H, b]

    @property
    def progress(self):
        """Fraction of the pixels done."""
        return self.done / max(self.scene.panels.rendered, 1)

    def cancel(self):
        """Ask run() to stop."""
        self.cancelled = 1

    def run(self):
        """Work on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef int status
        with nogil:
            status = nb_differentiate(&self.scene.c, &self.job, self.level)
        return STATUS[status]
