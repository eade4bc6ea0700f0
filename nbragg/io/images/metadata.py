"""What an image file says about how the image was made: geometry in the simulator's frame, and the recipe.

One record, made from a Scene, is what the writers put into their headers and what their readers give back.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError

if TYPE_CHECKING:
    from ...model.beam import Beam
    from ...model.spectrum import Spectrum
    from ...scene.record import PlacedPanel, Scene

__all__ = ["NO_TIME", "ImageMetadata", "PanelMetadata", "imgcif_frame", "mcstas_frame"]

Vector = tuple[float, float, float]

#: of headers that need a time, where none is given: a simulation has none, and the same image gives the same
#: bytes
NO_TIME = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)

#: version of the JSON form
_FORMAT = 1

#: what is left out of it where it says nothing
_ABSENT: dict[str, Any] = {
    "panels": [],
    "recipe": None,
    "seed": None,
    "saturation": None,
    "model": "",
    "material": "",
}


@dataclass(frozen=True, kw_only=True)
class PanelMetadata:
    """One of several panels; lengths mm, vectors in the laboratory frame of the simulation.

    Attributes
    ----------
    fpixels, spixels : int
    pixel_mm : (float, float)
        Pixel edges along fast and slow.
    fast, slow : 3 floats
        Unit vectors.
    origin_mm : 3 floats
        Sample to the outer corner of the panel's own first pixel.
    sensor_um, attenuation_um : float
        As of `ImageMetadata`.
    name : str
    """

    fpixels: int
    spixels: int
    pixel_mm: tuple[float, float]
    fast: Vector
    slow: Vector
    origin_mm: Vector
    sensor_um: float = 0.0
    attenuation_um: float = 0.0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageMetadata:
    """Geometry and beam of one image; lengths mm, angles degrees, vectors in the laboratory frame of the
    simulation.

    Of a detector of several panels, what belongs to one panel is that of the first, and `panels` has all.

    Attributes
    ----------
    fpixels, spixels : int
        Size of the image.
    pixel_mm : (float, float)
        Pixel edges along fast and slow; one number may be given for both.
    wavelength_A : float
        Central wavelength; of a spectrum that of its mean energy.
    distance_mm : float
        Sample to the point where the beam meets the detector, along the beam.
    beam_center_px : (float, float)
        That point along fast and slow, in pixels from the outer corner of the first pixel.
    fast, slow, normal : 3 floats
        Detector axes, unit vectors.
    pix0_mm : 3 floats
        Sample to the outer corner of the first pixel.
    panels : tuple of PanelMetadata
        All panels, of a detector of several; else empty.
    model : str
        Name of the library's detector that it began as, or "".
    material : str
        Formula of the sensor's material, or "" where it is not known.
    beam, polar, spindle, twotheta_axis : 3 floats
        Beam direction of travel, electric field, rotation axis, two-theta axis; unit vectors.
    polarization : float
        Kahn factor.
    phi_deg, osc_deg : float
        Start and width of the rotation.
    twotheta_deg : float
        Swing of the detector.
    sensor_um : float
        Sensor thickness; 0 for none, which captures every photon at its surface.
    attenuation_um : float
        Attenuation depth of the sensor; 0 where there is none.
    fluence : float
        Photons/m^2.
    flux, exposure_s, beamsize_mm : float
        As set up; flux 0 when the fluence was given directly, beamsize 0 where it is not known.
    convention, physics : str
        Names of the beam-centre convention and of the physics mode.
    curved : bool
        The pixels lie on a sphere about the sample, which `fast`, `slow` and `pix0_mm` cannot say.
    recipe : mapping or None
        The set-up as :func:`nbragg.io.recipe.to_dict` gives it.
    scale, offset : float
        Of the pixels that these metadata belong to: photons are (pixels - offset)/scale.
    pixels_are : {"photons", "counts"}
        Expected photons, or counts with noise.
    seed : int or None
        Of the noise.
    saturation : float or None
        The largest number that a pixel holds; None: that of its type.
    spectrum : Spectrum or None
        Of the beam, which NXmx files have as wavelengths and weights; no part of the record as text.

    Raises
    ------
    InputError
        A scale of 0.
    """

    fpixels: int
    spixels: int
    pixel_mm: tuple[float, float]
    wavelength_A: float
    distance_mm: float
    beam_center_px: tuple[float, float]
    fast: Vector
    slow: Vector
    normal: Vector
    pix0_mm: Vector
    beam: Vector
    polar: Vector
    spindle: Vector
    twotheta_axis: Vector = (0.0, 1.0, 0.0)
    polarization: float = 0.0
    phi_deg: float = 0.0
    osc_deg: float = 0.0
    twotheta_deg: float = 0.0
    sensor_um: float = 0.0
    attenuation_um: float = 0.0
    fluence: float = 0.0
    flux: float = 0.0
    exposure_s: float = 1.0
    beamsize_mm: float = 0.0
    convention: str = "custom"
    physics: str = "nanobragg"
    curved: bool = False
    recipe: Mapping[str, Any] | None = None
    scale: float = 1.0
    offset: float = 0.0
    pixels_are: str = "photons"
    seed: int | None = None
    saturation: float | None = None
    panels: tuple[PanelMetadata, ...] = ()
    model: str = ""
    material: str = ""
    spectrum: Spectrum | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        edges: Any = self.pixel_mm
        fast, slow = (edges, edges) if np.ndim(edges) == 0 else edges
        object.__setattr__(self, "pixel_mm", (float(fast), float(slow)))
        if not self.scale:
            raise InputError("scale = 0; another number was expected")

    @classmethod
    def from_scene(
        cls, scene: Scene, beam: Beam | None = None, recipe: Mapping[str, Any] | None = None
    ) -> ImageMetadata:
        """Collect what the files need from a Scene, and from what it was built from.

        Parameters
        ----------
        scene : Scene
        beam : Beam, optional
            Gives flux, exposure and beam size, which are not known without it.
        recipe : mapping, optional
            The whole set-up, to be kept as it is.
        """
        g, panel, placement = scene.placement.panels[0], scene.panels[0], scene.placement
        strength = ("flux", "exposure_s", "beamsize_mm")
        more: dict[str, Any] = {}
        if beam is not None:
            more = {name: float(getattr(beam, name)) for name in strength}
            more["spectrum"] = beam.spectrum
        return cls(
            fpixels=int(panel.fpixels),
            spixels=int(panel.spixels),
            pixel_mm=(panel.pixel[0] * 1e3, panel.pixel[1] * 1e3),
            wavelength_A=placement.wavelength * 1e10,
            distance_mm=panel.distance * 1e3,
            beam_center_px=(g.Fbeam / panel.pixel[0], g.Sbeam / panel.pixel[1]),
            fast=_vector(panel.fdet),
            slow=_vector(panel.sdet),
            normal=_vector(panel.odet),
            pix0_mm=_own_corner(panel),
            beam=_vector(panel.beam),
            polar=_vector(scene.polar_vector),
            spindle=_vector(g.spindle),
            twotheta_axis=_vector(g.twotheta_axis),
            polarization=float(scene.polarization),
            phi_deg=math.degrees(placement.phi0),
            osc_deg=math.degrees(placement.osc),
            twotheta_deg=math.degrees(g.twotheta),
            sensor_um=panel.thickness * 1e6,
            attenuation_um=_depth_um(panel),
            fluence=float(scene.fluence),
            convention=str(g.convention),
            physics=str(scene.physics),
            curved=panel.curved != "flat",
            recipe=recipe,
            panels=_panels_metadata(scene) if len(scene.panels) > 1 else (),
            model=placement.labels.model,
            material=placement.labels.material,
            **more,
        )

    @property
    def tilted(self) -> bool:
        """True when the detector is not perpendicular to the beam (by more than 1e-6 rad)."""
        return float(np.linalg.norm(np.cross(self.normal, self.beam))) > 1e-6

    @property
    def rectangular(self) -> bool:
        """True when the pixels are not square."""
        return self.pixel_mm[0] != self.pixel_mm[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(slow, fast) of one panel, (panel, slow, fast) of several of one size, else (pixels,)."""
        sizes = {(panel.spixels, panel.fpixels) for panel in self.panels} or {(self.spixels, self.fpixels)}
        if len(sizes) > 1:
            return (sum(panel.spixels * panel.fpixels for panel in self.panels),)
        size = sizes.pop()
        return (len(self.panels), *size) if self.panels else size

    def scaled(self, scale: float, offset: float) -> ImageMetadata:
        """Those of the same image with pixels * scale + offset."""
        return dataclasses.replace(self, scale=self.scale * scale, offset=self.offset * scale + offset)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for JSON; ``pixel_mm`` is one number where pixels are square."""
        names = [f.name for f in dataclasses.fields(self) if f.compare]
        return {"nanobragg_image": _FORMAT, **self._plain(names)}

    def beside(self, first: ImageMetadata) -> dict[str, Any]:
        """Those entries of `to_dict` that are not those of another image."""
        names = [
            f.name
            for f in dataclasses.fields(self)
            if f.compare and getattr(self, f.name) != getattr(first, f.name)
        ]
        known = first._plain(names)
        return {name: value for name, value in self._plain(names).items() if value != known.get(name)}

    def _plain(self, names: Iterable[str]) -> dict[str, Any]:
        result = {name: getattr(self, name) for name in names}
        if "panels" in result:
            result["panels"] = [dataclasses.asdict(panel) for panel in self.panels]
        for name, absent in _ABSENT.items():
            if name in result and result[name] == absent:
                del result[name]
        if "pixel_mm" in result and not self.rectangular:
            result["pixel_mm"] = self.pixel_mm[0]
        return result

    def to_json(self) -> str:
        """One line of ASCII JSON."""
        try:
            import json

            return json.dumps(self.to_dict(), ensure_ascii=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"image metadata cannot be written as JSON: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageMetadata:
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        InputError
            Not such a mapping, or one of a newer version.
        """
        if values.get("nanobragg_image") != _FORMAT:
            raise InputError(
                f"image metadata has the version {values.get('nanobragg_image')!r}; {_FORMAT} was expected"
            )
        known = {f.name: f for f in dataclasses.fields(cls) if f.compare}
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known
        }
        try:
            fields["panels"] = tuple(map(_panel_from, fields.get("panels", ())))
            return cls(**fields)
        except (TypeError, AttributeError) as error:
            raise InputError(f"image metadata is incomplete: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> ImageMetadata:
        """The inverse of :meth:`to_json`."""
        try:
            import json

            values = json.loads(text)
        except ValueError as error:
            raise InputError(f"image metadata is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise InputError("image metadata is not a JSON object")
        return cls.from_dict(values)


def _panel_from(values: Mapping[str, Any]) -> PanelMetadata:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return PanelMetadata(**fields)


def _own_corner(panel: PlacedPanel) -> Vector:
    """Sample to the outer corner of a panel's own first pixel, mm."""
    along = panel.first[0] * panel.pixel[0] * panel.fdet + panel.first[1] * panel.pixel[1] * panel.sdet
    return _vector((panel.pix0 + along) * 1e3)


def _depth_um(panel: PlacedPanel) -> float:
    return 1e6 / panel.mu if panel.thickness > 0.0 and panel.mu > 0.0 else 0.0


def _panels_metadata(scene: Scene) -> tuple[PanelMetadata, ...]:
    names = scene.placement.labels.panels
    if len(names) != len(scene.panels):
        names = ("",) * len(scene.panels)
    return tuple(_panel_metadata(panel, name) for panel, name in zip(scene.panels, names, strict=True))


def _panel_metadata(panel: PlacedPanel, name: str) -> PanelMetadata:
    return PanelMetadata(
        fpixels=int(panel.fpixels),
        spixels=int(panel.spixels),
        pixel_mm=(panel.pixel[0] * 1e3, panel.pixel[1] * 1e3),
        fast=_vector(panel.fdet),
        slow=_vector(panel.sdet),
        origin_mm=_own_corner(panel),
        sensor_um=panel.thickness * 1e6,
        attenuation_um=_depth_um(panel),
        name=name,
    )


def _vector(values: Any) -> Vector:
    x, y, z = (float(v) for v in np.asarray(values, dtype=np.float64))
    return x, y, z


def mcstas_frame(metadata: ImageMetadata) -> NDArray[np.float64]:
    """Rotation (3, 3) from the laboratory frame to the McStas frame of NeXus.

    z along the beam; x against the spindle, made perpendicular to the beam (against the electric field where
    the spindle lies along the beam), so that the imgCIF frame, which is McStas' turned by half a turn about
    y, has the spindle along +x; y = z cross x.
    """
    z = np.asarray(metadata.beam, dtype=np.float64)
    z = z / np.linalg.norm(z)
    for axis in (metadata.spindle, metadata.polar, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        x = -np.asarray(axis, dtype=np.float64)
        x = x - (x @ z) * z
        length = float(np.linalg.norm(x))
        if length > 1e-3:
            break
    x /= length
    return np.array([x, np.cross(z, x), z])


def imgcif_frame(metadata: ImageMetadata) -> NDArray[np.float64]:
    """Rotation (3, 3) from the laboratory frame to that of imgCIF, which DIALS uses.

    x along the spindle, z towards the source: McStas' frame turned by half a turn about y.
    """
    return np.diag([-1.0, 1.0, -1.0]) @ mcstas_frame(metadata)
