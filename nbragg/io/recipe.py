"""A whole set-up as JSON or YAML, so that an image's recipe can be stored next to it.

A recipe is a mapping::

    {"nanobragg_recipe": 1, "physics": "exact", "crystal": {...}, "beam": {...}, "detector": {...},
    "sampling": {...}}

A sample of several crystals is ``"sample": {"crystals": [{...}, ...], "weights": [...]}`` instead of
"crystal"; "backgrounds" is a list of materials and curves; a detector's response is ``"response": {...}``.
Without "physics" it is "exact".  Fields that have their default value are left out.  Arrays are written in
place up to :data:`INLINE_LIMIT` numbers, masks of few rectangles by these, ``{"masked": [[fmin, fmax, smin,
smax], ...], "shape": [slow, fast]}``; larger arrays go to a ``.npz`` file beside the recipe and are referred
to by name and digest, which is checked on loading.  Structure factors may also be given by hand as a file to
read, ``{"file": "model.pdb", "options": {"d_min_A": 1.8}}``, detectors and responses by the names of their
libraries: ``{"named": "eiger2_4m", "distance_mm": 100}``, ``{"preset": "eiger2"}``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..base.errors import FileError, InputError
from ..base.names import suggestion
from ..base.optional import require
from ..model.background import SHIPPED, Background, RadialCurve
from ..model.beam import Beam, SourceList
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.materials import Material
from ..model.panel import Panel
from ..model.response import DetectorResponse, GainStage
from ..model.sample import Sample
from ..model.sampling import Sampling
from ..model.setup import RECORDS as _RECORDS
from ..model.setup import Setup
from ..model.structure_factors import StructureFactors
from ..model.surroundings import Aperture, Beamstop, SampleAbsorption, Shadow, Surroundings, Window
from .files.atomic import check_writable, write_files
from .files.kinds import resolve
from .files.rectangles import mask_of, masked_rectangles
from .files.sniff import check_file

if TYPE_CHECKING:
    from ..model.spectrum import Spectrum

__all__ = ["INLINE_LIMIT", "Setup", "dump", "from_dict", "load", "read_values", "record_from", "to_dict"]

#: version of the recipe's form
VERSION = 1

#: arrays of more numbers than this are kept in a file beside the recipe
INLINE_LIMIT = 64

#: masks of no more rectangles than this are written by them
_MOST_RECTANGLES = 256

_MAX_BYTES = 256 * 2**20
#: a list without strings, lists or mappings in indented JSON
_NUMBER_LIST = re.compile(r"\[\n([-+.\deE,\snulatrfs]*)\]")
_EXPONENTIAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_YAML_SUFFIXES = (".yaml", ".yml")

_NESTED: dict[str, type[Any] | str] = {
    "structure_factors": StructureFactors,
    "sources": SourceList,
    "spectrum": "nbragg.model.spectrum:Spectrum",  # imported where there is one
    "material": Material,
    "gas": Material,
    "sample_absorption": SampleAbsorption,
}
#: fields that hold several records
_LISTED: dict[str, type[Any]] = {
    "crystals": Crystal,
    "panels": Panel,
    "gain_stages": GainStage,
    "windows": Window,
    "beamstops": Beamstop,
    "apertures": Aperture,
    "shadows": Shadow,
}
#: parts of a set-up that it may be without
_OPTIONAL: dict[str, type[Any]] = {"response": DetectorResponse, "surroundings": Surroundings}
#: fields that hold arrays, and the dtype they are stored in
_ARRAYS = {
    "a_matrix": np.float64,
    "orientation": np.float64,
    "mask": np.uint8,
    "values": np.float64,
    "tables": np.float64,
    "positions": np.float64,
    "weights": np.float64,
    "energies_eV": np.float64,
    "wavelengths_A": np.float64,
    "dead_map": np.bool_,
    "table": np.float64,
    "s": np.float64,
    "photons_per_sr": np.float64,
    "polygon_mm": np.float64,
    "mosaic_set": np.float64,
    "mosaic_axes": np.float64,
}
#: those that may hold a word instead
_OR_WORD = ("mosaic_set", "mosaic_axes")


Storable: TypeAlias = (
    "Setup | Sample | Crystal | Beam | Detector | Panel | Sampling | SourceList | Spectrum | StructureFactors"
    "| DetectorResponse | GainStage | Background | RadialCurve | Surroundings"
)

_KINDS: dict[str, type[Any] | str] = {
    "setup": Setup,
    **_RECORDS,
    **_OPTIONAL,
    "sample": Sample,
    "panel": Panel,
    "source_list": SourceList,
    "structure_factors": StructureFactors,
    "gain_stage": GainStage,
    "background": Background,
    "radial_curve": RadialCurve,
    "spectrum": _NESTED["spectrum"],
    **_OPTIONAL,
}


# --- to plain values ---


class _ArrayStore:
    """Collects arrays too large to be written in place; None: digest only."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.arrays: dict[str, NDArray[Any]] = {}

    def put(self, array: NDArray[Any]) -> dict[str, Any]:
        digest = _digest(array)
        self.arrays[digest] = array
        stored: dict[str, Any] = {"shape": list(array.shape), "dtype": array.dtype.name, "digest": digest}
        return {"array": {"file": self.file, **stored} if self.file else stored}


