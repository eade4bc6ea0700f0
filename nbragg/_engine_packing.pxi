"""The parts of a Scene as C structs, kept as long as their records are."""


cdef class Packed:
    """C structs made from some records of a Scene, whose arrays they point to."""

    cdef void *at
    cdef size_t bytes
    cdef int32_t count
    cdef int64_t pixels    # of panels: all, and those that are rendered
    cdef int64_t rendered
    cdef list listed       # of panels: int32 arrays or None
    cdef object extra      # of tables: their Most, once it was asked for
    cdef object __weakref__

    def __dealloc__(self):
        free(self.at)

    cdef void *allocate(self, Py_ssize_t count, size_t size) except NULL:
        if not 1 <= count < 2**31:
            raise ValueError(f"{count} panels, sources, crystals or tables; at least one was expected")
        self.count = <int32_t>count
        self.bytes = count * size
        self.at = calloc(count, size)
        if self.at == NULL:
            raise MemoryError
        return self.at


# id of the first record -> (weak references to all of them, what was packed of them)
cdef dict _packed = {}


cdef Packed recall(tuple records):
    """What was packed of these very records, which do not change, or None."""
    cdef Py_ssize_t i
    found = _packed.get(id(records[0])) if records else None
    if found is None or len(<list>found[0]) != len(records):
        return None
    for i in range(len(records)):
        if (<list>found[0])[i]() is not records[i]:
            return None
    return found[1]


cdef object remember(tuple records, Packed packed):
    key = id(records[0])
    first = weakref.ref(records[0], lambda gone: _packed.pop(key, None))
    _packed[key] = ([first, *[weakref.ref(record) for record in records[1:]]], packed)


# (id of a mask, roi) -> (weak reference to the mask, its list)
cdef dict _lists = {}


def pixel_list(mask, tuple roi):
    """Places (slow * fpixels + fast) of the pixels of a roi whose mask is not 0, ascending, int32; None if that is all of it."""
    key = (id(mask), roi)
    known = _lists.get(key)
    if known is not None and known[0]() is mask:
        return known[1]
    fmin, fmax, smin, smax = roi
    width, height = fmax - fmin + 1, smax - smin + 1
    places = np.flatnonzero(mask[smin : smax + 1, fmin : fmax + 1])
    if places.size == width * height:
        places = None
    else:
        if width != mask.shape[1]:
            slow, fast = np.divmod(places, width)
            places = slow * mask.shape[1] + (fast + fmin)
        places = (places + smin * mask.shape[1]).astype(np.int32)
    if not mask.flags.writeable:
        _lists[key] = (weakref.ref(mask, lambda gone: _lists.pop(key, None)), places)
    return places


cdef int pack_panel(nb_panel *c, panel) except -1:
    cdef int i
    cdef const uint8_t[:, ::1] mask
    cdef const double[::1] mu
    cdef const double[::1] slope
    c.fpixels, c.spixels = panel.fpixels, panel.spixels
    c.first[0], c.first[1] = panel.first
    c.pixel[0], c.pixel[1] = panel.pixel
    copy_vector(c.fdet, panel.fdet, 3, "fdet")
    copy_vector(c.sdet, panel.sdet, 3, "sdet")
    copy_vector(c.odet, panel.odet, 3, "odet")
    copy_vector(c.beam, panel.beam, 3, "beam")
    copy_vector(c.pix0, panel.pix0, 3, "pix0")
    c.distance, c.close_distance = panel.distance, panel.close_distance
    c.curved, c.point_pixel = number_of(CURVATURES, panel.curved, "curved"), panel.point_pixel
    c.layers, c.layer_step, c.thickness, c.mu = panel.layers, panel.layer_step, panel.thickness, panel.mu
    c.mean_depth = panel.mean_depth
    roi = tuple(panel.roi)
    if len(roi) != 4:
        raise ValueError(f"roi {roi} has {len(roi)} numbers; 4 were expected")
    for i in range(4):
        c.roi[i] = roi[i]
    if c.layers < 1:
        raise ValueError(f"{c.layers} layers; at least one was expected")
    if not (0 <= c.roi[0] <= c.roi[1] < c.fpixels and 0 <= c.roi[2] <= c.roi[3] < c.spixels):
        raise ValueError(f"roi {roi} does not fit a panel of {c.fpixels} x {c.spixels} pixels")
    if panel.mask is not None:
        mask = panel.mask
        if mask.shape[0] != c.spixels or mask.shape[1] != c.fpixels:
            raise ValueError(
                f"the mask has the shape {panel.mask.shape}; ({c.spixels}, {c.fpixels}) (slow, fast) was expected"
            )
        if <int64_t>c.fpixels * c.spixels >= 2**31:
            raise ValueError(f"a masked panel of {c.fpixels} x {c.spixels} pixels is beyond the limit of 2^31 - 1")
        c.mask = &mask[0, 0]
    if panel.source_mu is not None:
        mu, slope = panel.source_mu, panel.source_mu_slope
        if not mu.shape[0] == slope.shape[0] > 0:
            raise ValueError(f"{mu.shape[0]} numbers of source_mu and {slope.shape[0]} of their slopes")
        c.source_mu, c.source_mu_slope = &mu[0], &slope[0]
    return 0


