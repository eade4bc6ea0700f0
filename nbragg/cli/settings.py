"""From options in their order to settings: headers of images first, and which of two options counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..base.warn import warn
from ..model.physics import Physics, physics_of
from .geometry_input import merge_geometry
from .named_detector import merge_named
from .options import OPTIONS
from .words import Given

if TYPE_CHECKING:
    from .header_input import ImageInput

__all__ = ["Settings", "apply", "collect", "drop_missing"]

Settings = dict[str, Any]


def _last(given: Sequence[Given], name: str) -> Any:
    """Value of the last use of an option of one word, or None."""
    return next((item.values[0] for item in reversed(given) if item.option.name == name), None)


def _padded_cell(values: tuple[float, ...]) -> tuple[float, ...]:
    """Missing lengths copy the first, missing angles are 90 (canonical 2)."""
    lengths = (values[:3] + (values[0],) * 2)[:3]
    return lengths + (values[3:] + (90.0,) * 3)[:3]


def apply(settings: Settings, item: Given) -> None:
    option, values = item.option, item.values
    value: Any = values[0] if len(values) == 1 else values
    if option.name == "-cell":
        value = _padded_cell(values)
    elif option.name == "-energy":
        from ..model.beam import Beam

        settings["beam.wavelength_A"] = Beam.from_energy(value).wavelength_A
        return
    for target in option.sets:
        settings[target] = (*settings.get(target, ()), value) if option.repeats else value
    settings.update(option.also)


def collect(given: Sequence[Given]) -> Settings:
    """Settings of all options in their order, over those of the ``-mask`` and then the ``-img`` header.

    Keys are those of the table's ``sets``; ``input.images`` holds what those files gave, by option.
    """
    settings: Settings = {}
    images: dict[str, ImageInput] = {}
    from_headers: Settings = {}
    physics = physics_of(_last(given, "-physics") or "nanobragg")
    for option in ("-mask", "-img"):
        path = _last(given, option)
        if path is not None:
            from .header_input import read_image_input

            images[option] = read_image_input(option, path, _convention(given), physics)
            from_headers.update(images[option].settings)
    settings.update(from_headers)
    warned = set()
    for item in given:
        idle = not item.option.effect or (item.option.exact and physics.name != "exact")
        if idle and item.option.name not in warned:
            warned.add(item.option.name)
            instead = ": give -background, or -physics exact" if item.option.exact else ""
            warn(f"{item.spelled} has no effect on the image{instead}")
        if not (idle and item.option.exact):
            apply(settings, item)
    settings["input.images"] = images
    explicit = {target for item in given for target in item.option.sets}
    settings["detector.header_fields"] = tuple(
        target.removeprefix("detector.")
        for target in from_headers
        if target.startswith("detector.") and target not in explicit
    )
    drop_missing(settings)
    _reconcile(settings, given, from_headers, physics)
    merge_geometry(settings, given)
    merge_named(settings, given)
    if "input.spectrum" in settings and not {"-lambda", "-energy"} & {item.option.name for item in given}:
        settings.pop("beam.wavelength_A", None)  # of a header, which a spectrum overrules
    return settings


def _convention(given: Sequence[Given]) -> str:
    """The convention in force: that of the last option that selects one."""
    chosen = [dict(item.option.also).get("detector.convention") for item in given]
    return next((name for name in reversed(chosen) if name), "mosflm")


#: counts that are not given when they are not positive (canonical 2, 4, 5.6, 6)
_COUNTS = (
    "sampling.oversample",
    "beam.dispersion_steps",
    "beam.hdivsteps",
    "beam.vdivsteps",
    "crystal.mosaic_domains",
    "crystal.phisteps",
    "detector.thicksteps",
)
#: steps and ranges that are not given when they are negative (canonical 4, 6)
_STEPS_AND_RANGES = (
    "beam.hdivstep_mrad",
    "beam.vdivstep_mrad",
    "crystal.phistep_deg",
    "beam.hdivrange_mrad",
    "beam.vdivrange_mrad",
    "beam.dispersion_pct",
    "crystal.osc_deg",
)


def drop_missing(settings: Settings) -> None:
    """Take out the values that stand for nothing given; say so of negative ones."""
    if settings.get("crystal.phisteps") == 0:
        settings["crystal.phisteps"] = 1
    for target in (*_COUNTS, *_STEPS_AND_RANGES):
        value = settings.get(target, 1)
        if isinstance(value, str) or value > 0 or (value == 0 and target in _STEPS_AND_RANGES):
            continue
        if target == "beam.dispersion_pct" and "beam.dispersion_steps" in settings:
            continue  # a missing range with a count would be 100 percent: the record refuses it
        del settings[target]
        if value < 0 and target != "sampling.oversample":
            option = next(option for option in OPTIONS if target in option.sets)
            warn(f"{option.name} {value:g} counts as not given")


def _reconcile(settings: Settings, given: Sequence[Given], from_headers: Settings, physics: Physics) -> None:
    """Rules between options: which of two that exclude each other counts."""
    names = [item.option.name for item in given]
    # a close distance outranks -distance (canonical 3.3), also one that comes from a header
    overruled = "-distance" in names and "-close_distance" not in names
    if overruled and "detector.close_distance_mm" in from_headers:
        if physics.honours_placing:
            del settings["detector.close_distance_mm"]
        else:
            del settings["detector.distance_mm"]
            warn("-distance has no effect: CLOSE_DISTANCE of the header outranks it; give -close_distance")
    if "detector.fpixels" in from_headers and any(name.startswith("-detsize") for name in names):
        warn("-detsize has no effect: the header gives the pixel counts; give -detpixels and -pixel")
    _settle_pivot(settings, given, physics)


def _settle_pivot(settings: Settings, given: Sequence[Given], physics: Physics) -> None:
    """Convention and pivot (canonical 3.4).

    Under a named convention only an explicit ``-pivot`` is passed on; for the custom one, what the order of
    the line left.  Vectors given before a named convention are lost to it.
    """
    in_order = settings.pop("detector.pivot_in_order", None)
    if settings.get("detector.convention") == "custom":
        for item in given:
            if item.option.name == "-pivot":
                in_order = item.values[0]
            in_order = dict(item.option.also).get("detector.pivot_in_order", in_order)
        settings["detector.pivot"] = in_order or "beam"
        return
    vectors = {
        item.option.sets[0]: item.spelled
        for item in given
        if ("detector.convention", "custom") in item.option.also
        and not (physics.honours_placing and item.option.name == "-pix0_vector")
    }
    if vectors:
        spelled = ", ".join(dict.fromkeys(vectors.values()))
        warn(f"{spelled} has no effect: -{settings['detector.convention']}, given later, sets all vectors")
        for target in vectors:
            settings.pop(target, None)
