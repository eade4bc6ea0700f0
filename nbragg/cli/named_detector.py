"""The detector of ``-detector NAME``: what the library says, under what other options say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError
from .surroundings_input import layer_words, material_text, sensor_fields
from .words import Given, number_text

if TYPE_CHECKING:
    from ..model.detector import Detector
    from ..model.detector_library import NamedDetector

__all__ = ["drop_mask_headers", "merge_named", "named_base", "named_words"]

Settings = dict[str, Any]

#: settings that the pixels of a detector of the library leave no room for
_PIXELS = ("pixel_mm", "fpixels", "spixels", "detsize_f_mm", "detsize_s_mm")

#: fields of every panel, and their options
_PANEL_FIELDS = {
    "thickness_um": "-detector_thick",
    "attenuation_um": "-detector_abs",
    "thicksteps": "-detector_thicksteps",
}

#: settings beside panels that stand where the library has them
_BESIDE_PANELS = ("distance_mm", "material", "front", *_PANEL_FIELDS)

#: fields that no option takes back to None
_NEVER_NONE = ("Xbeam_mm", "Ybeam_mm", "material")


def drop_mask_headers(settings: Settings, given: Sequence[Given]) -> None:
    """Take back what headers of images said: of a mask only its pixels count."""
    explicit = {target for item in given for target in item.option.sets}
    explicit |= {"beam.wavelength_A"} if "beam.energy_eV" in explicit else set()
    for image in settings["input.images"].values():
        for target in image.settings.keys() - explicit:
            settings.pop(target, None)


def merge_named(settings: Settings, given: Sequence[Given]) -> None:
    """Put the detector of the library under what the options say; nothing happens without one.

    Raises
    ------
    InputError
        For a name that is not in the library, ``-img`` beside it, other pixels, and of several panels for
        what places one.
    """
    name = settings.get("input.detector")
    if name is None:
        return
    from ..model.detector_library import library_entry

    entry = library_entry(name)
    if "-img" in settings["input.images"]:
        raise InputError("-img and -detector both say which pixels there are: give one of them")
    drop_mask_headers(settings, given)
    if entry.grid is None:
        _merge_panels(settings, given, entry)
    else:
        _merge_grid(settings, given, entry)


def _refuse(given: Sequence[Given], entry: NamedDetector, kept: Any, why: str) -> None:
    """InputError naming the options of the detector that are not kept."""
    refused = []
    for item in given:
        sets = item.option.sets or tuple(target for target, _ in item.option.also)
        named = [target[9:] for target in sets if target.startswith("detector.")]
        named = [target for target in named if target not in ("convention", "pivot_in_order")]
        if any(not kept(target) for target in named):
            refused.append(item.spelled)
    if refused:
        spelled = ", ".join(dict.fromkeys(refused))
        raise InputError(f"{spelled}: {why}; leave out {spelled}, or -detector {entry.name}")


def _merge_grid(settings: Settings, given: Sequence[Given], entry: NamedDetector) -> None:
    """One panel: all that places it is taken; the beam meets its middle where nothing says another place."""
    from ..model.detector_library import middle_fields

    assert entry.grid is not None
    _refuse(given, entry, lambda target: target not in _PIXELS, f"{entry.name} has pixels of its own")
    fields = {
        "pixel_mm": entry.pixel_mm,
        "fpixels": entry.grid.pixels[0],
        "spixels": entry.grid.pixels[1],
        "mask": entry.grid.mask,
        "model": entry.name,
        **entry.sensor_fields(),
    }
    convention = settings.get("detector.convention", "mosflm")
    said = [target[9:] for target in settings if target.startswith("detector.")]
    middle = middle_fields(entry.grid.pixels, entry.pixel_mm, convention, said)
    for target, value in {**fields, **middle}.items():
        settings.setdefault(f"detector.{target}", value)
    settings["detector.header_fields"] = (*settings.get("detector.header_fields", ()), *middle)


def _merge_panels(settings: Settings, given: Sequence[Given], entry: NamedDetector) -> None:
    """Several panels: the distance moves them, the convention turns them, a sensor is that of each."""
    from ..model.detector import Detector

    why = (
        f"{entry.name} has {entry.panels} panels, which stand around the beam: of what places a detector "
        "-distance and the conventions (-xds ...) are taken"
    )
    _refuse(given, entry, lambda target: target in _BESIDE_PANELS, why)
    for option, key in (("-mask", "input.mask"), ("-roi", "sampling.roi")):
        if settings.get(key) is not None:
            raise InputError(f"{option} is for one panel; {entry.name} has {entry.panels}")
    convention = settings.get("detector.convention", "mosflm")
    said = {name: settings[f"detector.{name}"] for name in _BESIDE_PANELS if f"detector.{name}" in settings}
    detector = Detector.named(entry.name, convention=convention, **said | sensor_fields(settings))
    for key in [key for key in settings if key.startswith("detector.")]:
        del settings[key]
    for name in ("panels", "groups", "model", "convention"):
        settings[f"detector.{name}"] = getattr(detector, name)


def named_base(detector: Detector) -> Detector | None:
    """What ``-detector`` and at most the other options of a detector make into this one; None: they do not.

    Parameters
    ----------
    detector : Detector
        With the name of a detector of the library as its model.

    Returns
    -------
    Detector or None
        The library's in the same convention; of several panels the detector itself, at its distance.
    """
    import numpy as np

    from ..model.conventions import CONVENTIONS
    from ..model.detector import Detector
    from ..model.detector_library import LIBRARY

    entry = LIBRARY.get(detector.model)
    if entry is None or bool(detector.panels) == (entry.grid is not None) or any(detector.shift_mm):
        return None
    if detector.panels:
        first = detector.panels[0]
        distance = float(np.dot(first.origin_mm, CONVENTIONS[detector.convention].beam))
        said = {name: getattr(first, name) for name in ("material", "front", *_PANEL_FIELDS)}
        unsaid = first.material is None and bool(entry.sensors)
        if not distance > 0 or detector.convention == "custom" or unsaid:
            return None
        same = Detector.named(entry.name, distance, convention=detector.convention, **said)
        return same if same == detector else None
    base = Detector.named(entry.name, convention=detector.convention)
    mine, gaps = detector.mask, base.mask
    opened = gaps is not None and (mine is None or mine.shape != gaps.shape or bool((mine & ~gaps & 1).any()))
    moved = any(getattr(base, name) is not None and getattr(detector, name) is None for name in _NEVER_NONE)
    other = any(getattr(base, name) != getattr(detector, name) for name in _PIXELS)
    return None if opened or moved or other else base


def named_words(detector: Detector, base: Detector) -> Iterator[str]:
    """Options beside ``-detector`` for panels that `named_base` found to be those of the library."""
    import numpy as np

    from ..model.conventions import CONVENTIONS
    from ..model.detector import Detector

    first, plain = detector.panels[0], Detector.named(base.model).panels[0]
    distance = float(np.dot(first.origin_mm, CONVENTIONS[detector.convention].beam))
    yield from ("-distance", number_text(distance))
    for name, option in _PANEL_FIELDS.items():
        if getattr(first, name) != getattr(plain, name):
            yield from (option, number_text(getattr(first, name)))
    if first.material is not None and first.material != plain.material:
        yield from ("-detector_material", material_text(first.material))
    yield from layer_words("-detector_front", first.front)