def _digest(array: NDArray[Any]) -> str:
    state = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def to_dict(obj: Storable) -> dict[str, Any]:
    """Plain numbers, strings, lists and mappings.

    Arrays of more than :data:`INLINE_LIMIT` numbers are represented by shape and digest only: enough to tell
    set-ups apart and to record in an image, not to rebuild them; :func:`dump` keeps them in a file.
    """
    return _encode(obj, _ArrayStore(None))


def _encode(obj: Storable, store: _ArrayStore) -> dict[str, Any]:
    for name, kind in _KINDS.items():
        if isinstance(obj, kind) if isinstance(kind, type) else type(obj).__name__ == kind.rpartition(":")[2]:
            if isinstance(obj, Setup):
                parts: dict[str, Any] = {}
                if len(obj.sample) == 1 and obj.sample.weights == (1.0,):
                    parts["crystal"] = _fields(obj.crystal, store)
                else:
                    parts["sample"] = _fields(obj.sample, store)
                parts |= {key: _fields(getattr(obj, key), store) for key in _RECORDS if key != "crystal"}
                if obj.backgrounds:
                    parts["backgrounds"] = [_fields(one, store) for one in obj.backgrounds]
                given = {key: getattr(obj, key) for key in _OPTIONAL}
                parts |= {key: _fields(part, store) for key, part in given.items() if part is not None}
                return {"nanobragg_recipe": VERSION, "physics": obj.physics, **parts}
            fields = _fields(obj, store)
            # a response has a kind of its own
            alone = {name: fields} if name in _OPTIONAL else fields
            return {"nanobragg_recipe": VERSION, "kind": name, **alone}
    raise InputError(
        f"a {type(obj).__name__} was given; one of {', '.join(_late(k).__name__ for k in _KINDS.values())} "
        "was expected"
    )


def _late(kind: type[Any] | str) -> type[Any]:
    """A record, imported now where it is named by its place."""
    found: type[Any] = resolve(kind) if isinstance(kind, str) else kind
    return found


def _fields(record: Any, store: _ArrayStore) -> dict[str, Any]:
    result = {}
    for field in dataclasses.fields(record):
        if not field.compare:  # where it came from, not what it is
            continue
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            result[field.name] = _array_value(value, store)
        elif dataclasses.is_dataclass(value):
            result[field.name] = _fields(value, store)
        elif field.name in _LISTED:
            if value:
                result[field.name] = [_fields(item, store) for item in value]
        elif value != _default(field):
            result[field.name] = _plain(value)
    return result


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else ()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, Material):
        return {"formula": value.formula, "density": value.density}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _array_value(array: NDArray[Any], store: _ArrayStore) -> Any:
    if array.size <= INLINE_LIMIT:
        return array.tolist()
    first = array.flat[0]
    if bool((array == first).all()):
        return {"constant": first.item(), "shape": list(array.shape)}
    if array.dtype == np.uint8 and array.ndim == 2:  # a mask
        rectangles = masked_rectangles(array, _MOST_RECTANGLES)
        if rectangles is not None:
            return {"masked": [list(rectangle) for rectangle in rectangles], "shape": list(array.shape)}
    return store.put(array)


