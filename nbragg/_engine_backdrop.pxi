# Part of _engine.pyx: what stands behind the spots.


cdef class PackedBackdrop:
    """A Backdrop as C structs; arrays are the record's own or in `kept`."""

    cdef nb_backdrop c
    cdef Packed curve, place, scatterer
    cdef PackedObstacles obstacles
    cdef object backdrop
    cdef list kept

    def __init__(self, backdrop):
        self.backdrop = backdrop
        self.kept = []
        self.c.oversample = backdrop.oversample
        if self.c.oversample < 1:
            raise ValueError(f"oversample = {backdrop.oversample}; at least 1 was expected")
        self.pack_curves(backdrop.scatterers)
        self.pack_places(backdrop.scatterers)
        self.c.curves, self.c.places = len(backdrop.scatterers), self.place.count
        self.c.curve, self.c.place = <nb_curve *>self.curve.at, <nb_place *>self.place.at
        self.c.scatterer, self.c.scatterers = <nb_scatterer *>self.scatterer.at, self.scatterer.count
        if backdrop.obstacles is not None:
            self.obstacles = PackedObstacles(backdrop.obstacles)
            self.c.obstacles = self.obstacles.at

    cdef int pack_curves(self, tuple scatterers) except -1:
        """One for each scatterer."""
        cdef nb_curve *c
        cdef const double[::1] knots
        cdef const double[:, ::1] cubics
        cdef const int32_t[::1] bucket
        self.curve = Packed()
        c = <nb_curve *>self.curve.allocate(max(len(scatterers), 1), sizeof(nb_curve))
        for i, scatterer in enumerate(scatterers):
            curve = scatterer.curve
            knots, cubics, bucket = curve.knots, curve.cubics, curve.bucket
            pieces = cubics.shape[0]
            if cubics.shape[1] != 4 or knots.shape[0] != pieces + 1 or not 1 <= pieces < 2**29 or not isnan(knots[pieces]):
                raise ValueError(
                    f"a curve has knots of the shape {curve.knots.shape} and cubics {curve.cubics.shape}; "
                    "(n + 1,), the last NaN, and (n, 4) were expected"
                )
            if not bucket.shape[0] or curve.bucket.min() < 0 or curve.bucket.max() >= pieces or curve.steps < 0:
                raise ValueError("the buckets of a curve name pieces that it does not have")
            c[i].knot, c[i].cubic, c[i].bucket = &knots[0], &cubics[0, 0], &bucket[0]
            c[i].buckets, c[i].steps = <int32_t>bucket.shape[0], curve.steps
            c[i].low, c[i].per_bucket = curve.low, curve.per_bucket
            c[i].least, c[i].most = curve.inside
        return 0

    cdef int pack_places(self, tuple scatterers) except -1:
        """Scatterers by their places, the sample first, whether or not something is there."""
        cdef nb_place *place
        cdef nb_scatterer *one
        cdef const double[:, ::1] points
        cdef const double[::1] amounts
        cdef int32_t j = 0
        found = {(0.0, 0.0, 0.0): []}
        for i, scatterer in enumerate(scatterers):
            points, amounts = scatterer.points, scatterer.amounts
            if points.shape[1] != 3 or points.shape[0] != amounts.shape[0]:
                raise ValueError(
                    f"a scatterer has points of the shape {scatterer.points.shape} and {scatterer.amounts.shape} "
                    "amounts; (n, 3) and (n,) were expected"
                )
            for point, amount in zip(scatterer.points.tolist(), scatterer.amounts.tolist()):
                # -0.0 is the same place as 0.0
                found.setdefault(tuple([x + 0.0 for x in point]), []).append((i, amount))
        self.place, self.scatterer = Packed(), Packed()
        place = <nb_place *>self.place.allocate(len(found), sizeof(nb_place))
        total = sum(map(len, found.values()))
        one = <nb_scatterer *>self.scatterer.allocate(max(total, 1), sizeof(nb_scatterer))
        for number, (point, entries) in enumerate(found.items()):
            place[number].at[0], place[number].at[1], place[number].at[2] = point
            place[number].first, place[number].count = j, len(entries)
            for i, amount in entries:
                one[j].curve, one[j].amount = i, amount
                one[j].squared, one[j].polarized = scatterers[i].squared, scatterers[i].polarized
                one[j].fixed = scatterers[i].fixed
                j += 1
        self.scatterer.count = <int32_t>total
        return 0

    def device_bytes(self, upload):
        """nb_backdrop as bytes, its pointers addresses in another memory; upload(array) copies there and returns where."""
        cdef bytearray structs = bytearray((<const char *>self.curve.at)[: self.curve.bytes])
        cdef bytearray whole = bytearray((<const char *>&self.c)[: sizeof(nb_backdrop)])
        cdef char *at = structs
        cdef nb_backdrop *c
        for i, scatterer in enumerate(self.backdrop.scatterers):
            curve = scatterer.curve
            (<nb_curve *>at)[i].knot = <const double *><size_t>upload(curve.knots)
            (<nb_curve *>at)[i].cubic = <const double *><size_t>upload(curve.cubics)
            (<nb_curve *>at)[i].bucket = <const int32_t *><size_t>upload(curve.bucket)
        blocks = [
            bytes(structs),
            (<const char *>self.place.at)[: self.place.bytes],
            (<const char *>self.scatterer.at)[: self.scatterer.bytes],
        ]
        addresses = [upload(np.frombuffer(block, np.uint8)) for block in blocks]
        at = whole
        c = <nb_backdrop *>at
        c.curve, c.place = <const nb_curve *><size_t>addresses[0], <const nb_place *><size_t>addresses[1]
        c.scatterer = <const nb_scatterer *><size_t>addresses[2]
        c.obstacles = <const nb_obstacles *><size_t>(0 if self.obstacles is None else obstacles_elsewhere(self.obstacles, upload))
        return bytes(whole)

    cdef int check(self, EngineScene scene) except -1:
        if self.obstacles is not None and (
            self.obstacles.panels != scene.c.panels or self.obstacles.sources != scene.c.sources
        ):
            raise ValueError(
                f"obstacles of {self.obstacles.panels} panels and {self.obstacles.sources} sources for a scene of "
                f"{scene.c.panels} and {scene.c.sources}"
            )
        return 0


