"""The recipe of a data set: a set-up, what differs from image to image, and what is kept of each.

A recipe is a mapping, in YAML or JSON::

    nanobragg_dataset: 1
    seed: 1
    images: 1000
    setup: {crystal: {...}, beam: {...}, detector: {...}, response: {...}}    # or the name of a recipe's file
    vary:
      orientation: uniform
      crystal.cell: {norm: {loc: 1, scale: 0.002}, as: factor}
    labels: {images: [spots]}
    output: {format: nxmx, images_per_shard: 100}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..base import validate as check
from ..base.errors import FileError, InputError
from ..base.names import suggestion
from ..base.records import Record, frozen
from ..engine.options import PRECISIONS
from ..io import recipe as recipes
from ..io.files.atomic import write_files
from ..model.setup import Setup
from ..simulation.labels import LABEL_IMAGES
from .containers.formats import FORMATS, compression_of
from .distributions import Distribution
from .vary import Rules, Vary, parse_vary

__all__ = ["DatasetRecipe"]

VERSION = 1

_KEYS = ("nanobragg_dataset", "name", "seed", "images", "setup", "vary", "labels", "output", "render")


@frozen(kw_only=True)
class DatasetRecipe(Record):
    """Everything that decides a data set.

    Parameters
    ----------
    setup : Setup
        What all images share.
    vary : Vary
        What differs.
    seed : int
        Of all random numbers, -2^63 to 2^64 - 1.
    images : int, optional
        How many there are to be; None: as many as are asked for.
    name : str
    label_images : tuple of str
        Of `nbragg.simulation.labels.LABEL_IMAGES`.
    least_partiality : float
        Reflections of a smaller one are not listed.
    format : {"nxmx", "h5", "zarr", "webdataset"}
    images_per_shard : int
    compression : str, optional
        Of `nbragg.dataset.containers.formats.FORMATS`; None: the format's own.
    precision : {"double", "mixed"}, optional
        Of the renderer; None: double.

    Raises
    ------
    InputError
    """

    setup: Setup
    vary: Vary
    seed: int = 1
    images: int | None = None
    name: str = ""
    label_images: tuple[str, ...] = ()
    least_partiality: float = 1e-3
    format: str = "nxmx"
    images_per_shard: int = 100
    compression: str | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        check.count("seed", self.seed, at_least=-(2**63), at_most=2**64 - 1)
        if self.images is not None:
            check.count("images", self.images, at_most=2**48)
        for name in self.label_images:
            if name not in LABEL_IMAGES:
                raise InputError(f"labels: images: unknown {name!r}{suggestion(str(name), LABEL_IMAGES)}")
        check.number("labels: least_partiality", self.least_partiality, at_least=0, at_most=1)
        check.choice("output: format", self.format, FORMATS)
        check.count("output: images_per_shard", self.images_per_shard, at_most=1_000_000)
        compression_of(self.format, self.compression)
        if self.precision is not None:
            check.choice("render: precision", self.precision, PRECISIONS)
        if len(self.setup.sample) > 1 and isinstance(self.vary.orientation, np.ndarray):
            raise InputError("vary: orientation: the set-up has several crystals; give one")
        given = self.vary.count
        if given is not None and self.images is not None and self.images > given:
            raise InputError(f"images: {self.images}, but there are {given} orientations")

    @property
    def rules(self) -> Rules:
        """What gives each image its Setup."""
        return Rules(self.vary, self.setup, self.seed)

    # ---- reading ----

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DatasetRecipe:
        """Read a recipe.

        Raises
        ------
        InputError
            An unknown key (the nearest is given), a value that cannot be; the message names the key.
        FileError
            A file that is missing or cannot be read.
        MissingPackageError
        """
        values = recipes.read_values(path)
        try:
            return cls.from_dict(values, folder=Path(path).parent)
        except FileError:
            raise
        except InputError as error:
            raise InputError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def from_dict(cls, values: Any, *, folder: str | os.PathLike[str] = ".") -> DatasetRecipe:
        """From a mapping as a file holds it; ``folder`` is where the names of its files begin.

        Raises
        ------
        InputError, FileError, MissingPackageError
        """
        if not isinstance(values, Mapping):
            raise InputError(f"a recipe is a mapping, not a {type(values).__name__}")
        _known("the recipe", values, _KEYS)
        version = values.get("nanobragg_dataset")
        if version != VERSION:
            raise InputError(
                "this is no recipe of a data set: it has no key 'nanobragg_dataset'"
                if version is None
                else f"nanobragg_dataset: {version!r}; this release reads version {VERSION}"
            )
        base = Path(folder)
        labels, output = (
            _part(values, "labels", ("images", "least_partiality")),
            _part(values, "output", ("format", "images_per_shard", "compression")),
        )
        render = _part(values, "render", ("precision",))
        fields: dict[str, Any] = {name: values[name] for name in ("seed", "images", "name") if name in values}
        if "images" in labels:
            listed = labels.pop("images") or []
            if not isinstance(listed, (list, tuple)):
                raise InputError(f"labels: images: a list was expected, not {listed!r}")
            fields["label_images"] = tuple(listed)
        recipe = cls(
            setup=_setup(values.get("setup"), base),
            vary=parse_vary(values.get("vary"), base),
            **fields,
            **labels,
            **output,
            **render,
        )
        recipe.rules.check()
        return recipe

    # ---- writing ----

    def to_dict(self) -> dict[str, Any]:
        """Plain values; long arrays by their digests."""
        return self._plain(recipes.to_dict)

    def _plain(self, put: Any) -> dict[str, Any]:
        """``put`` writes a record."""
        vary = self.vary
        rules: dict[str, Any] = {}
        if isinstance(vary.orientation, np.ndarray):
            rules["orientation"] = put(vary.orientation)
        elif vary.orientation != "fixed":
            rules["orientation"] = vary.orientation
        if vary.lattices is not None:
            rules["lattices"] = _distribution(vary.lattices)
        if vary.mosaic:
            rules["mosaic"] = "redrawn"
        if vary.spectrum is not None:
            rules["spectrum"] = dict(vary.spectrum)
        for key, one in vary.choices.items():
            among = [{"name": n, "record": put(r)} for n, r in zip(vary.names[key], one.among, strict=True)]
            rules[key] = {**_distribution(one), "choice": among}
        rules |= {key: _distribution(one) for key, one in vary.numbers.items()}
        labels: dict[str, Any] = {
            "images": list(self.label_images),
            "least_partiality": self.least_partiality,
        }
        return {
            "nanobragg_dataset": VERSION,
            **({"name": self.name} if self.name else {}),
            "seed": self.seed,
            **({"images": self.images} if self.images is not None else {}),
            "setup": put(self.setup),
            "vary": rules,
            "labels": labels,
            "output": {
                "format": self.format,
                "images_per_shard": self.images_per_shard,
                **({"compression": self.compression} if self.compression is not None else {}),
            },
            **({"render": {"precision": self.precision}} if self.precision is not None else {}),
        }

    @property
    def digest(self) -> str:
        """Of what decides pixels and labels: all but the name, the number of images and their files."""
        plain = self._plain(_by_content)
        for key in ("name", "images", "output"):
            plain.pop(key, None)
        if self.vary.spectrum is not None and "file" in self.vary.spectrum:
            plain["vary"]["spectrum"] = {"file": _digest_of(self.vary.spectrum["file"])}
        text = json.dumps(plain, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe with all that its files hold, as JSON that can be loaded anywhere.

        Records go to files of their own beside it, ``<stem>.setup.json`` and so on.

        Raises
        ------
        FileError
        """
        target = Path(path)
        count = 0

        def put(record: Any) -> Any:
            nonlocal count
            kind = "orientation" if isinstance(record, np.ndarray) else type(record).__name__.lower()
            name = f"{target.stem}.{kind}{f'.{count}' if count else ''}"
            count += 1
            if isinstance(record, np.ndarray):
                np.save(target.with_name(name + ".npy"), record)
                return {"file": name + ".npy"}
            if isinstance(record, tuple):
                return [put(one) for one in record]
            recipes.dump(record, target.with_name(name + ".json"))
            return name + ".json"

        text = json.dumps(self._plain(put), indent=2, default=str) + "\n"
        write_files([(target, [text.encode()])])

    def __repr__(self) -> str:
        count = "any number of" if self.images is None else self.images
        return f"DatasetRecipe({self.name or 'unnamed'}, {count} images, seed {self.seed})"


