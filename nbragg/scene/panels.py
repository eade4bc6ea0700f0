"""The panels of a detector where they stand, with what each of them renders."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from ..base import constants, memory, numbers
from ..base.errors import InputError
from ..base.records import freeze
from ..base.vectors import FloatArray, cross, unit
from ..model.conventions import CONVENTIONS
from ..model.detector import Detector
from ..model.materials import Material
from ..model.panel import Panel
from ..model.physics import Physics
from .detector_frame import Axes, Directions, effective_convention, given_vectors, initial_frame
from .detector_geometry import DetectorGeometry, detector_geometry, dials_origin, shifted, vertical
from .record import PlacedPanel, Sources
from .stages import Stages
from .steps import Layers, resolve_layers

__all__ = ["detector_places", "placed_panels", "sensor_wavelength", "sensor_wavelengths"]

Region = tuple[int, int, int, int]

#: by material, `PlacedPanel.source_mu` and its slopes: panels of one share them
_Known = dict[str | Material, tuple[FloatArray | None, FloatArray | None]]

#: float image, integer image, noise image, preview and mask, kept at the same time
_BYTES_PER_PIXEL = 4 + 2 + 2 + 1 + 1


def detector_places(
    detector: Detector, directions: Directions, physics: Physics, run: Stages | None = None
) -> tuple[DetectorGeometry, ...]:
    """Where each panel stands: by the convention, or as explicit panels say.

    ``run`` has the stages of earlier scenes at hand.

    Raises
    ------
    InputError
        As `detector_geometry`; for a panel whose plane passes through the sample.
    """
    if not detector.panels:
        return (detector_geometry(detector, directions, physics, run),)
    given = given_vectors(detector, directions)
    name = effective_convention(detector, given)
    run = run or Stages()
    axes = run(initial_frame, CONVENTIONS[name], tuple(given.items()))
    upright = run(vertical, axes.beam, axes.polar)
    corners = [
        numbers.read_only(shifted(np.array(panel.origin_mm) * 1e-3, detector)) for panel in detector.panels
    ]
    return tuple(
        run(_panel_geometry, panel, corner, name, axes, upright, i, run, part=i)
        for i, (panel, corner) in enumerate(zip(detector.panels, corners, strict=True))
    )


def _panel_geometry(
    panel: Panel,
    corner: FloatArray,
    convention: str,
    axes: Axes,
    upright: FloatArray,
    number: int,
    run: Stages,
) -> DetectorGeometry:
    """An explicit panel: its plane is known, and all that reports say follows."""
    fast, slow, normal = run(_panel_axes, panel.fast, panel.slow, part=number)
    edges = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm, panel.pixel_mm)
    pixel = (edges[0] * 1e-3, edges[1] * 1e-3)
    if (normal @ corner).real < 0:
        normal = -normal
    close_distance = numbers.scalar(corner @ normal)
    if close_distance.real <= 1e-9 * float(np.linalg.norm(corner)):
        raise InputError(
            f"panel {number} {panel.name!r}: its plane passes through the sample (close distance "
            f"{close_distance * 1e3:g} mm): change origin_mm or the axes"
        )
    ratio = numbers.scalar(axes.beam @ normal) or sys.float_info.min
    distance = close_distance / ratio
    # the panel's own first pixel, which the plane's corner may be far from
    own = corner + panel.first[0] * pixel[0] * fast + panel.first[1] * pixel[1] * slow
    fclose, sclose = -numbers.scalar(own @ fast), -numbers.scalar(own @ slow)
    with np.errstate(over="ignore", invalid="ignore"):  # the beam may run along the plane
        reach = distance * axes.beam - own
        fbeam, sbeam = numbers.scalar(fast @ reach), numbers.scalar(slow @ reach)
    place = DetectorGeometry(
        convention=convention,
        pivot="none",
        fpixels=panel.fpixels,
        spixels=panel.spixels,
        pixel=pixel,
        detsize_f=pixel[0] * panel.fpixels,
        detsize_s=pixel[1] * panel.spixels,
        fdet=fast,
        sdet=slow,
        odet=normal,
        beam_vector=axes.beam,
        polar_vector=axes.polar,
        vert_vector=upright,
        spindle=axes.spindle,
        twotheta_axis=axes.twotheta_axis,
        pix0=corner,
        distance=distance,
        close_distance=close_distance,
        ratio=ratio,
        Xbeam=fbeam,
        Ybeam=sbeam,
        Fbeam=fbeam,
        Sbeam=sbeam,
        Xclose=fclose,
        Yclose=sclose,
        Fclose=fclose,
        Sclose=sclose,
        ORGX=fclose / pixel[0] + 0.5,
        ORGY=sclose / pixel[1] + 0.5,
        rotx=0.0,
        roty=0.0,
        rotz=0.0,
        twotheta=0.0,
        dials_origin_mm=dials_origin(own),
    )
    for value in vars(place).values():
        freeze(value)
    return place


def _panel_axes(
    along: tuple[float, float, float], down: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit vectors along fast and slow, and the normal of their hand."""
    fast, slow = unit(along), unit(down)
    return fast, slow, unit(cross(fast, slow))


