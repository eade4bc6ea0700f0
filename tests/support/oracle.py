"""A slow, obvious renderer of a Scene: what the engine must compute, sample by sample.

Written from the equations (canonical 6 to 8 and 11) and from the fields of ``Scene`` alone; it
shares no code with the package.  Arithmetic is ``numpy.longdouble`` throughout, so that on x86-64 and on
aarch64 Linux the rounding seen in a comparison is the engine's own.  One whole image is handled at a time
and every sample is visited in the order of canonical 6.1.

A Scene may hold complex numbers, value + i step tangent with a tiny step: the imaginary part of the image is
then step times its derivative along the tangent, in full precision, as nothing is subtracted (complex step;
see ``derivatives.py``).  Whatever compares or rounds looks at real parts (gradients 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

REAL = np.longdouble
COMPLEX = np.clongdouble
Array = npt.NDArray[Any]

PI = REAL("3.14159265358979323846264338327950288")
R_E_SQR = REAL("7.94079248018965e-30")  # m^2
AVOGADRO = REAL("6.02214179e23")
SPHERE_VOLUME = REAL("0.723601254558268")  # canonical 7.1


def wide(v: Any) -> Any:
    """v in the arithmetic of this module, an array or a scalar; complex where it has a derivative."""
    v = np.asarray(v)
    return v.astype(COMPLEX if np.iscomplexobj(v) else REAL)[()]


def dot(u: Array, v: Array) -> Array:
    """Inner product over the last axis; of complex vectors too, nothing is conjugated."""
    return np.asarray(np.sum(wide(u) * wide(v), axis=-1))


def unit(v: Array) -> Array:
    """v scaled to length 1 along the last axis."""
    v = wide(v)
    return np.asarray(v / np.sqrt(dot(v, v))[..., None])


def rotate(v: Array, axis: Array, angle: Array | float) -> Array:
    """Rodrigues' rotation of vectors (..., 3) about a unit axis (3,), right-handed, angle (...) rad."""
    axis = wide(axis)
    angle = np.asarray(wide(angle))[..., None]
    v = wide(v)
    along = dot(v, axis)[..., None] * axis
    return np.asarray(v * np.cos(angle) + np.cross(axis, v) * np.sin(angle) + along * (1 - np.cos(angle)))


def nearest(h: Array) -> Array:
    """Nearest integer, halves downward (canonical 6.5)."""
    return np.asarray(np.ceil(np.real(h) - REAL(0.5)))


def absorbs(panel: Any) -> bool:
    """Whether the sensor stops photons little by little, so that a depth and a fraction have a meaning."""
    return bool(panel.thickness != 0 and np.real(panel.mu) != 0)


def mean_depth(u: Array) -> Array:
    """Mean depth of the photons stopped in a layer of optical thickness u, as a part of it (canonical 11).

    The quotient of the integrals of x e^(-ux) and e^(-ux) over 0 < x < 1.
    """
    u = wide(u)
    small = np.abs(np.real(u)) < REAL(0.01)
    with np.errstate(all="ignore"):
        closed = 1 / u - 1 / np.expm1(np.where(np.real(u) < 1000, u, 1000))  # beyond: nothing to subtract
    return np.where(small, REAL(0.5) - u / 12 + u**3 / 720 - u**5 / 30240, closed)