# --- from plain values ---


def from_dict(values: Mapping[str, Any], *, folder: str | os.PathLike[str] = ".") -> Any:
    """The inverse of :func:`to_dict`: a :class:`Setup`, or the single record that was stored.

    Parameters
    ----------
    values : mapping
    folder : path-like
        Where file names in the recipe are relative to.

    Raises
    ------
    InputError
        An unknown or missing key (the nearest known one is named), a value that the record refuses, another
        version, an array that is not at hand.
    FileError
        A file of the recipe is missing or has changed.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"a recipe is a mapping, not a {type(values).__name__}")
    version = values.get("nanobragg_recipe")
    if version is None:
        raise InputError("this is not a recipe: it has no key 'nanobragg_recipe'")
    if version != VERSION:
        raise InputError(
            f"recipe version {version!r}; this release reads version {VERSION}: upgrade nanobragg"
        )
    base = Path(folder)
    rest = {key: value for key, value in values.items() if key != "nanobragg_recipe"}
    kind = rest.pop("kind", "setup")
    if kind not in _KINDS:
        raise InputError(f"kind: unknown kind {kind!r}{suggestion(str(kind), list(_KINDS))}")
    if kind in _OPTIONAL:
        _known(rest, [kind], "the recipe")
        rest = rest.get(kind, {})
    if kind != "setup":
        return _record(_late(_KINDS[kind]), rest, str(kind), base)
    _known(rest, ["sample", *_RECORDS, *_OPTIONAL, "backgrounds", "physics"], "the recipe")
    if ("crystal" in rest) == ("sample" in rest):
        found = "both keys" if "crystal" in rest else "neither of the keys"
        raise InputError(f"the recipe has {found} 'crystal' and 'sample'; one was expected")
    kinds: dict[str, type[Any]] = {**_RECORDS, **_OPTIONAL, "sample": Sample}
    parts = {key: _record(kinds[key], rest[key], key, base) for key in kinds if key in rest}
    sample = parts.pop("crystal", None) or parts.pop("sample")
    physics, backgrounds = rest.get("physics", "exact"), _backgrounds(rest.get("backgrounds", []), base)
    return Setup(sample, **parts, physics=physics, backgrounds=backgrounds)


def record_from(name: str, values: Any, folder: str | os.PathLike[str] = ".") -> Any:
    """A record from a mapping of its fields: "crystal", "response" ...; of "backgrounds" a tuple from a list.

    Raises
    ------
    InputError, FileError
        As :func:`from_dict`.
    """
    if name == "backgrounds":
        return _backgrounds(values, Path(folder))
    return _record(_late(_KINDS[name]), values, name, Path(folder))


def _backgrounds(values: Any, base: Path) -> tuple[Any, ...]:
    """Materials, and curves, which are told by what they hold."""
    if not isinstance(values, list):
        raise InputError(f"backgrounds: a list was expected, not {values!r}")
    kinds = [
        RadialCurve if isinstance(value, Mapping) and "photons_per_sr" in value else Background
        for value in values
    ]
    return tuple(
        _record(kind, value, f"backgrounds[{i}]", base)
        for i, (kind, value) in enumerate(zip(kinds, values, strict=True))
    )


def _record(kind: type[Any], values: Any, where: str, base: Path) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: a mapping was expected, not {values!r}")
    if kind is StructureFactors and "file" in values:
        return _factors_from_file(values, where, base)
    by_name = _BY_NAME.get(kind, "")
    if by_name in values:
        return _named(kind, by_name, values, where)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    _known(values, list(fields), where)
    arguments = {}
    for name, value in values.items():
        place = f"{where}.{name}"
        if name in _NESTED and isinstance(value, Mapping):
            arguments[name] = _record(_late(_NESTED[name]), value, place, base)
        elif name == "diffuse" and isinstance(value, Mapping):
            arguments[name] = _record(_diffuse_kind(value), value, place, base)
        elif name in _LISTED:
            arguments[name] = _records(_LISTED[name], value, place, base)
        elif kind is Background and name == "table" and isinstance(value, str):
            arguments[name] = value if value in SHIPPED else base / value
        elif name in _OR_WORD and isinstance(value, str):
            arguments[name] = value
        elif name in _ARRAYS and value is not None:
            arguments[name] = _array(value, _ARRAYS[name], place, base)
        else:
            arguments[name] = _from_plain(value, place)
    nothing = dataclasses.MISSING
    needed = [n for n, f in fields.items() if f.default is nothing and f.default_factory is nothing]
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise InputError(f"{where}: the key {missing[0]!r} is missing")
    try:
        return kind(**arguments)
    except FileError:
        raise
    except (InputError, TypeError) as error:
        raise InputError(f"{where}: {error}") from None


#: kinds that have a library -> the key that names one of it; other keys are fields that differ
_BY_NAME: dict[type[Any], str] = {Detector: "named", DetectorResponse: "preset"}


def _named(kind: type[Any], key: str, values: Mapping[str, Any], where: str) -> Any:
    fields = {name: _from_plain(value, where) for name, value in values.items() if name != key}
    _known(fields, [field.name for field in dataclasses.fields(kind)], where)
    try:
        return getattr(kind, key)(values[key], **fields)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _diffuse_kind(values: Mapping[str, Any]) -> type[Any]:
    """Of atoms that move, which is told by what it holds."""
    from ..model.diffuse import LiquidMotions, ThermalDiffuse

    return ThermalDiffuse if "temperature_K" in values else LiquidMotions


def _records(kind: type[Any], values: Any, where: str, base: Path) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise InputError(f"{where}: a list was expected, not {values!r}")
    return tuple(_record(kind, value, f"{where}[{i}]", base) for i, value in enumerate(values))


def _factors_from_file(values: Mapping[str, Any], where: str, base: Path) -> StructureFactors:
    _known(values, ["file", "default_F", "options"], where)
    options = values.get("options") or {}
    if not isinstance(values["file"], str) or not isinstance(options, Mapping):
        raise InputError(f"{where}: 'file' must be a name and 'options' a mapping")
    return StructureFactors.from_file(
        base / values["file"], default_F=values.get("default_F", 0.0), **options
    )


def _known(values: Mapping[str, Any], names: list[str], where: str) -> None:
    for key in values:
        if key not in names:
            raise InputError(f"{where}: unknown key {key!r}{suggestion(str(key), names)}")


def _from_plain(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return tuple(_from_plain(v, where) for v in value)
    if isinstance(value, Mapping) and "formula" in value:
        return _record(Material, value, where, Path())
    if value in ("inf", "+inf", ".inf"):
        return math.inf
    if value == "-inf":
        return -math.inf
    return value


def _array(value: Any, dtype: type[Any], where: str, base: Path) -> NDArray[Any]:
    if isinstance(value, Mapping):
        if set(value) == {"constant", "shape"}:
            return np.full(_shape(value["shape"], dtype, where), value["constant"], dtype=dtype)
        if set(value) == {"masked", "shape"}:
            return _rectangles(value, where)
        if set(value) == {"array"} and isinstance(value["array"], Mapping):
            return _stored_array(value["array"], where, base)
        raise InputError(
            f"{where}: an array is a list, {{constant, shape}}, {{masked, shape}} or {{array: {{file, shape, "
            "dtype, digest}}"
        )
    try:
        return np.array(value, dtype=dtype)
    except (TypeError, ValueError):
        raise InputError(f"{where}: a list of numbers was expected") from None


def _shape(shape: Any, dtype: type[Any], where: str) -> tuple[int, ...]:
    """The shape of an array that fits into memory."""
    from ..base import memory

    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise InputError(f"{where}: shape = {shape!r}; a list of positive whole numbers was expected")
    memory.require(math.prod(shape) * np.dtype(dtype).itemsize, where, "correct the shape")
    return tuple(shape)


def _rectangles(value: Mapping[str, Any], where: str) -> NDArray[Any]:
    """A mask by its rectangles."""
    shape = _shape(value["shape"], np.uint8, where)
    listed = value["masked"]
    whole = isinstance(listed, list) and all(
        isinstance(r, list) and len(r) == 4 and all(isinstance(n, int) and n >= 0 for n in r) for r in listed
    )
    if len(shape) != 2 or not whole:
        raise InputError(f"{where}: masked is a list of [fmin, fmax, smin, smax], shape [slow, fast]")
    return mask_of((tuple(r) for r in listed), (shape[0], shape[1]))


def _stored_array(entry: Mapping[str, Any], where: str, base: Path) -> NDArray[Any]:
    _known(entry, ["file", "shape", "dtype", "digest"], where)
    digest = entry.get("digest")
    if entry.get("file") is None:
        raise InputError(
            f"{where}: this recipe records the array by its digest only (shape {entry.get('shape')}); write "
            "recipes that can "
            "be loaded with dump()"
        )
    file = check_file(base / str(entry["file"]), what="array")
    try:
        with np.load(file, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[str(digest)]
    except KeyError:
        raise FileError(
            f"{where}: {file} has no array with the digest {digest}: it belongs to another recipe"
        ) from None
    except Exception as error:  # zipfile, zlib and NumPy each raise their own kinds on damaged files
        raise FileError(f"{where}: {file} cannot be read: {error}") from None
    if _digest(array) != digest:
        raise FileError(
            f"{where}: the array in {file} has changed (digest {_digest(array)}, recorded {digest})"
        )
    return array


# --- files ---


def dump(obj: Storable, path: str | os.PathLike[str]) -> None:
    """Write a set-up, or one of its records, as JSON or (suffix .yaml, .yml) YAML.

    Large arrays go to ``<name>.npz`` in the same folder.

    Raises
    ------
    InputError
        Not something that can be stored, or another suffix.
    FileError
        The files cannot be written.

    Examples
    --------
    >>> import nbragg, tempfile
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nbragg.dump(setup, f"{folder}/setup.json")
    ...     nbragg.load(f"{folder}/setup.json") == setup
    True
    """
    target = Path(path)
    yaml = _is_yaml(target)
    check_writable(target)
    arrays = target.with_name(target.name + ".npz")
    store = _ArrayStore(arrays.name)
    values = _encode(obj, store)
    if yaml:
        text = str(
            require("yaml", purpose="YAML recipes").safe_dump(
                values, sort_keys=False, default_flow_style=None
            )
        )
    else:
        text = _NUMBER_LIST.sub(_one_line, json.dumps(values, indent=2, allow_nan=False)) + "\n"
    files: list[tuple[str | os.PathLike[str], list[bytes | memoryview]]] = []
    if store.arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **store.arrays)
        files.append((arrays, [buffer.getbuffer()]))
    files.append((target, [text.encode("utf-8")]))
    write_files(files)


def _one_line(match: re.Match[str]) -> str:
    return "[" + " ".join(match.group(1).split()) + "]"


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`dump` wrote; see :func:`from_dict` for the errors."""
    file, values = Path(path), read_values(path)
    try:
        return from_dict(values, folder=file.parent)
    except FileError:
        raise
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def read_values(path: str | os.PathLike[str]) -> Any:
    """What a JSON or YAML file holds.

    Raises
    ------
    FileError
        When it cannot be read, or is not valid.
    """
    file = check_file(path, what="recipe", max_bytes=_MAX_BYTES)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FileError(f"{file} is not a text file: a JSON or YAML recipe was expected") from None
    if _is_yaml(file):
        yaml = require("yaml", purpose="YAML recipes")
        try:
            values = _with_numbers(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise FileError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    else:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{file} is not valid JSON: {error}") from None
    return values


def _with_numbers(value: Any) -> Any:
    """YAML 1.1 reads 1e20 and 1.0e20, without a sign, as words; here they are numbers."""
    if isinstance(value, dict):
        return {key: _with_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_numbers(one) for one in value]
    return float(value) if isinstance(value, str) and _EXPONENTIAL.fullmatch(value) else value


def _is_yaml(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _YAML_SUFFIXES:
        return True
    if suffix != ".json":
        raise InputError(f"{path}: the suffix {suffix!r} is neither .json nor .yaml: name the format")
    return False