cdef Packed pack_panels(tuple panels):
    cdef Packed packed = recall(panels)
    cdef nb_panel *c
    cdef const int32_t[::1] places
    if packed is not None:
        return packed
    packed = Packed()
    c = <nb_panel *>packed.allocate(len(panels), sizeof(nb_panel))
    packed.listed = []
    constant = True
    for i, panel in enumerate(panels):
        pack_panel(&c[i], panel)
        c[i].offset = packed.pixels
        packed.pixels += <int64_t>c[i].fpixels * c[i].spixels
        rendered = <int64_t>(c[i].roi[1] - c[i].roi[0] + 1) * (c[i].roi[3] - c[i].roi[2] + 1)
        listed = None
        if panel.mask is not None:
            listed = pixel_list(panel.mask, tuple(panel.roi))
            constant = constant and not panel.mask.flags.writeable
        if listed is not None:
            places = listed
            rendered = c[i].listed_count = places.shape[0]
            # of an empty list any address that is not NULL
            c[i].listed = &places[0] if places.shape[0] else <const int32_t *>&c[i]
        packed.listed.append(listed)
        packed.rendered += rendered
    if constant:
        remember(panels, packed)
    return packed


cdef Packed pack_sources(sources):
    cdef Packed packed = recall((sources,))
    cdef const double[:, ::1] incident
    cdef const double[::1] wavelength, weight
    cdef const int64_t[::1] table
    cdef nb_source *c
    cdef int i, j
    if packed is not None:
        return packed
    incident, wavelength, weight, table = sources.incident, sources.wavelength, sources.weight, sources.table
    packed = Packed()
    c = <nb_source *>packed.allocate(wavelength.shape[0], sizeof(nb_source))
    if (
        incident.shape[0] != packed.count or incident.shape[1] != 3 or weight.shape[0] != packed.count
        or table.shape[0] != packed.count
    ):
        raise ValueError("source arrays differ in length")
    for i in range(packed.count):
        for j in range(3):
            c[i].incident[j] = incident[i, j]
        c[i].wavelength, c[i].weight, c[i].table = wavelength[i], weight[i], table[i]
        if table[i] < 0:
            raise ValueError(f"source {i} names table {table[i]}; a number from 0 was expected")
    pack_channels(c, packed.count, sources.channel)
    remember((sources,), packed)
    return packed


cdef int pack_channels(nb_source *c, int count, given) except -1:
    """Channels of the sources, and the runs of those that travel in one direction."""
    cdef const double[:, ::1] channel = given
    cdef int i, j
    cdef bint same
    for i in range(count - 1, -1, -1):
        same = i + 1 < count
        for j in range(3):
            same = same and c[i].incident[j] == c[i + 1].incident[j]
        c[i].run = c[i + 1].run + 1 if same else 1
    if given is None:
        return 0
    if channel.shape[0] != count or channel.shape[1] != 2:
        raise ValueError(f"channels have the shape {given.shape}; ({count}, 2) was expected")
    for i in range(count - 1, -1, -1):
        for j in range(2):
            c[i].channel[j] = c[i].range[j] = channel[i, j]
        if not 0.0 < channel[i, 0] < channel[i, 1] < 1.7e308:
            raise ValueError(f"source {i} has the channel {channel[i, 0]} to {channel[i, 1]}; a lowest wavenumber above 0 and a higher one were expected")
        if c[i].run > 1:
            c[i].range[0] = min(c[i].range[0], c[i + 1].range[0])
            c[i].range[1] = max(c[i].range[1], c[i + 1].range[1])
    for i in range(1, count):
        if c[i].run == c[i - 1].run - 1:
            c[i].range[0], c[i].range[1] = c[i - 1].range[0], c[i - 1].range[1]
    return 0