def position(
    panel: Any, oversample: int, fast: Array, slow: Array, layer: int, i_fast: int, i_slow: int
) -> Array:
    """Vector from the sample to a sub-pixel, m (canonical 6.1, 6.2); a panel may begin inside its plane."""
    os = oversample
    px, py = (wide(edge) for edge in panel.pixel)
    f = (px / os) * ((panel.first[0] + fast) * os + i_fast) + px / os / 2
    s = (py / os) * ((panel.first[1] + slow) * os + i_slow) + py / os / 2
    fdet, sdet, odet = (wide(v) for v in (panel.fdet, panel.sdet, panel.odet))
    step = wide(panel.layer_step)
    flat = wide(panel.pix0) + f[..., None] * fdet + s[..., None] * sdet + layer * step * odet
    if panel.mean_depth and absorbs(panel):
        r = dot(unit(flat), odet) if panel.curved == "flat" else np.ones(f.shape, REAL)
        flat = flat + (step * mean_depth(step * wide(panel.mu) / r))[..., None] * odet
    if panel.curved == "flat":
        return np.asarray(flat)
    distance = wide(panel.distance)
    middle = distance * wide(panel.beam)
    if panel.curved == "laboratory":
        about_s, about_f = flat[..., 1] / distance, flat[..., 2] / distance
    else:  # in a right-handed (f, s, b) a turn about s takes b toward f, a turn about f takes it away from s
        hand = np.sign(np.real(dot(np.cross(fdet, sdet), middle)))
        about_s = hand * dot(flat - middle, fdet) / distance
        about_f = -hand * dot(flat - middle, sdet) / distance
    return rotate(rotate(middle + 0 * flat, sdet, about_s), fdet, about_f)


def solid_angle(panel: Any, place: Array) -> Array:
    """Solid angle of a pixel at `place`, sr (canonical 6.3)."""
    r2 = dot(place, place)
    if panel.point_pixel:
        return np.asarray(1 / r2)
    area = wide(panel.pixel[0]) * wide(panel.pixel[1])
    return np.asarray(area / r2 * wide(panel.close_distance) / np.sqrt(r2))


def capture_fraction(panel: Any, d: Array, layer: int, source: int | None = None) -> Array:
    """Fraction of the photons that stop in sensor layer `layer` (canonical 6.3), of one source's light."""
    if not absorbs(panel):
        return np.ones(d.shape[:-1], REAL)
    each = getattr(panel, "source_mu", None)
    mu = panel.mu if each is None or source is None else each[source]
    per_layer = wide(panel.layer_step) * wide(mu) / dot(d, panel.odet)
    return np.asarray(np.exp(-layer * per_layer) - np.exp(-(layer + 1) * per_layer))


def polarization(scene: Any, incident: Array, d: Array) -> Array:
    """Kahn polarization factor (canonical 8)."""
    if scene.nopolar:
        return np.ones(d.shape[:-1], REAL)
    kahn = wide(scene.polarization)
    cos2 = dot(incident, d) ** 2
    cos_2psi: Array | float = 1.0
    if kahn != 0:  # a factor that moves away from 0 is not 0
        b = unit(np.cross(wide(scene.polar_vector), incident))
        e = unit(np.cross(incident, b))
        # psi = -atan2(d.b, d.e); 0 on the incident beam, where it is multiplied by 0
        b2, e2 = dot(d, b) ** 2, dot(d, e) ** 2
        cos_2psi = np.where(e2 + b2 == 0, 1, (e2 - b2) / np.where(e2 + b2 == 0, 1, e2 + b2))
    return np.asarray(REAL(0.5) * (1 + cos2 - kahn * cos_2psi * (1 - cos2)))


def _sphere(x: Array) -> Array:
    """3 (sin x / x - cos x) / x^2, by its series where the difference would cancel."""
    x2 = np.where(np.real(x) < 1, x, 1) ** 2
    series = np.zeros_like(x)
    factorial = REAL(1)
    for n in range(14):
        factorial *= (2 * n + 2) * (2 * n + 3)
        series = series + REAL(3 * (2 * n + 2)) / factorial * (-x2) ** n
    far = np.where(np.real(x) < REAL(0.5), REAL(0.5), x)
    return np.where(np.real(x) < 1, series, 3 * (np.sin(far) / far - np.cos(far)) / far**2)


def _sines(n: Any, x: Array) -> Array:
    """sin(n x) / sin x, n at x = 0.

    A derivative is taken of sin y / y, by its series, where those of both sines would cancel.
    """
    at_peak = x == 0
    quotient = np.where(at_peak, n, np.sin(n * x) / np.where(at_peak, 1, np.sin(x)))
    if not np.iscomplexobj(quotient):
        return np.asarray(quotient)
    near = np.abs(np.real(n * x)) < 1
    inner = np.where(near, x, 0)
    return np.asarray(np.where(near, n * _sine_over(n * inner) / _sine_over(inner), quotient))