def placed_panels(
    detector: Detector,
    roi: Region | None,
    places: tuple[DetectorGeometry, ...],
    physics: Physics,
    wavelength: float | None = None,
    each: FloatArray | None = None,
) -> tuple[PlacedPanel, ...]:
    """What a renderer reads of each panel.

    Parameters
    ----------
    detector : Detector
    roi : (fmin, fmax, smin, smax) or None
        Of `Sampling`; explicit panels have their own.
    places : tuple of DetectorGeometry
    physics : Physics
    wavelength : float, optional
        m, at which sensors given by their material absorb.
    each : ndarray (sources,), optional
        m, at which they absorb the light of each source, where that is asked for.

    Raises
    ------
    InputError
        For a mask or a roi that does not fit, and a wavelength outside the table of attenuation.
    MemoryLimitError
        When the image does not fit into memory.
    """
    pixels = sum(place.fpixels * place.spixels for place in places)
    size = f"{places[0].fpixels} x {places[0].spixels}"
    memory.require(
        _BYTES_PER_PIXEL * pixels,
        f"an image of {size} pixels"
        if len(places) == 1
        else f"an image of {len(places)} panels, {pixels} pixels,",
        "give fewer pixels (fpixels, spixels: -detpixels) or larger ones (pixel_mm: -pixel)",
    )
    if not detector.panels:
        place = places[0]
        _check_mask(detector.mask, place)
        return (_placed(detector, place, _region(roi, place), physics, wavelength, each, {}),)
    if roi is not None:
        raise InputError(f"roi {roi} does not say of which panel: give it to the panels")
    whole = [_region(panel.roi, place) for panel, place in zip(detector.panels, places, strict=True)]
    known: _Known = {}
    return tuple(
        _placed(panel, place, region, physics, wavelength, each, known)
        for panel, place, region in zip(detector.panels, places, whole, strict=True)
    )


def _region(roi: Region | None, place: DetectorGeometry) -> Region:
    fpixels, spixels = place.fpixels, place.spixels
    if roi is None:
        return 0, fpixels - 1, 0, spixels - 1
    if roi[1] >= fpixels or roi[3] >= spixels:
        raise InputError(
            f"roi {roi} reaches outside the detector: limits are inclusive and counted from 0, "
            f"so at most 0 {fpixels - 1} 0 {spixels - 1}"
        )
    return roi


def _check_mask(mask: npt.NDArray[np.uint8] | None, place: DetectorGeometry) -> None:
    if mask is not None and mask.shape != (place.spixels, place.fpixels):
        slow, fast = mask.shape
        raise InputError(
            f"mask of {fast} x {slow} pixels on a detector of {place.fpixels} x {place.spixels}: "
            "give one of its size"
        )


def _placed(
    what: Detector | Panel,
    place: DetectorGeometry,
    roi: Region,
    physics: Physics,
    wavelength: float | None,
    each: FloatArray | None,
    known: _Known,
) -> PlacedPanel:
    layers = _layers(what, physics, wavelength)
    mu, slope = _of_each(what, each, known)
    curved = isinstance(what, Detector) and what.curved
    return PlacedPanel(
        fpixels=place.fpixels,
        spixels=place.spixels,
        first=what.first if isinstance(what, Panel) else (0, 0),
        pixel=place.pixel,
        fdet=numbers.read_only(place.fdet),
        sdet=numbers.read_only(place.sdet),
        odet=numbers.read_only(place.odet),
        beam=numbers.read_only(place.beam_vector),
        pix0=numbers.read_only(place.pix0),
        distance=place.distance,
        close_distance=place.close_distance,
        curved=("axes" if physics.curved_by_axes else "laboratory") if curved else "flat",
        point_pixel=isinstance(what, Detector) and what.point_pixel,
        layers=layers.count,
        layer_step=layers.step,
        thickness=layers.thickness,
        mu=layers.mu,
        mean_depth=physics.mean_depth,
        roi=roi,
        mask=what.mask,
        source_mu=mu,
        source_mu_slope=slope,
    )


def _layers(what: Detector | Panel, physics: Physics, wavelength: float | None) -> Layers:
    depth = None if what.attenuation_um is None else what.attenuation_um * 1e-6
    if depth is None and what.material is not None and wavelength is not None and what.thickness_um.real > 0:
        from ..model.materials import attenuation

        depth = 1.0 / attenuation(what.material, constants.HC_EV_A / (wavelength * 1e10), "photo")
    return resolve_layers(what.thickness_um * 1e-6, what.thicksteps, depth, whole=physics.whole_layers)


def _of_each(
    what: Detector | Panel, each: FloatArray | None, known: _Known
) -> tuple[FloatArray | None, FloatArray | None]:
    """Attenuation coefficients at wavelengths, and slopes; None where they are equal, or nobody asks."""
    material = what.material
    if each is None or material is None or what.attenuation_um is not None or not what.thickness_um.real > 0:
        return None, None
    if material not in known:
        from ..model.materials import attenuation

        def at(wavelength: FloatArray) -> FloatArray:
            return numbers.read_only(attenuation(material, constants.HC_EV_A / (wavelength * 1e10), "photo"))

        mu = at(each)
        if not np.ptp(mu.real):
            known[material] = None, None
        else:
            known[material] = mu, numbers.derivative(at(numbers.stepped(each.real)))
    return known[material]


def sensor_wavelength(detector: Detector, sources: Sources) -> float | None:
    """Weighted mean wavelength (m), at which sensors given by their material absorb; None: no sensor is."""
    if not _by_material(detector):
        return None
    return numbers.scalar(sources.weight @ sources.wavelength / sources.weight.sum())


def sensor_wavelengths(detector: Detector, sources: Sources, *, thick: bool) -> FloatArray | None:
    """Wavelengths (m) at which sensors given by their material absorb the light of each source.

    Parameters
    ----------
    detector : Detector
    sources : Sources
    thick : bool
        Whether the capture fraction is taken for every sample.

    Returns
    -------
    ndarray (sources,) or None
        None: one coefficient is that of all.
    """
    if not thick or not _by_material(detector) or not np.ptp(sources.wavelength.real):
        return None
    return sources.wavelength


def _by_material(detector: Detector) -> bool:
    sensors = detector.panels or (detector,)
    return any(what.material is not None and what.attenuation_um is None for what in sensors)