cdef Packed pack_tables(tuple tables):
    cdef Packed packed = recall(tables)
    cdef const double[:, :, ::1] values
    cdef nb_table *c
    cdef int i, j
    if packed is not None:
        return packed
    packed = Packed()
    c = <nb_table *>packed.allocate(len(tables), sizeof(nb_table))
    for i, table in enumerate(tables):
        c[i].default_F, c[i].F_reach = table.default_F, table.reach
        c[i].interpolation = number_of(INTERPOLATIONS, table.interpolation, "interpolation")
        if table.values is None:
            c[i].interpolation = NB_NEAREST
            continue
        values = table.values
        if not 1 <= values.size < 2**31:
            raise ValueError(f"a table of {values.size} structure factors; 1 to 2^31 - 1 were expected")
        c[i].F = &values[0, 0, 0]
        for j in range(3):
            c[i].F_min[j] = table.origin[j]
            c[i].F_count[j] = <int32_t>values.shape[j]
    remember(tables, packed)
    return packed


cdef class Most:
    """Bounds of structure factors of all tables, kept as long as what was packed of these."""

    cdef nb_most *at
    cdef list arrays

    def __dealloc__(self):
        free(self.at)

    def __cinit__(self, Packed tables):
        cdef const nb_table *t = <const nb_table *>tables.at
        cdef int32_t count[3]
        cdef float[::1] values
        cdef int i
        self.arrays = []
        self.at = <nb_most *>calloc(tables.count, sizeof(nb_most))
        if self.at == NULL:
            raise MemoryError
        for i in range(tables.count):
            size = 1
            if t[i].F != NULL:
                nb_most_size(&t[i], count)
                size = count[0] * <int64_t>count[1] * count[2]
            array = np.empty(size, np.float32)
            values = array
            if not nb_most_of(&t[i], &values[0], &self.at[i]):
                raise MemoryError
            self.arrays.append(array)


cdef Most most_of(Packed tables):
    """Made when first asked for."""
    if tables.extra is None:
        tables.extra = Most(tables)
    return tables.extra


cdef int pack_crystal(nb_crystal *c, crystal) except -1:
    cdef const double[:, :, ::1] abc = crystal.orientations
    cdef const double[::1] weights
    cdef int64_t i
    c.orientations = abc.shape[0]
    if c.orientations < 1 or abc.shape[1] != 3 or abc.shape[2] != 3:
        raise ValueError(f"orientations have the shape {crystal.orientations.shape}; (n, 3, 3), n >= 1, was expected")
    c.abc = &abc[0, 0, 0]
    c.weight_sum = <double>c.orientations
    if crystal.orientation_weights is not None:
        weights = crystal.orientation_weights
        if weights.shape[0] != c.orientations:
            raise ValueError(f"{weights.shape[0]} weights for {c.orientations} orientations")
        c.orientation_weight = &weights[0]
        c.weight_sum = 0.0
        for i in range(c.orientations):
            if not 0.0 <= weights[i] < 1.7e308:
                raise ValueError(f"orientation {i} has the weight {weights[i]}; 0 or a positive number was expected")
            c.weight_sum += weights[i]
        if not 0.0 < c.weight_sum < 1.7e308:
            raise ValueError(f"the weights of the orientations add up to {c.weight_sum}; a positive number was expected")
    copy_vector(c.N, crystal.N, 3, "N")
    c.shape, c.fudge = number_of(SHAPES, crystal.shape, "shape"), crystal.fudge
    copy_vector(c.metric, crystal.shape_metric, 9, "shape_metric")
    c.weight, c.table = crystal.weight, crystal.table
    if crystal.displacement is not None:
        c.displaced = NB_DISPLACED
        copy_form(c.displacement, crystal.displacement, "displacement")
        if crystal.displacement_rate is not None:
            c.displaced = NB_DISPLACED_RATE
            copy_form(c.displacement_rate, crystal.displacement_rate, "displacement_rate")
    return 0


cdef int copy_form(double *target, values, str what) except -1:
    """A symmetric matrix as aa bb cc 2ab 2ac 2bc."""
    cdef double m[9]
    copy_vector(m, values, 9, what)
    target[0], target[1], target[2] = m[0], m[4], m[8]
    target[3], target[4], target[5] = m[1] + m[3], m[2] + m[6], m[5] + m[7]
    return 0


cdef Packed pack_crystals(tuple crystals):
    cdef Packed packed = Packed()
    cdef nb_crystal *c = <nb_crystal *>packed.allocate(len(crystals), sizeof(nb_crystal))
    for i, crystal in enumerate(crystals):
        pack_crystal(&c[i], crystal)
    return packed