def _sine_over(y: Array) -> Array:
    """sin y / y for small y."""
    total, power = np.ones_like(y), np.ones_like(y)
    for n in range(1, 14):
        power = power * -(y * y) / (2 * n * (2 * n + 1))
        total = total + power
    return total


def lattice_factor(crystal: Any, dh: Array) -> Array:
    """Lattice factor at the distance dh (..., 3) from the nearest lattice point (canonical 7.1)."""
    cells = wide(crystal.N)
    volume = cells[0] * cells[1] * cells[2]
    if crystal.shape == "square":
        latt = np.ones(dh.shape[:-1], REAL)
        for axis in range(3):  # one cell: 1, but not by a short cut, which has no derivative
            latt = latt * _sines(cells[axis], PI * dh[..., axis])
        return latt
    metric = wide(crystal.shape_metric)
    rad2 = dot(dh, np.sum(dh[..., None, :] * metric, axis=-1))
    fudge = wide(crystal.fudge)
    if crystal.shape == "round":
        return np.asarray(volume * SPHERE_VOLUME * _sphere(PI * np.sqrt(rad2 * fudge)))
    if crystal.shape == "gauss":
        return np.asarray(volume * np.exp(-rad2 / REAL("0.63") * fudge))
    return np.asarray(np.where(np.real(rad2 * fudge) < REAL("0.3969"), volume, REAL(0)))


def displacement(crystal: Any, hkl: Array) -> Any:
    """Root of exp(-V), V = h.W h (beyond 20.1)."""
    if getattr(crystal, "displacement", None) is None:
        return REAL(1)
    return np.exp(-dot(hkl, np.sum(hkl[..., None, :] * wide(crystal.displacement), axis=-1)) / 2)


def nearest_F(table: Any, h0: Array) -> Array:
    """Structure factor of the nearest reflection (canonical 7.2); h0 (..., 3) whole numbers."""
    if table.values is None:
        return np.full(h0.shape[:-1], wide(table.default_F))
    index = h0.astype(np.int64) - np.asarray(table.origin, np.int64)
    size = np.array(table.values.shape)
    inside = np.all((index >= 0) & (index < size), axis=-1)
    i, j, k = np.moveaxis(np.clip(index, 0, size - 1), -1, 0)
    return np.asarray(np.where(inside, wide(table.values[i, j, k]), wide(table.default_F)))


def usable(table: Any, hkl: Array) -> Array:
    """Whether the table reaches far enough around hkl (..., 3) to interpolate (canonical 7.3)."""
    low = np.asarray(table.origin, REAL)
    count = np.asarray(table.values.shape, REAL)
    h = np.real(hkl)
    return np.asarray(np.all((h - low + 3 <= count) & (h - 2 >= low), axis=-1))


def tricubic_F(table: Any, hkl: Array, ok: Array) -> Array:
    """Cubic Lagrange interpolation through 4x4x4 listed reflections; 0 where not `ok` (canonical 7.3)."""
    first = np.floor(np.real(hkl)).astype(np.int64) - 1
    weights = np.ones((*hkl.shape, 4), hkl.dtype)
    for m in range(4):
        for other in range(4):
            if other != m:
                weights[..., m] *= (hkl - (first + other)) / (m - other)
    index = np.where(ok[..., None], first - np.asarray(table.origin, np.int64), 0)
    total = np.zeros(ok.shape, REAL)
    for m in range(4):
        for n in range(4):
            for p in range(4):
                weight = weights[..., 0, m] * weights[..., 1, n] * weights[..., 2, p]
                i, j, k = np.moveaxis(index + np.where(ok[..., None], (m, n, p), 0), -1, 0)
                total = total + weight * table.values[i, j, k]
    return np.where(ok, total, 0)


@dataclass
class Sample:
    """One step of the loops of canonical 6.1, for all rendered pixels of a panel at once."""

    number: int  # position in the loop order
    first_subpixel: bool
    first_orientation: bool  # of the first crystal: once for each source
    layer: int
    source: int
    place: Array
    d: Array
    incident: Array
    kept: Array  # not removed by dmin
    hkl: Array
    latt: Array
    crystal: Any
    table: Any
    share: Any  # of one crystal, by its weight and the orientation's


