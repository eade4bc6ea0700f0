# Part of _engine.pyx: photons of spots without a pixel.


def spot_slices(size, const double[::1] distance, const double[:, ::1] along):
    """Slices through the squared lattice factor of one record of SPOT_SIZE_DTYPE; see nb_spot_slices."""
    cdef const nb_spot_size[::1] record = size
    cdef int64_t n = distance.shape[0]
    if along.shape[0] != n or along.shape[1] != 3:
        raise ValueError(f"directions of the shape ({along.shape[0]}, {along.shape[1]}); ({n}, 3) was expected")
    S = np.empty(n)
    cdef double[::1] out = S
    if n:
        with nogil:
            nb_spot_slices(&record[0], &distance[0], &along[0, 0], &out[0], n)
    return S


cdef class SpotLight:
    """A lattice and the light on it, as nb_spot_light; arrays are kept.

    sizes: records of SPOT_SIZE_DTYPE; axes, reciprocal: (n, 3, 3), with weights and numbers of their sizes (n,);
    incident (m, 3), wavelengths and weights (m,) of the sources; middle: axes at the middle of the rotation.
    """

    cdef nb_spot_light c
    cdef object kept

    def __init__(self, sizes, axes, reciprocal, weights, parts, incident, wavelengths, source_weights, middle, dual):
        cdef const nb_spot_size[::1] size = sizes
        cdef const double[:, :, ::1] a = axes, r = reciprocal
        cdef const double[::1] w = weights, wavelength = wavelengths, source_weight = source_weights
        cdef const int64_t[::1] part = parts
        cdef const double[:, ::1] i = incident
        n, m = a.shape[0], i.shape[0]
        if not (n and m and r.shape[0] == w.shape[0] == part.shape[0] == n and wavelength.shape[0] == source_weight.shape[0] == m):
            raise ValueError("orientations, sources and what belongs to each differ in number")
        if a.shape[1] * a.shape[2] != 9 or r.shape[1] * r.shape[2] != 9 or i.shape[1] != 3:
            raise ValueError("axes of the shape (n, 3, 3) and directions of the shape (m, 3) were expected")
        if not (0 <= min(parts) and max(parts) < size.shape[0]):
            raise ValueError(f"orientations of sizes that are not among {size.shape[0]}")
        self.kept = (sizes, axes, reciprocal, weights, parts, incident, wavelengths, source_weights)
        self.c.size, self.c.sizes = &size[0], size.shape[0]
        self.c.axes, self.c.reciprocal, self.c.weight, self.c.part = &a[0, 0, 0], &r[0, 0, 0], &w[0], &part[0]
        self.c.orientations, self.c.sources = n, m
        self.c.incident, self.c.wavelength, self.c.source_weight = &i[0, 0], &wavelength[0], &source_weight[0]
        copy_vector(self.c.middle, middle.reshape(-1), 9, "middle")
        copy_vector(self.c.dual, dual.reshape(-1), 9, "dual")

    def set(self, double zone, double faint, double polarization, polar_vector, nopolar, spindle, double osc):
        """The numbers of nb_spot_light."""
        self.c.zone, self.c.faint, self.c.polarization, self.c.nopolar = zone, faint, polarization, bool(nopolar)
        self.c.osc = osc
        copy_vector(self.c.polar_vector, polar_vector, 3, "polar_vector")
        copy_vector(self.c.spindle, spindle, 3, "spindle")

    def near(self, const float[:, ::1] rows, incident, double wavelength, double angle, double bandwidth, double least,
             double slack, double d_min):
        """Numbers of the reflections (3, n) near the sphere, and the error up to which each counts."""
        cdef nb_sphere at
        cdef int64_t n = rows.shape[1], found = 0
        if rows.shape[0] != 3:
            raise ValueError(f"{rows.shape[0]} rows of indices; 3 were expected")
        copy_vector(at.incident, incident, 3, "incident")
        at.wavelength, at.angle, at.bandwidth, at.least = wavelength, angle, bandwidth, least
        at.slack, at.d_min = slack, d_min
        cdef int64_t room = min(n, 1 << 13)
        cdef int64_t[::1] to
        cdef double[::1] limits
        while True:
            number, limit = np.empty(max(room, 1), np.int64), np.empty(max(room, 1))
            to, limits = number, limit
            if n:
                with nogil:
                    found = nb_spots_near(&self.c, &at, &rows[0, 0], &rows[1, 0], &rows[2, 0], n, room, &to[0], &limits[0])
            if found >= 0:
                break
            room = min(4 * room, n)
        return number[:found].copy(), limit[:found].copy()

    def sum(self, const double[:, ::1] hkl, const double[::1] limit, const double[:, :, ::1] g, by_source=False):
        """Counts, full counts, polarization (m, k), directions (m, k, 3), and counts by source (sources, m, k) or None."""
        cdef int64_t m = hkl.shape[0]
        cdef int sides = g.shape[1], status = NB_OK
        if limit.shape[0] != m or g.shape[0] != m or hkl.shape[1] != 3 or g.shape[2] != 3 or not 1 <= sides <= 2:
            raise ValueError("reflections, limits and crossings differ in number")
        counts, full, polarization = np.zeros((m, sides)), np.zeros((m, sides)), np.zeros((m, sides))
        direction = np.zeros((m, sides, 3))
        each = np.zeros((self.c.sources, m, sides)) if by_source else None
        cdef double[:, ::1] of_counts = counts, of_full = full, of_polarization = polarization
        cdef double[:, :, ::1] of_direction = direction, of_each
        cdef double *sources = NULL
        if m:
            if by_source:
                of_each = each
                sources = &of_each[0, 0, 0]
            with nogil:
                status = nb_spots_sum(&self.c, &hkl[0, 0], &limit[0], &g[0, 0, 0], m, sides, &of_counts[0, 0],
                                      &of_full[0, 0], &of_polarization[0, 0], &of_direction[0, 0, 0], sources)
        if status != NB_OK:
            raise MemoryError
        return counts, full, polarization, direction, each
