# Part of _engine.pyx: how what lies behind the spots moves; see csrc/nb_backdrop_slope.h.


cdef int copy_complex(double complex *target, values, int count, str what) except -1:
    cdef const double complex[::1] flat = np.ascontiguousarray(values, complex).reshape(-1)
    cdef int i
    if flat.shape[0] != count:
        raise ValueError(f"{what} has {flat.shape[0]} numbers; {count} were expected")
    for i in range(count):
        target[i] = flat[i]
    return 0


cdef class SlopesJob:
    """One pass over a Scene that moves: progress and cancel may be used from other threads while run() works.

    moving: the scene with value + i step rate in what counts, where real numbers may stand too.
    """

    cdef int32_t cancelled
    cdef int64_t done
    cdef nb_scene_c c
    cdef EngineScene scene
    cdef list kept

    def __init__(self, EngineScene scene, moving):
        self.scene, self.kept = scene, [moving]
        self.pack_rays(moving)

    cdef void *allocate(self, Py_ssize_t count, size_t size) except NULL:
        """Zeros that live as long as the job."""
        cdef uint8_t[::1] block = np.zeros(max(count, 1) * size + 64, np.uint8)
        self.kept.append(block)
        # complex numbers may be moved 16 bytes at a time
        return <void *>((<size_t>&block[0] + 63) // 64 * 64)

    cdef const double complex *numbers(self, values, Py_ssize_t count, str what) except NULL:
        """Address of so many complex numbers, at least one."""
        cdef const double complex[::1] flat = np.ascontiguousarray(values, complex).reshape(-1)
        if flat.shape[0] != count:
            raise ValueError(f"{what} has {flat.shape[0]} numbers; {count} were expected")
        self.kept.append(flat)
        return &flat[0]

    cdef int pack_rays(self, moving) except -1:
        cdef int i, j
        cdef nb_panel_c *p
        cdef const nb_panel *real
        cdef nb_source_c *s
        if len(moving.panels) != self.scene.c.panels or len(moving.sources) != self.scene.c.sources:
            raise ValueError("a moving scene has other panels or sources than the one that stands")
        p = <nb_panel_c *>self.allocate(self.scene.c.panels, sizeof(nb_panel_c))
        s = <nb_source_c *>self.allocate(self.scene.c.sources, sizeof(nb_source_c))
        self.c.panels, self.c.sources, self.c.panel, self.c.source = self.scene.c.panels, self.scene.c.sources, p, s
        self.c.pixels, self.c.nopolar, self.c.polarization = self.scene.c.pixels, self.scene.c.nopolar, moving.polarization
        copy_complex(self.c.polar_vector, moving.polar_vector, 3, "polar_vector")
        for i, panel in enumerate(moving.panels):
            real = &self.scene.c.panel[i]
            p[i].fpixels, p[i].spixels, p[i].layers = real.fpixels, real.spixels, real.layers
            p[i].curved, p[i].point_pixel, p[i].mean_depth = real.curved, real.point_pixel, real.mean_depth
            p[i].offset, p[i].mask, p[i].listed, p[i].listed_count = real.offset, real.mask, real.listed, real.listed_count
            for j in range(2):
                p[i].first[j] = real.first[j]
            for j in range(4):
                p[i].roi[j] = real.roi[j]
            copy_complex(p[i].pixel, panel.pixel, 2, "pixel")
            copy_complex(p[i].fdet, panel.fdet, 3, "fdet")
            copy_complex(p[i].sdet, panel.sdet, 3, "sdet")
            copy_complex(p[i].odet, panel.odet, 3, "odet")
            copy_complex(p[i].beam, panel.beam, 3, "beam")
            copy_complex(p[i].pix0, panel.pix0, 3, "pix0")
            p[i].distance, p[i].close_distance = panel.distance, panel.close_distance
            p[i].layer_step, p[i].thickness, p[i].mu = panel.layer_step, panel.thickness, panel.mu
            if panel.source_mu is not None:
                p[i].source_mu = self.numbers(panel.source_mu, self.c.sources, "source_mu")
        for i in range(self.c.sources):
            copy_complex(s[i].incident, moving.sources.incident[i], 3, "incident")
            s[i].wavelength, s[i].weight = moving.sources.wavelength[i], moving.sources.weight[i]
            s[i].table = self.scene.c.source[i].table
        return 0

    @property
    def progress(self):
        """Fraction of the pixels done."""
        return self.done / max(self.scene.panels.rendered, 1)

    def cancel(self):
        """Ask run() to stop."""
        self.cancelled = 1


cdef class BackdropSlopesJob(SlopesJob):
    """Of what lies behind the spots.

    moving: panels, sources, polarization, polar vector and backdrop count.
    rates, values: background, fixed and transmission, each a float64 image of all pixels or None.
    """

    cdef nb_backdrop_c backdrop
    cdef nb_backdrop_slopes_job job

    def __init__(self, EngineScene scene, moving, double step, int threads, rates, values=(None, None, None)):
        SlopesJob.__init__(self, scene, moving)
        self.kept += [rates, values]
        self.job.threads, self.job.step = threads, step
        self.job.cancel, self.job.progress = &self.cancelled, &self.done
        self.point_to(&self.job.rates, rates)
        self.point_to(&self.job.values, values)
        self.pack_scatterers(moving.backdrop)
        if moving.backdrop.obstacles is not None:
            self.pack_obstacles(moving.backdrop.obstacles)

    cdef int point_to(self, nb_backdrop_planes *planes, images) except -1:
        background, fixed, transmission = images
        planes.background = doubles(background, self.scene.c.pixels, "background")
        planes.fixed = doubles(fixed, self.scene.c.pixels, "fixed")
        planes.transmission = doubles(transmission, self.scene.c.pixels, "transmission")
        return 0

    cdef int pack_curve(self, nb_curve_c *c, curve) except -1:
        cdef const int32_t[::1] bucket = curve.bucket
        cdef Py_ssize_t knots = len(curve.knots)
        c.knot = self.numbers(curve.knots, knots, "knots")
        c.cubic = self.numbers(curve.cubics, 4 * (knots - 1), "cubics")
        self.kept.append(bucket)
        c.bucket, c.buckets = &bucket[0], bucket.shape[0]
        c.low, c.per_bucket, c.steps = curve.low, curve.per_bucket, curve.steps
        c.least, c.most = curve.inside
        return 0

    cdef int pack_scatterers(self, backdrop) except -1:
        """All by their places, the sample first: a point that moves is not the sample."""
        cdef nb_curve_c *curve = <nb_curve_c *>self.allocate(len(backdrop.scatterers), sizeof(nb_curve_c))
        cdef nb_scatterer_c *one
        cdef nb_place_c *place
        cdef int32_t number = 0
        found = {np.zeros(3, complex).tobytes(): []}
        for i, scatterer in enumerate(backdrop.scatterers):
            self.pack_curve(&curve[i], scatterer.curve)
            for point, amount in zip(np.asarray(scatterer.points, complex) + 0.0, scatterer.amounts, strict=True):
                found.setdefault(point.tobytes(), []).append((i, scatterer, amount))
        place = <nb_place_c *>self.allocate(len(found), sizeof(nb_place_c))
        one = <nb_scatterer_c *>self.allocate(sum(map(len, found.values())), sizeof(nb_scatterer_c))
        for k, (point, members) in enumerate(found.items()):
            copy_complex(place[k].at, np.frombuffer(point, complex), 3, "points")
            place[k].first, place[k].count = number, len(members)
            for i, scatterer, amount in members:
                one[number].curve, one[number].amount, one[number].squared = i, amount, scatterer.squared
                one[number].polarized, one[number].fixed = scatterer.polarized, scatterer.fixed
                number += 1
        self.backdrop.curve, self.backdrop.place, self.backdrop.scatterer = curve, place, one
        self.backdrop.curves, self.backdrop.places, self.backdrop.scatterers = len(backdrop.scatterers), len(found), number
        self.backdrop.oversample = backdrop.oversample
        return 0

    cdef int pack_obstacles(self, obstacles) except -1:
        cdef int panels = self.c.panels, sources = self.c.sources, count = len(obstacles.absorbers), panel, i
        cdef nb_obstacles_c *at = <nb_obstacles_c *>self.allocate(panels, sizeof(nb_obstacles_c))
        cdef nb_absorber_c *absorber = <nb_absorber_c *>self.allocate(panels * count, sizeof(nb_absorber_c))
        cdef nb_stop_c *stop = <nb_stop_c *>self.allocate(len(obstacles.stops), sizeof(nb_stop_c))
        if obstacles.panels != panels or obstacles.sources != sources:
            raise ValueError(f"obstacles of {obstacles.panels} panels and {obstacles.sources} sources")
        for i, one in enumerate(obstacles.stops):
            self.pack_stop(&stop[i], one)
        for panel in range(panels):
            at[panel].absorber, at[panel].absorbers = absorber + panel * count, count
            at[panel].stop, at[panel].stops = stop, len(obstacles.stops)
            for i, one in enumerate(obstacles.absorbers):
                absorber[panel * count + i].kind = number_of(ABSORBERS, one.kind, "absorber")
                absorber[panel * count + i].distance = one.distance
                copy_complex(absorber[panel * count + i].normal, one.normal[panel], 3, "normal")
                absorber[panel * count + i].depth = self.numbers(one.depth[panel], sources, "depth")
            if obstacles.body is not None:
                self.pack_body(&at[panel].body, obstacles.body)
        self.backdrop.obstacles = at
        return 0

    cdef int pack_stop(self, nb_stop_c *c, stop) except -1:
        """Where it ends is a choice: all of it but the transmission is compared and no more."""
        c.kind, c.distance, c.radius = number_of(STOPS, stop.kind, "stop"), stop.distance, stop.radius
        c.half_width, c.transmission = stop.half_width, stop.transmission
        copy_complex(c.normal, stop.normal, 3, "normal")
        copy_complex(c.u, stop.u, 3, "u")
        copy_complex(c.v, stop.v, 3, "v")
        copy_complex(c.centre, stop.centre, 2, "centre")
        copy_complex(c.arm, stop.arm, 2, "arm")
        if len(stop.corners):
            edges = polygon_edges(np.asarray(stop.corners).real)
            c.edges, c.edge = len(edges), self.numbers(edges, edges.size, "edges")
        return 0

    cdef int pack_body(self, nb_body_c *c, body) except -1:
        c.kind, c.spread, c.size = number_of(BODIES, body.kind, "body"), body.spread, body.size
        copy_complex(c.centre, body.centre, 3, "centre")
        copy_complex(c.normal, body.normal, 3, "normal")
        c.mu = self.numbers(body.mu, self.c.sources, "mu")
        if body.mean is not None:
            c.mean = self.numbers(body.mean, self.c.sources * NB_BALL_PIECES * 4, "mean")
        return 0

    def run(self):
        """Work on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef int status
        with nogil:
            status = nb_backdrop_slopes(&self.c, &self.backdrop, &self.job)
        return STATUS[status]


cdef class DiffuseSlopesJob(SlopesJob):
    """Of the diffuse scattering of crystals.

    moving: panels, sources, tables, polarization, polar vector and diffuse count.
    rate, value: float64 images of all pixels; value may be None.
    """

    cdef nb_diffuse_c diffuse
    cdef nb_diffuse_slopes_job job

    def __init__(self, EngineScene scene, moving, double step, int threads, rate, value=None):
        SlopesJob.__init__(self, scene, moving)
        check_motion_tables(scene, moving.diffuse)
        self.kept += [rate, value]
        self.job.threads, self.job.step = threads, step
        self.job.cancel, self.job.progress = &self.cancelled, &self.done
        self.job.rate = image_of(rate, scene.c.pixels, "the rate")
        self.job.value = image_of(value, scene.c.pixels, "the value")
        self.c.dmin = moving.dmin
        self.pack_tables(moving.tables)
        self.pack_motions(moving.diffuse)

    cdef int pack_tables(self, tables) except -1:
        cdef nb_table_c *c = <nb_table_c *>self.allocate(len(tables), sizeof(nb_table_c))
        cdef int i, j
        for i, table in enumerate(tables):
            c[i].default_F = table.default_F
            if table.values is None:
                continue
            c[i].F = self.numbers(table.values, table.values.size, "structure factors")
            for j in range(3):
                c[i].F_min[j], c[i].F_count[j] = table.origin[j], table.values.shape[j]
        self.c.table = c
        return 0

    cdef int pack_motions(self, diffuse) except -1:
        cdef nb_motion_c *c = <nb_motion_c *>self.allocate(len(diffuse.motions), sizeof(nb_motion_c))
        cdef int i
        for i, motion in enumerate(diffuse.motions):
            check_motion(motion)
            c[i].abc = self.numbers(motion.orientations, motion.orientations.size, "orientations")
            c[i].weight = self.numbers(motion.weights, len(motion.weights), "weights")
            c[i].form = self.numbers(motion.forms, motion.forms.size, "forms")
            c[i].orientations, c[i].models = len(motion.weights), len(motion.forms)
            c[i].scale, c[i].along, c[i].across, c[i].soft = motion.scale, motion.along, motion.across, motion.soft
            c[i].kind, c[i].table = number_of(MOTIONS, motion.kind, "motion"), motion.table
            c[i].order, c[i].stencil, c[i].damped = motion.order, motion.stencil, motion.damped
            c[i].outside = c[i].shell = NULL
            if motion.tail is None:
                continue
            c[i].outside = self.numbers(motion.tail.outside, motion.tail.outside.size, "what is beyond a stencil")
            c[i].per_shell, c[i].shells = motion.tail.per_shell, motion.tail.shells.shape[1]
            if c[i].shells:
                shells = padded_shells(motion)
                c[i].shell = self.numbers(shells, shells.size, "shells")
        self.diffuse.motion, self.diffuse.motions, self.diffuse.oversample = c, len(diffuse.motions), diffuse.oversample
        return 0

    def run(self):
        """Work on this thread (and OpenMP's); returns an entry of STATUS."""
        cdef int status
        with nogil:
            status = nb_diffuse_slopes(&self.c, &self.diffuse, &self.job)
        return STATUS[status]