def samples(scene: Any, panel: Any, fast: Array, slow: Array) -> Iterator[Sample]:
    """All samples of the pixels (fast, slow), outermost loop first (canonical 6.1); crystals by turns."""
    number = 0
    for layer in range(panel.layers):
        for i_slow in range(scene.oversample):
            for i_fast in range(scene.oversample):
                place = position(panel, scene.oversample, fast, slow, layer, i_fast, i_slow)
                d = unit(place)
                for source in range(len(scene.sources.wavelength)):
                    incident = wide(scene.sources.incident[source])
                    q = (d - incident) / wide(scene.sources.wavelength[source])
                    stol = np.sqrt(dot(np.real(q), np.real(q))) / 2
                    kept = np.ones(fast.shape, bool)
                    if scene.dmin > 0:
                        kept = ~((stol > 0) & (REAL(scene.dmin) > REAL(0.5) / np.where(stol > 0, stol, 1)))
                    corner = i_slow == 0 and i_fast == 0
                    begin = number
                    for crystal in scene.crystals:
                        table = scene.tables[crystal.table + int(scene.sources.table[source])]
                        given = crystal.orientation_weights
                        weights = wide(np.ones(len(crystal.orientations)) if given is None else given)
                        for cell, weight in zip(wide(crystal.orientations), weights, strict=True):
                            hkl = np.stack([dot(q, cell[axis]) for axis in range(3)], axis=-1)
                            latt = lattice_factor(crystal, hkl - nearest(hkl)) * displacement(crystal, hkl)
                            held = np.real(weights).sum()
                            share = wide(crystal.weight) * weight / held
                            yield Sample(
                                number, corner, number == begin, layer, source, place, d, incident, kept, hkl,
                                latt, crystal, table, share,
                            )  # fmt: skip
                            number += 1


def water_background(scene: Any) -> Any:
    """I_bg of canonical 8."""
    volume = wide(scene.water) ** 3
    return REAL("2.57") ** 2 * R_E_SQR * wide(scene.fluence) * volume * REAL(1e6) * AVOGADRO / 18


def pixels_of(panel: Any) -> tuple[Array, Array, Array]:
    """Fast and slow index of the roi's pixels, and which of them are rendered."""
    fmin, fmax, smin, smax = panel.roi
    slow, fast = np.meshgrid(np.arange(smin, smax + 1), np.arange(fmin, fmax + 1), indexing="ij")
    rendered = np.ones(fast.shape, bool)
    if panel.mask is not None:
        rendered = np.asarray(panel.mask)[smin : smax + 1, fmin : fmax + 1] != 0
    return fast, slow, rendered


def switch_off(scene: Any) -> tuple[int, int, int]:
    """(panel, pixel, sample) of the first sample that cannot be interpolated, pixels in raster order."""
    if all(table.interpolation != "tricubic" for table in scene.tables):
        return (len(scene.panels), 0, 0)
    for number, panel in enumerate(scene.panels):
        fast, slow, rendered = pixels_of(panel)
        order = np.arange(rendered.size).reshape(rendered.shape)
        first = (rendered.size, 0)
        for sample in samples(scene, panel, fast, slow):
            if sample.table.interpolation != "tricubic":
                continue
            # samples of factor 0 are passed over (canonical 6.5), spots too faint for a double among them;
            # with water the reference program passes over none
            looked_up = (np.real(sample.latt).astype(float) != 0) | (np.real(scene.water) != 0)
            bad = rendered & sample.kept & looked_up & ~usable(sample.table, sample.hkl)
            if bad.any():
                first = min(first, (int(order[bad].min()), sample.number))
        if first[0] < rendered.size:
            return (number, *first)
    return (len(scene.panels), 0, 0)


def render(scene: Any) -> Array:
    """The whole image in photons, of the scene's image_shape; 0 where nothing is rendered.

    float64; of a complex Scene complex, in the precision it was worked out in.
    """
    switch = switch_off(scene)
    images = []
    for number, panel in enumerate(scene.panels):
        # where on this panel interpolation ends: beyond its last pixel, before its first, or in between
        end = (
            (switch[1], switch[2])
            if number == switch[0]
            else ((1 << 60, 0) if number < switch[0] else (-1, 0))
        )
        images.append(render_panel(scene, panel, end))
    flat = np.concatenate([image.ravel() for image in images])
    return np.asarray(flat.reshape(scene.image_shape))


