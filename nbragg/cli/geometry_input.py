"""The files of ``-geometry`` and ``-expt``: panels, beam, spindle, and for the second crystal and scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import InputError
from ..base.warn import warn
from .named_detector import drop_mask_headers
from .options import GROUPS
from .surroundings_input import sensor_fields
from .words import Given

if TYPE_CHECKING:
    from ..io.geometry.experiment import Experiment
    from ..io.geometry.record import Geometry

__all__ = ["GeometryInput", "check_spindle", "merge_geometry", "scan_changes"]

Settings = dict[str, Any]

#: options of the detector's group that mean something beside panels by their places
_SENSOR = {
    "detector.attenuation_um": "attenuation_um",
    "detector.thickness_um": "thickness_um",
    "detector.thicksteps": "thicksteps",
    "detector.material": "material",
    "detector.front": "front",
}
#: of these, what the readers of geometries take
_READ = ("attenuation_um", "thickness_um", "material")
_KEPT = ("input.mask", "input.geometry", "input.experiments", "beam.", "crystal.")


class GeometryInput(NamedTuple):
    """What one of the files says."""

    option: str
    path: str
    geometry: Geometry
    experiment: Experiment | None = None


def _refused(given: Sequence[Given]) -> list[str]:
    """Spellings of options that place a detector, which the file does."""
    groups = {key for key, _ in GROUPS if key in ("detector", "geometry")}
    refused = []
    for item in given:
        sets = item.option.sets or tuple(name for name, _ in item.option.also)
        kept = all(name in _SENSOR or name.startswith(_KEPT) for name in sets)
        if item.option.group in groups and not kept:
            refused.append(item.spelled)
    return list(dict.fromkeys(refused))


def merge_geometry(settings: Settings, given: Sequence[Given]) -> None:
    """Put what the file says under what the options say; nothing happens without one.

    Raises
    ------
    InputError
        For both options, for options that place a detector beside one, for a cell beside ``-expt``, and for
        what the file does not say.
    FileError
        As the readers.
    """
    named = [(option, settings.get(key)) for option, key in _FILES if settings.get(key) is not None]
    if not named:
        return
    if len(named) > 1:
        raise InputError("-geometry and -expt both place the detector: give one of them")
    ((option, path),) = named
    drop_mask_headers(settings, given)
    read = _read(option, str(path), settings)
    refused = _refused(given)
    if refused:
        raise InputError(
            f"{', '.join(refused)}: {option} {path} says where the detector is and which pixels it "
            f"has; leave out {', '.join(refused)}, or {option}"
        )
    settings["input.read_geometry"] = read
    _merge_beam(settings, read)
    _merge_detector(settings, read)
    if read.experiment is not None:
        _merge_crystal(settings, read, given)
    if read.geometry.spindle_axis is not None:
        settings.setdefault("crystal.spindle_axis", read.geometry.spindle_axis)


_FILES = (("-geometry", "input.geometry"), ("-expt", "input.experiments"))


def _read(option: str, path: str, settings: Settings) -> GeometryInput:
    from ..io.files.sniff import content_kind
    from ..io.geometry.formats import read_geometry
    from ..simulation.experiments import read_experiments

    said = {name: settings[key] for key, name in _SENSOR.items() if key in settings}
    values = {name: value for name, value in (said | sensor_fields(settings)).items() if name in _READ}
    if option == "-expt":
        experiments = read_experiments(path, values=values)
        if len(experiments) > 1:
            warn(
                f"{path} holds {len(experiments)} experiments: the first is taken; "
                "nbragg.read_experiments gives the others"
            )
        return GeometryInput(option, path, experiments[0].geometry, experiments[0])
    if "beam.wavelength_A" in settings and Path(path).is_file() and content_kind(Path(path)) == "geom":
        values["wavelength"] = settings["beam.wavelength_A"]
    return GeometryInput(option, path, read_geometry(path, values=values))


def _merge_beam(settings: Settings, read: GeometryInput) -> None:
    """The file's beam where options say nothing; asks for what neither says."""
    explicit = {key[5:]: value for key, value in settings.items() if key.startswith("beam.")}
    for name, value in read.geometry.beam_fields(**explicit).items():
        if value is not None:
            settings[f"beam.{name}"] = value


def _merge_detector(settings: Settings, read: GeometryInput) -> None:
    """Panels in place of all that places one; a mask and a region go to the only panel."""
    panels = read.geometry.detector.panels
    sensor = {name: settings[key] for key, name in _SENSOR.items() if key in settings}
    sensor = {name: value for name, value in (sensor | sensor_fields(settings)).items() if name not in _READ}
    if sensor:
        panels = tuple(panel.replace(**sensor) for panel in panels)
    mask, roi = settings["input.images"].get("-mask"), settings.get("sampling.roi")
    for what, value in (("-mask", mask), ("-roi", roi)):
        if value is not None and len(panels) > 1:
            raise InputError(f"{what} is for one panel; {read.path} has {len(panels)}")
    if mask is not None:
        used = mask.used if panels[0].mask is None else mask.used & (panels[0].mask != 0)
        panels = (panels[0].replace(mask=used),)
    if roi is not None:
        panels = (panels[0].replace(roi=settings.pop("sampling.roi")),)
    for key in [key for key in settings if key.startswith("detector.")]:
        del settings[key]
    groups = read.geometry.groups
    settings |= {"detector.panels": panels, "detector.groups": groups, "detector.convention": "custom"}


def _merge_crystal(settings: Settings, read: GeometryInput, given: Sequence[Given]) -> None:
    """The crystal as it stands in the first image, and the rotation where no option says it."""
    assert read.experiment is not None
    for item in given:
        if item.option.name in ("-cell", "-mat"):
            raise InputError(
                f"{item.spelled}: -expt {read.path} says cell and orientation; leave out one of them"
            )
    settings["crystal.a_matrix"] = read.experiment.matrix(0)
    if read.experiment.scan is not None:
        start, width = read.experiment.scan.image(0)
        settings.setdefault("crystal.phi_deg", start)
        if "crystal.phistep_deg" not in settings:
            settings.setdefault("crystal.osc_deg", width)


def check_spindle(settings: Settings, crystal: Any) -> None:
    """Refuse a rotation about an axis that neither the file nor an option says."""
    read: GeometryInput | None = settings.get("input.read_geometry")
    if read is None or crystal.spindle_axis is not None:
        return
    from ..io.geometry.record import turns

    if turns(crystal):
        raise InputError(
            f"{read.path} does not say about which axis the crystal turns: give -spindle_axis X Y Z in its "
            f"frame ({read.geometry.frame})"
        )


def scan_changes(settings: Settings, given: Sequence[Given], sample: Any, count: int) -> Any:
    """What changes from image to image of the file's scan; None where options say a rotation of their own.

    Raises
    ------
    InputError
        For a rotation of its own of a crystal that varies along the scan, and more images than the scan has.
    """
    read: GeometryInput | None = settings.get("input.read_geometry")
    if read is None or read.experiment is None or read.experiment.scan is None:
        return None
    own = [item.spelled for item in given if item.option.name in ("-phi", "-osc", "-phistep")]
    if own:
        if read.experiment.varying is not None:
            raise InputError(
                f"{', '.join(own)}: the crystal of {read.path} varies along its scan: leave out the "
                "rotation, or -frames"
            )
        return None
    from ..io.geometry.experiment import ScanChanges

    return ScanChanges((read.experiment,), sample, count)
