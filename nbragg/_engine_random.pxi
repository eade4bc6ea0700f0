# Part of _engine.pyx: the reference's random stream, and the elementary functions as the tests probe them.

def probe_math(str function, double[::1] x, bint single=False, double parameter=1.0):
    """Evaluate one of the engine's elementary functions, for the tests that state its error.

    function: round, sinpi, cospi, exp, square (lattice factor of `parameter` cells), sphere, erf,
    gauss_mean (of exp(-x^2) over x +- `parameter`); single: the float version.
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

    def noise_image(self, const float[:, ::1] photons, roi, double offset, int32_t most):
        """Counts (int32) of one exposure and the number of overloaded pixels; see nb_noise_image."""
        counts = np.zeros((photons.shape[0], photons.shape[1]), np.int32)
        cdef int32_t[:, ::1] out = counts
        cdef int32_t limits[4]
        cdef int64_t overloads
        limits[0], limits[1], limits[2], limits[3] = roi
        with nogil:
            overloads = nb_noise_image(
                &self.stream, &photons[0, 0], &out[0, 0], <int32_t>photons.shape[1], limits, offset, most
            )
        return counts, overloads