def _by_content(record: Any) -> Any:
    if isinstance(record, np.ndarray):
        return hashlib.blake2b(np.ascontiguousarray(record).tobytes(), digest_size=16).hexdigest()
    if isinstance(record, tuple):
        return [_by_content(one) for one in record]
    return recipes.to_dict(record)


def _digest_of(path: str) -> str:
    state = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            while block := stream.read(1 << 22):
                state.update(block)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    return state.hexdigest()


def _distribution(one: Distribution) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if one.name == "choice":
        plain["choice"] = list(one.among)
        if one.weights is not None:
            plain["weights"] = list(one.weights)
    else:
        plain[one.name] = one.shapes["loc"] if one.name == "constant" else dict(one.shapes)
    if one.meaning != "value":
        plain["as"] = one.meaning
    if one.together:
        plain["together"] = True
    if one.within is not None:
        plain["within"] = list(one.within)
    return plain


def _setup(given: Any, folder: Path) -> Setup:
    if given is None:
        raise InputError("setup: the key is missing: a set-up, or the name of a file of one, was expected")
    try:
        if isinstance(given, str):
            found = recipes.load(folder / given)
        elif isinstance(given, Mapping):
            found = recipes.from_dict({"nanobragg_recipe": recipes.VERSION, **given}, folder=folder)
        else:
            raise InputError(f"a mapping or the name of a file was expected, not {given!r}")
    except FileError:
        raise
    except InputError as error:
        raise InputError(f"setup: {error}") from None
    if not isinstance(found, Setup):
        raise InputError(f"setup: a whole set-up was expected, not a {type(found).__name__}")
    return found


def _part(values: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    given = values.get(name)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"{name}: a mapping was expected, not {given!r}")
    _known(name, given, keys)
    return dict(given)


def _known(where: str, values: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in values:
        if key not in keys:
            raise InputError(f"{where}: unknown key {key!r}{suggestion(str(key), keys)}")
