# Part of _engine.pyx: what stands in the way of the light.

ABSORBERS = {"gas": NB_GAS, "shell": NB_SHELL, "sheet": NB_SHEET, "wall": NB_WALL}
STOPS = {"disc": NB_DISC, "hole": NB_HOLE, "polygon": NB_POLYGON}
BODIES = {"ball": NB_BALL, "slab": NB_SLAB}


def polygon_edges(corners):
    """(n, 4): v of both ends of each edge, u of the first, du/dv, from corners (n, 2)."""
    u, v = np.array(corners).T
    above, rise = np.roll(v, -1), np.roll(v, -1) - v
    slope = np.divide(np.roll(u, -1) - u, rise, out=np.zeros_like(u), where=rise != 0)
    return np.ascontiguousarray(np.stack([v, above, u, slope], axis=1))


cdef class PackedObstacles:
    """Obstacles as C structs, one nb_obstacles for each panel; arrays are the record's own or in `kept`."""

    cdef nb_obstacles *at  # [panels]
    cdef nb_absorber *absorber
    cdef nb_stop *stop
    cdef readonly int panels
    cdef readonly int sources
    cdef list kept
    cdef object obstacles

    def __init__(self, obstacles):
        cdef Py_ssize_t absorbers = len(obstacles.absorbers), stops = len(obstacles.stops)
        cdef nb_body body
        cdef int panel
        if obstacles.panels < 1 or obstacles.sources < 1:
            raise ValueError(f"obstacles of {obstacles.panels} panels and {obstacles.sources} sources")
        self.obstacles, self.kept = obstacles, []
        self.panels, self.sources = obstacles.panels, obstacles.sources
        self.at = <nb_obstacles *>calloc(self.panels, sizeof(nb_obstacles))
        self.absorber = <nb_absorber *>calloc(self.panels * absorbers + 1, sizeof(nb_absorber))
        self.stop = <nb_stop *>calloc(stops + 1, sizeof(nb_stop))
        if self.at == NULL or self.absorber == NULL or self.stop == NULL:
            raise MemoryError
        for i, stop in enumerate(obstacles.stops):
            self.pack_stop(&self.stop[i], stop)
        self.pack_body(&body, obstacles.body)
        for panel in range(self.panels):
            self.at[panel].absorber, self.at[panel].stop = self.absorber + panel * absorbers, self.stop
            self.at[panel].stops, self.at[panel].body = stops, body
        for absorber in obstacles.absorbers:
            self.pack_absorber(absorber)

    def __dealloc__(self):
        free(self.at)
        free(self.absorber)
        free(self.stop)

    cdef int pack_absorber(self, absorber) except -1:
        """Appends it to those of every panel where it is in the way."""
        cdef const double[:, ::1] depth = absorber.depth, normal = absorber.normal
        cdef nb_absorber *c
        cdef int panel, i
        if depth.shape[0] != self.panels or depth.shape[1] != self.sources or normal.shape[0] != self.panels or normal.shape[1] != 3:
            raise ValueError(
                f"an absorber has depths of the shape {absorber.depth.shape} and normals {absorber.normal.shape}; "
                f"({self.panels}, {self.sources}) and ({self.panels}, 3) were expected"
            )
        for panel in range(self.panels):
            for i in range(self.sources):
                if depth[panel, i] != 0.0:
                    break
            else:
                continue
            c = <nb_absorber *>self.at[panel].absorber + self.at[panel].absorbers
            c.kind, c.distance = number_of(ABSORBERS, absorber.kind, "absorber"), absorber.distance
            for i in range(3):
                c.normal[i] = normal[panel, i]
            c.depth = &depth[panel, 0]
            self.at[panel].absorbers += 1
        return 0

    cdef int pack_stop(self, nb_stop *c, stop) except -1:
        cdef const double[:, ::1] edges
        c.kind, c.distance, c.radius = number_of(STOPS, stop.kind, "stop"), stop.distance, stop.radius
        c.half_width, c.transmission = stop.half_width, stop.transmission
        copy_vector(c.normal, stop.normal, 3, "normal")
        copy_vector(c.u, stop.u, 3, "u")
        copy_vector(c.v, stop.v, 3, "v")
        copy_vector(c.centre, stop.centre, 2, "centre")
        copy_vector(c.arm, stop.arm, 2, "arm")
        if len(stop.corners):
            edges = polygon_edges(np.asarray(stop.corners))
            self.kept.append(edges)
            c.edges, c.edge = edges.shape[0], &edges[0, 0]
        return 0

    cdef int pack_body(self, nb_body *c, body) except -1:
        cdef const double[::1] mu
        cdef const double[:, :, ::1] mean
        memset(c, 0, sizeof(nb_body))
        if body is None:
            return 0
        c.kind, c.spread, c.size = number_of(BODIES, body.kind, "body"), body.spread, body.size
        copy_vector(c.centre, body.centre, 3, "centre")
        copy_vector(c.normal, body.normal, 3, "normal")
        mu = body.mu
        if mu.shape[0] != self.sources:
            raise ValueError(f"a body has {mu.shape[0]} coefficients for {self.sources} sources")
        c.mu = &mu[0]
        if body.mean is not None:
            mean = body.mean
            if mean.shape[0] != self.sources or mean.shape[1] != NB_BALL_PIECES or mean.shape[2] != 4:
                raise ValueError(
                    f"a body's mean has the shape {body.mean.shape}; ({self.sources}, {NB_BALL_PIECES}, 4) was expected"
                )
            c.mean = &mean[0, 0, 0]
        elif c.kind == NB_BALL and c.spread:
            raise ValueError("a ball whose light comes from everywhere needs its mean")
        return 0


def transmission(obstacles, int panel, int source, incident, at, P):
    """T of light that one source sends along `incident`, scattered at points `at` on its way to P (n, 3), m.

    at: (3,), one point for all, and vectors of P are worked on; or (n, 3), one by one.
    """
    cdef PackedObstacles packed = PackedObstacles(obstacles)
    cdef const double[:, ::1] to = P
    cdef const double[::1] start = at.reshape(-1)
    cdef double direction[3]
    T = np.empty(to.shape[0])
    cdef double[::1] out = T
    copy_vector(direction, incident, 3, "incident")
    if to.shape[1] != 3 or start.shape[0] != (3 if at.ndim == 1 else 3 * to.shape[0]):
        raise ValueError(f"points of the shapes {at.shape} and {P.shape}; (3,) or (n, 3), and (n, 3), were expected")
    if not (0 <= panel < packed.panels and 0 <= source < packed.sources):
        raise ValueError(f"panel {panel} of {packed.panels}, source {source} of {packed.sources}")
    cdef int64_t step = 0 if at.ndim == 1 else 3
    if out.shape[0]:
        with nogil:
            nb_transmit(&packed.at[panel], source, direction, &start[0], step, &to[0, 0], &out[0], out.shape[0])
    return T
