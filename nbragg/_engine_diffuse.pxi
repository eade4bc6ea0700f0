# Part of _engine.pyx: diffuse scattering of crystals; see csrc/nb_diffuse.h.


cdef check_motion(motion):
    """Raises ValueError where the arrays of a motion do not fit together."""
    orientations, weights, forms = motion.orientations, motion.weights, motion.forms
    if orientations.shape != (len(weights), 3, 3) or not len(weights):
        raise ValueError(f"orientations of the shape {orientations.shape} have {len(weights)} weights; (n, 3, 3) and n >= 1 were expected")
    if forms.shape != (len(forms), NB_FORMS) or not len(forms):
        raise ValueError(f"forms have the shape {forms.shape}; (n, {NB_FORMS}), n >= 1, was expected")
    if not 1 <= motion.order <= NB_MOST_ORDER or motion.stencil < 0:
        raise ValueError(f"order {motion.order} and stencil {motion.stencil}; 1 to {NB_MOST_ORDER}, and at least 0 were expected")
    if motion.tail is not None and motion.tail.outside.shape != (len(forms), motion.order):
        raise ValueError(f"a tail has the shape {motion.tail.outside.shape}; {(len(forms), motion.order)} was expected")


cdef object padded_shells(motion):
    """(tables, shells + 2), as nb_motion.shell; None: of tables without a list."""
    shells = motion.tail.shells
    return np.concatenate([shells[:, :1], shells, shells[:, -1:]], axis=1) if shells.shape[1] else None


cdef int check_motion_tables(EngineScene scene, diffuse) except -1:
    """Every motion needs a table for each that a source names."""
    cdef int64_t most = 0, i
    for i in range(scene.c.sources):
        most = max(most, scene.c.source[i].table)
    for motion in diffuse.motions:
        if not 0 <= motion.table < scene.c.tables - most:
            raise ValueError(f"a motion takes tables of structure factors from number {motion.table} on; there are {scene.c.tables}")
        if motion.tail is not None and len(motion.tail.shells) <= most:
            raise ValueError(f"a tail has {len(motion.tail.shells)} tables; {most + 1} were expected")
    return 0


cdef class PackedDiffuse:
    """A Diffuse as C structs; arrays are the record's own."""

    cdef nb_diffuse c
    cdef Packed motion
    cdef object diffuse
    cdef list shells  # of each motion, or None

    def __init__(self, diffuse):
        cdef const double[:, ::1] outside, shell
        cdef nb_motion *c
        cdef const double[:, :, ::1] abc
        cdef const double[::1] weight
        cdef const double[:, ::1] form
        self.diffuse, self.motion = diffuse, Packed()
        self.shells = [None if motion.tail is None else padded_shells(motion) for motion in diffuse.motions]
        c = <nb_motion *>self.motion.allocate(len(diffuse.motions), sizeof(nb_motion))
        for i, motion in enumerate(diffuse.motions):
            check_motion(motion)
            abc, weight, form = motion.orientations, motion.weights, motion.forms
            c[i].abc, c[i].weight, c[i].form = &abc[0, 0, 0], &weight[0], &form[0, 0]
            c[i].orientations, c[i].models = abc.shape[0], <int32_t>form.shape[0]
            c[i].scale, c[i].along, c[i].across, c[i].soft = motion.scale, motion.along, motion.across, motion.soft
            c[i].kind, c[i].table = number_of(MOTIONS, motion.kind, "motion"), motion.table
            c[i].order, c[i].stencil, c[i].damped = motion.order, motion.stencil, motion.damped
            c[i].outside = c[i].shell = NULL
            if motion.tail is not None:
                outside = motion.tail.outside
                c[i].outside, c[i].per_shell, c[i].shells = &outside[0, 0], motion.tail.per_shell, motion.tail.shells.shape[1]
            if self.shells[i] is not None:
                shell = self.shells[i]
                c[i].shell = &shell[0, 0]
        self.c.motion, self.c.motions, self.c.oversample = c, self.motion.count, diffuse.oversample
        if self.c.oversample < 1:
            raise ValueError(f"oversample = {diffuse.oversample}; at least 1 was expected")

    cdef int check(self, EngineScene scene) except -1:
        return check_motion_tables(scene, self.diffuse)

    def device_bytes(self, upload):
        """nb_diffuse as bytes, its pointers addresses in another memory; upload(array) copies there and returns where."""
        cdef bytearray structs = bytearray((<const char *>self.motion.at)[: self.motion.bytes])
        cdef bytearray whole = bytearray((<const char *>&self.c)[: sizeof(nb_diffuse)])
        cdef char *at = structs
        cdef nb_motion *c = <nb_motion *>at
        for i, motion in enumerate(self.diffuse.motions):
            c[i].abc = <const double *><size_t>upload(motion.orientations)
            c[i].weight = <const double *><size_t>upload(motion.weights)
            c[i].form = <const double *><size_t>upload(motion.forms)
            if motion.tail is not None:
                c[i].outside = <const double *><size_t>upload(motion.tail.outside)
            if self.shells[i] is not None:
                c[i].shell = <const double *><size_t>upload(self.shells[i])
        address = upload(np.frombuffer(bytes(structs), np.uint8))
        at = whole
        (<nb_diffuse *>at).motion = <const nb_motion *><size_t>address
        return bytes(whole)
