# Part of _engine.pyx: counter-based random numbers, and the chain of a detector on the CPU.

# what a deviate is for: numbers that enter the generator's counter
STAGES = {
    "flicker": NB_STAGE_FLICKER, "counting": NB_STAGE_COUNTING, "charge": NB_STAGE_CHARGE, "pattern": NB_STAGE_PATTERN,
    "readout": NB_STAGE_READOUT, "dead": NB_STAGE_DEAD, "hot": NB_STAGE_HOT, "dead_time": NB_STAGE_DEAD_TIME,
    "switch_point": NB_STAGE_SWITCH_POINT,
}
DEVIATES = {
    "uniform": NB_UNIFORM, "second_uniform": NB_SECOND_UNIFORM, "normal": NB_NORMAL, "poisson": NB_POISSON,
    "binomial": NB_BINOMIAL,
}
EXACT_FUNCTIONS = {
    "ln": NB_LN, "ln_factorial": NB_LN_FACTORIAL, "normal": NB_NORMAL_OF_UNIFORM, "lower_root": NB_LOWER_ROOT,
}
# words of the chain -> enumerations of C
CHAIN_PARTS = {"expect": NB_EXPECT, "count": NB_COUNT, "read": NB_READ}
COUNTING = {
    "integrating": NB_INTEGRATING, "counter": NB_COUNTER, "retrigger": NB_RETRIGGER, "paralysable": NB_PARALYSABLE,
    "pulsed": NB_PULSED,
}
PIXEL_TYPES = {
    "float64": NB_FLOAT64, "float32": NB_FLOAT32, "uint8": NB_UINT8, "uint16": NB_UINT16, "uint32": NB_UINT32,
    "int16": NB_INT16, "int32": NB_INT32,
}
MARKS = {"gap": NB_MARK_GAP, "hidden": NB_MARK_HIDDEN, "dead": NB_MARK_DEAD}
MOST_STAGES = NB_MOST_STAGES


def philox(counter, key):
    """The four words that Philox4x32-10 makes of four words of a counter and two of a key."""
    cdef uint32_t c[4]
    cdef uint32_t k[2]
    cdef uint32_t w[4]
    cdef int i
    for i in range(4):
        c[i] = counter[i]
    for i in range(2):
        k[i] = key[i]
    nb_philox(c, k, w)
    return [w[i] for i in range(4)]


def exact_math(str function, const double[::1] x):
    """Evaluate one of EXACT_FUNCTIONS, for the tests that state its error."""
    y = np.empty(x.shape[0])
    cdef double[::1] out = y
    if x.shape[0]:
        nb_exact_math(EXACT_FUNCTIONS[function], &x[0], &out[0], x.shape[0])
    return y


def deviates(str kind, seed, image, int stage, const uint64_t[::1] pixels, a=0.0, b=0.0, uint32_t draw=0):
    """One deviate of DEVIATES for each pixel (beyond 13), float64.

    a, b: numbers or arrays; of "poisson" the means a, of "binomial" the trials a and the probabilities b.
    draw: number of the block of the generator with which a deviate begins.
    """
    cdef int64_t n = pixels.shape[0]
    cdef int which = DEVIATES[kind]
    cdef uint64_t seed64 = seed, image64 = image
    cdef const double[::1] first = np.ascontiguousarray(np.broadcast_to(np.asarray(a, np.float64), n))
    cdef const double[::1] second = np.ascontiguousarray(np.broadcast_to(np.asarray(b, np.float64), n))
    y = np.empty(n)
    cdef double[::1] out = y
    if n:
        with nogil:
            nb_deviates(which, seed64, image64, stage, draw, &pixels[0], &first[0], &second[0], &out[0], n)
    return y


def flicker(seed, image, double rms):
    """Factor of a whole image (beyond 14.2, step 2)."""
    return nb_flicker(seed, image, rms)


cdef const void *readable_bytes(array, str what) except NULL:
    """Address of a C-contiguous array's first byte."""
    cdef const uint8_t[::1] view
    if not array.flags.c_contiguous or not array.size:
        raise ValueError(f"{what} must be C-contiguous and not empty")
    view = array.reshape(-1).view(np.uint8)
    return &view[0]


cdef void *writable_bytes(array, str what) except NULL:
    if not array.flags.writeable:
        raise ValueError(f"{what} must be writable")
    return <void *>readable_bytes(array, what)


cdef class ResponseJob:
    """Some pixels on their way through parts of a detector's chain; cancel() may be used from another thread."""

    cdef int32_t cancelled
    cdef int32_t threads
    cdef int level
    cdef nb_response response
    cdef nb_exposed exposed
    cdef nb_tally found
    cdef object keep

    def __init__(self, response, source, target, int parts, int64_t first, int threads, str isa, marks=None, stage=None):
        """From the array ``source``, float32 or float64, to ``target``, of one of PIXEL_TYPES.

        response: one record of RESPONSE_DTYPE; parts: a sum of CHAIN_PARTS; first: number of the first pixel;
        marks: uint8, sums of MARKS, or None; stage: uint8, filled with the stages of the gain, or None.
        """
        cdef const nb_response[::1] record = response
        self.response = record[0]
        self.keep = (source, target, marks, stage)
        self.threads, self.level = threads, isa_index(isa)
        for array, what in ((target, "target"), (marks, "marks"), (stage, "stage")):
            if array is not None and array.size != source.size:
                raise ValueError(f"{what} has {array.size} pixels for {source.size} of the source")
            if array is not None and array is not target and array.dtype != np.uint8:
                raise ValueError(f"{what} must be uint8, not {array.dtype}")
        if source.dtype.name not in ("float32", "float64"):
            raise ValueError(f"photons must be float32 or float64, not {source.dtype}")
        self.exposed.first, self.exposed.count, self.exposed.parts = first, source.size, parts
        self.exposed.from_type = number_of(PIXEL_TYPES, source.dtype.name, "type of pixels")
        self.exposed.to_type = number_of(PIXEL_TYPES, target.dtype.name, "type of pixels")
        self.exposed.from_ = readable_bytes(source, "source")
        self.exposed.to = writable_bytes(target, "target")
        if marks is not None:
            self.exposed.marks = <const uint8_t *>readable_bytes(marks, "marks")
        if stage is not None:
            self.exposed.stage = <uint8_t *>writable_bytes(stage, "stage")

    @property
    def tally(self):
        """nb_tally as a dict."""
        return self.found

    def cancel(self):
        """Ask run() to stop at the next pixels."""
        self.cancelled = 1

    def run(self):
        """Work on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef int status
        with nogil:
            status = nb_respond(&self.response, &self.exposed, &self.found, self.threads, &self.cancelled, self.level)
        return STATUS[status]
