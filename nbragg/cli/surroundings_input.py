"""Options of what stands in the way of the light: from their words to records, and back."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..base.errors import InputError
from ..base.records import Record
from .specs import Kind, read_spec, spec_text
from .words import number, number_text

if TYPE_CHECKING:
    from ..model.materials import Layer, Material
    from ..model.surroundings import Surroundings

__all__ = ["layer_words", "material_text", "sensor_fields", "surroundings_of", "surroundings_words"]

Settings = dict[str, Any]
R = TypeVar("R", bound=Record)


class _Form(NamedTuple):
    """How an option spells the fields of a record."""

    option: str
    fields: dict[str, tuple[str, Kind]]  #: key of the option: field, and kind of value
    material: bool = False  #: begins with one


_PLANE: dict[str, tuple[str, Kind]] = {
    "distance": ("distance_mm", "float"),
    "diameter": ("diameter_mm", "float"),
    "centre": ("centre_mm", "pair"),
}
_PASSES: dict[str, tuple[str, Kind]] = {"transmission": ("transmission", "float")}
_ARM: dict[str, tuple[str, Kind]] = {
    "arm": ("arm_width_mm", "float"),
    "angle": ("arm_angle_deg", "float"),
}


@functools.cache
def _lists() -> dict[str, tuple[type[Record], _Form]]:
    """Fields of Surroundings that hold several records: their kind, and how an option spells each."""
    from ..model.surroundings import Aperture, Beamstop, Shadow, Window

    return {
        "windows": (
            Window,
            _Form(
                "-window",
                {
                    "thick": ("thickness_um", "float"),
                    "normal": ("normal", "text"),
                    "distance": ("distance_mm", "float"),
                },
                material=True,
            ),
        ),
        "beamstops": (Beamstop, _Form("-beamstop", {**_PLANE, **_ARM, **_PASSES})),
        "apertures": (Aperture, _Form("-aperture", {**_PLANE, **_PASSES})),
        "shadows": (
            Shadow,
            _Form(
                "-shadow",
                {"distance": ("distance_mm", "float"), "polygon": ("polygon_mm", "pairs"), **_PASSES},
            ),
        ),
    }


_SAMPLE = _Form(
    "-sample_absorption",
    {
        "radius": ("radius_mm", "float"),
        "thick": ("thickness_mm", "float"),
        "normal": ("normal", "text"),
        "at": ("crystal_at_mm", "triple"),
    },
    material=True,
)
_LAYER_KEYS: dict[str, Kind] = {"thick": "float"}


# ---- from words --------------------------------------------------------------------------------------------


def surroundings_of(settings: Settings) -> Surroundings | None:
    """What the options say is in the way; None where they say nothing.

    Raises
    ------
    InputError
        Naming option and word.
    """
    start = "surroundings."
    given = {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}
    if not given:
        return None
    from ..model.surroundings import SampleAbsorption, Surroundings

    for name, (kind, form) in _lists().items():
        if name in given:
            given[name] = tuple(_record(kind, form, text) for text in given[name])
    if "sample_absorption" in given:
        given["sample_absorption"] = _record(SampleAbsorption, _SAMPLE, given["sample_absorption"])
    if "gas" in given:
        given["gas"] = material_of("-gas_path", given["gas"])
    if "upstream" in given:
        given["upstream"] = layers_of("-upstream", given["upstream"])
    return Surroundings(**given)


def sensor_fields(settings: Settings) -> Settings:
    """Fields of a sensor that options say in words: material and front.

    Raises
    ------
    InputError
        Naming option and word.
    """
    fields: Settings = {}
    if "detector.material" in settings:
        fields["material"] = material_of("-detector_material", settings["detector.material"])
    if "detector.front" in settings:
        fields["front"] = layers_of("-detector_front", settings["detector.front"])
    return fields


def layers_of(option: str, texts: Sequence[str]) -> tuple[Layer, ...]:
    """Materials and micrometres, as of ``Al,thick=10``."""
    return tuple(_layer(option, text) for text in texts)


def _layer(option: str, text: str) -> Layer:
    head, values = read_spec(option, text, _LAYER_KEYS)
    if not head or "thick" not in values:
        raise InputError(f"{option} {text}: a material and its thickness were expected, as Al,thick=10")
    return material_of(f"{option} {text}", head), values["thick"]


def material_of(option: str, text: str) -> str | Material:
    """A material by its name, or any other as ``FORMULA:DENSITY``."""
    from ..model.materials import Material, as_material

    formula, colon, density = text.partition(":")
    if colon:
        return Material(formula, float(number(option, density, "float")))
    as_material(option, text)
    return text


def _record(kind: type[R], form: _Form, text: str) -> R:
    head, values = read_spec(form.option, text, {key: entry[1] for key, entry in form.fields.items()})
    name = f"{form.option} {text}"
    fields = {form.fields[key][0]: value for key, value in values.items()}
    if "normal" in fields:
        fields["normal"] = _normal(name, fields["normal"])
    if form.material:
        if not head:
            raise InputError(f"{name}: it must begin with a material")
        fields["material"] = material_of(name, head)
    elif head:
        raise InputError(f'{name}: "{head}" must be key=value, with a key of {", ".join(form.fields)}')
    try:
        return kind(**fields)
    except InputError as error:
        raise InputError(f"{name}: {_with_keys(str(error), form)}") from None


def _normal(name: str, word: str) -> Any:
    """A word, or three numbers."""
    parts = word.split(":")
    return word if len(parts) != 3 else tuple(float(number(f"{name}: normal", x, "float")) for x in parts)


def _with_keys(message: str, form: _Form) -> str:
    """A record's message with the keys of the option for the names of its fields."""
    for key, (field, _) in form.fields.items():
        message = message.replace(field, key)
    return message


# ---- and back ----------------------------------------------------------------------------------------------


def surroundings_words(around: Surroundings) -> Iterator[str]:
    """Options that say all of it."""
    if around.gas is not None:
        yield from ("-gas_path", material_text(around.gas))
    if around.vacuum_mm:
        yield from ("-vacuum_path", number_text(around.vacuum_mm))
    for name, (_, form) in _lists().items():
        for record in getattr(around, name):
            yield from (form.option, _spec(record, form))
    if around.sample_absorption is not None:
        yield from (_SAMPLE.option, _spec(around.sample_absorption, _SAMPLE))
    yield from layer_words("-upstream", around.upstream)
    if around.direct_beam:
        yield "-direct_beam"


def layer_words(option: str, layers: Sequence[Layer]) -> Iterator[str]:
    """An option for each layer."""
    for material, um in layers:
        yield from (option, spec_text(material_text(material), {"thick": um}))


def material_text(material: str | Material) -> str:
    """What `material_of` reads as this material."""
    if isinstance(material, str):
        return material
    return f"{material.formula}:{number_text(material.density)}"


def _spec(record: Record, form: _Form) -> str:
    fields = record.__dataclass_fields__
    values: Mapping[str, Any] = {
        key: getattr(record, name)
        for key, (name, kind) in form.fields.items()
        if kind == "pairs" or getattr(record, name) != fields[name].default
    }
    plain = {
        key: tuple(map(tuple, value.tolist())) if hasattr(value, "tolist") else value
        for key, value in values.items()
    }
    return spec_text(material_text(record.material) if form.material else "", plain)  # type: ignore[attr-defined]