def render_panel(scene: Any, panel: Any, switch: tuple[int, int]) -> Array:
    """One panel, (spixels, fpixels)."""
    fast, slow, rendered = pixels_of(panel)
    order = np.arange(fast.size).reshape(fast.shape)
    background = water_background(scene)
    total: Array = np.full(fast.shape, background if scene.water_mode == "in_sum" else REAL(0))
    # canonical 8 divides the water by the orientations of the (first) crystal as well
    first = scene.crystals[0].orientation_weights
    count = len(scene.crystals[0].orientations) if first is None else wide(np.real(first).sum())
    total = total / count
    once_omega: Array = np.zeros(fast.shape, REAL)
    once_capture: Array = np.ones(fast.shape, REAL)
    once_polar: Array = np.full(fast.shape, np.nan, REAL)
    water_weight: Array = np.zeros(fast.shape, REAL)
    for sample in samples(scene, panel, fast, slow):
        omega = solid_angle(panel, sample.place)
        capture = capture_fraction(panel, sample.d, sample.layer, sample.source)
        polar = polarization(scene, sample.incident, sample.d)
        if sample.number == 0:
            once_omega = omega
        if sample.first_subpixel and sample.layer == panel.layers - 1:
            once_capture = capture_fraction(panel, sample.d, sample.layer)
        once_polar = np.where(sample.kept & np.isnan(once_polar), polar, once_polar)

        table = sample.table
        F = nearest_F(table, nearest(sample.hkl))
        if table.interpolation != "nearest":
            ok = usable(table, sample.hkl)
            smooth = np.where(ok, tricubic_F(table, sample.hkl, ok), wide(table.default_F))
            before = (order < switch[0]) | ((order == switch[0]) & (sample.number <= switch[1]))
            F = np.where(before, smooth, F) if table.interpolation == "tricubic" else smooth
        weight = wide(scene.sources.weight[sample.source])
        term = np.where(sample.kept, F**2 * sample.latt**2, 0) * weight * sample.share
        if scene.oversample_thick:
            term = term * capture
        if scene.oversample_polar:
            term = term * polar
        if scene.oversample_omega:
            term = term * omega
        total = total + term
        if sample.first_orientation:
            water_weight = water_weight + capture * omega * polar * weight

    # every loop counts in the division except the layers, whose capture fractions add up
    steps = REAL(len(scene.sources.wavelength) * scene.oversample**2)
    image = R_E_SQR * wide(scene.fluence) * total / steps
    if not scene.oversample_thick:
        image = image * once_capture
    if not scene.oversample_polar:
        # where dmin left no sample no factor was ever found: 0, as in the reference program
        image = image * np.where(np.isnan(once_polar), 1 if scene.nopolar else 0, once_polar)
    if not scene.oversample_omega:
        image = image * once_omega
    if scene.water_mode == "after":
        image = image + background * water_weight / steps
    kind = COMPLEX if np.iscomplexobj(image) else np.float64
    out = np.zeros((panel.spixels, panel.fpixels), kind)
    fmin, fmax, smin, smax = panel.roi
    out[smin : smax + 1, fmin : fmax + 1] = np.where(rendered, image, 0).astype(kind)
    return out


def solid_angle_total(scene: Any) -> float:
    """Sum over the rendered pixels of the mean solid angle over sub-pixels and layers, sr."""
    total = REAL(0)
    for panel in scene.panels:
        fast, slow, rendered = pixels_of(panel)
        steps = [
            (layer, i_fast, i_slow)
            for layer in range(panel.layers)
            for i_slow in range(scene.oversample)
            for i_fast in range(scene.oversample)
        ]
        if not scene.oversample_omega:
            steps = steps[:1]
        for step in steps:
            omega = solid_angle(panel, position(panel, scene.oversample, fast, slow, *step))
            total += omega[rendered].sum() / len(steps)
    return float(total)