def obstacles_elsewhere(PackedObstacles packed, upload):
    """Address of the structs of all panels, copied by upload(array) with all that they point to."""
    cdef size_t absorbers = len(packed.obstacles.absorbers), stops = len(packed.obstacles.stops)
    cdef size_t count = packed.panels * absorbers + 1
    cdef bytearray structs = bytearray((<const char *>packed.absorber)[: count * sizeof(nb_absorber)])
    cdef bytearray planes = bytearray((<const char *>packed.stop)[: (stops + 1) * sizeof(nb_stop)])
    cdef bytearray whole = bytearray((<const char *>packed.at)[: packed.panels * sizeof(nb_obstacles)])
    cdef char *at = structs
    cdef nb_absorber *absorber = <nb_absorber *>at
    at = planes
    cdef nb_stop *stop = <nb_stop *>at
    at = whole
    cdef nb_obstacles *each = <nb_obstacles *>at
    cdef size_t i, first
    body = packed.obstacles.body
    arrays = [one.depth for one in packed.obstacles.absorbers] + [np.asarray(edges) for edges in packed.kept]
    if body is not None:
        arrays += [body.mu] if body.mean is None else [body.mu, body.mean]
    places = [(array.ctypes.data, array.nbytes, upload(array)) for array in arrays]

    def moved(place):
        """Where the copy of a place in one of the arrays is."""
        for begin, size, copy in places:
            if begin <= place < begin + size:
                return copy + (place - begin)
        return 0

    for i in range(count):
        absorber[i].depth = <const double *><size_t>moved(<size_t>absorber[i].depth)
    for i in range(stops + 1):
        stop[i].edge = <const double *><size_t>moved(<size_t>stop[i].edge)
    first = upload(np.frombuffer(bytes(structs), np.uint8))
    stop = <nb_stop *><size_t>upload(np.frombuffer(bytes(planes), np.uint8))
    for i in range(<size_t>packed.panels):
        each[i].absorber = <const nb_absorber *>(first + (<size_t>each[i].absorber - <size_t>packed.absorber))
        each[i].stop = stop
        each[i].body.mu = <const double *><size_t>moved(<size_t>each[i].body.mu)
        each[i].body.mean = <const double *><size_t>moved(<size_t>each[i].body.mean)
    return upload(np.frombuffer(bytes(whole), np.uint8))


cdef double *image_of(array, int64_t pixels, str what) except? NULL:
    """Address of a float64 image, NULL for None."""
    cdef double[::1] flat
    if array is None:
        return NULL
    flat = array.reshape(-1)
    if not array.flags.c_contiguous or flat.shape[0] != pixels or pixels == 0:
        raise ValueError(f"{what} has the shape {array.shape}; {pixels} numbers side by side were expected")
    return &flat[0]
