"""The CUDA source and its specialisations: what to compile for a Scene, without a GPU or CuPy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from .._engine import FACTOR_SOURCES, INDEX_ARITHMETICS, POINT, SHAPES, SPECTRA, TABLE_KINDS
from ..base.errors import InputError, RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..scene.record import CrystalBlock, Scene

__all__ = [
    "BACKDROP",
    "DIFFUSE",
    "FINISH",
    "INDEX_DOUBLE",
    "INDEX_FIXED",
    "INDEX_PAIRS",
    "RESPONSE",
    "BackdropSpecialisation",
    "DiffuseSpecialisation",
    "GradientSpecialisation",
    "Kernels",
    "ResponseSpecialisation",
    "Specialisation",
    "choose",
    "choose_gradient",
    "every",
    "every_gradient",
    "source",
]

INDEX_DOUBLE: int = INDEX_ARITHMETICS["double"]
INDEX_FIXED: int = INDEX_ARITHMETICS["fixed"]
INDEX_PAIRS: int = INDEX_ARITHMETICS["pairs"]
CONSTANT: int = TABLE_KINDS["constant"]
NEAREST: int = TABLE_KINDS["nearest"]
TRICUBIC: int = TABLE_KINDS["tricubic"]

#: a double operation that costs more floats than this makes pairs of floats the faster arithmetic: 147
#: instructions a sample with pairs, 70 and 9 in double with fixed point (docs/gpu.md)
_PAIRS_BEYOND = 8.0
#: part of mixed precision's 2e-6 of the maximum that errors of h, k, l may take
_INDEX_TOLERANCE = 5e-7
#: steepest change of a lattice factor squared with N h: that of (sin x / x)^2 at x = pi N h
_SLOPE = 1.7
#: largest index that fixed point and pairs can hold
_LARGEST_INDEX = 2.0**19

_OPTIONS = (
    "--std=c++20",
    # the shared physics headers hold more functions than any one specialisation uses
    "-diag-suppress=177",
)


class Kernels(Protocol):
    """What to compile: a file of csrc and its macros."""

    @property
    def file(self) -> str: ...

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture."""


def _options_for(macros: dict[str, int]) -> tuple[str, ...]:
    return (*_OPTIONS, *(f"-D{name}={value}" for name, value in macros.items()))


@dataclass(frozen=True)
class Specialisation:
    """The compile-time switches of csrc/nb_render.cu.

    Attributes
    ----------
    shape : int
        One of `_engine.SHAPES`, or `_engine.POINT` for a block of one cell.
    table : int
        Structure factors, one of `_engine.TABLE_KINDS`: one F for all, the nearest listed value, tricubic.
    single : bool
        Precision "mixed".
    index : int
        Arithmetic of h, k, l: INDEX_DOUBLE, INDEX_FIXED or INDEX_PAIRS.
    curved : bool
        The panel is bent.
    spectral : int
        How a spectrum is rendered, one of `_engine.SPECTRA`.
    finish : bool
        The kernels that complete and summarise an image, which are the same for all of the above.
    displaced : bool
        The crystal's atoms are displaced.
    each_mu : bool
        The panel has ``source_mu``.
    sparse : bool
        Samples are left out, by nb_render_sparse.
    """

    file: ClassVar[str] = "nb_render.cu"
    shape: int
    table: int
    single: bool
    index: int
    curved: bool
    spectral: int = 0
    finish: bool = False
    displaced: bool = False
    each_mu: bool = False
    sparse: bool = False

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""
        return {
            "NB_USE_SHAPE": self.shape,
            "NB_USE_TABLE": self.table,
            "NB_USE_FLOAT": int(self.single),
            "NB_USE_INDEX": self.index,
            "NB_USE_CURVED": int(self.curved),
            "NB_USE_SPECTRUM": self.spectral,
            "NB_USE_FINISH": int(self.finish),
            **({"NB_USE_DISPLACED": 1} if self.displaced else {}),
            **({"NB_USE_SOURCE_MU": 1} if self.each_mu else {}),
            **({"NB_USE_SPARSE": 1} if self.sparse else {}),
        }

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture."""
        return _options_for(self.macros)


@dataclass(frozen=True)
class GradientSpecialisation:
    """The compile-time switches of csrc/nb_gradient.cu.

    Attributes
    ----------
    kinds : int
        Bit 3 * shape + source of F for each kind of crystal: `_engine.SHAPES`, `_engine.FACTOR_SOURCES`.
    single : bool
        Precision "mixed".
    entries : bool
        Single structure factors have rows.
    displaced : bool
        There are crystals whose atoms are displaced.
    each_mu : bool
        There are panels with ``source_mu``.
    """

    file: ClassVar[str] = "nb_gradient.cu"
    kinds: int
    single: bool
    entries: bool
    displaced: bool = False
    each_mu: bool = False

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""
        return {
            "NB_USE_KINDS": self.kinds,
            "NB_USE_FLOAT": int(self.single),
            "NB_USE_ENTRIES": int(self.entries),
            **({"NB_USE_DISPLACED": 1} if self.displaced else {}),
            **({"NB_USE_SOURCE_MU": 1} if self.each_mu else {}),
        }

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture."""
        return _options_for(self.macros)


@dataclass(frozen=True)
class BackdropSpecialisation:
    """csrc/nb_backdrop.cu, which has no switches."""

    file: ClassVar[str] = "nb_backdrop.cu"

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""
        return {}

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture."""
        return _options_for(self.macros)


@dataclass(frozen=True)
class DiffuseSpecialisation(BackdropSpecialisation):
    """csrc/nb_diffuse.cu, which has no switches."""

    file: ClassVar[str] = "nb_diffuse.cu"


def every_gradient() -> Iterator[GradientSpecialisation]:
    """Those that a Scene whose crystals are of one kind can ask for."""
    for shape in SHAPES.values():
        for of_F in FACTOR_SOURCES.values():
            for single in (False, True):
                for entries in (False, True) if of_F != FACTOR_SOURCES["constant"] else (False,):
                    yield GradientSpecialisation(1 << (len(FACTOR_SOURCES) * shape + of_F), single, entries)


def choose_gradient(scene: Scene, precision: str, *, entries: bool = False) -> GradientSpecialisation:
    """What to compile for the derivatives of a Scene.

    Parameters
    ----------
    scene : Scene
    precision : {"double", "mixed"}
    entries : bool
        Whether single structure factors have rows.
    """
    kinds = 0
    for block in scene.crystals:
        table = scene.tables[block.table]
        kind = "nearest" if table.interpolation == "nearest" else "tricubic"
        if table.values is None:
            kind = "constant"
        kinds |= 1 << (len(FACTOR_SOURCES) * SHAPES[block.shape] + FACTOR_SOURCES[kind])
    displaced = any(block.displacement is not None for block in scene.crystals)
    each_mu = any(panel.source_mu is not None for panel in scene.panels)
    return GradientSpecialisation(kinds, precision == "mixed", entries, displaced, each_mu)


@dataclass(frozen=True)
class ResponseSpecialisation:
    """csrc/nb_response.cu, which has no switches."""

    file: ClassVar[str] = "nb_response.cu"

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""
        return {}

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture: a*b+c is rounded twice, as on the CPU."""
        return (*_options_for(self.macros), "-fmad=false")


BACKDROP = BackdropSpecialisation()
DIFFUSE = DiffuseSpecialisation()
RESPONSE = ResponseSpecialisation()


#: with nb_finish and nb_summarise
FINISH = Specialisation(POINT, CONSTANT, False, INDEX_DOUBLE, False, finish=True)


def every() -> Iterator[Specialisation]:
    """All specialisations that a Scene can ask for, and `FINISH`."""
    yield FINISH
    for shape in (POINT, *SHAPES.values()):
        for table in TABLE_KINDS.values():
            for curved in (False, True):
                for index in INDEX_ARITHMETICS.values():
                    for single in (False, True) if index == INDEX_DOUBLE else (True,):
                        yield Specialisation(shape, table, single, index, curved)
                        if shape != POINT:
                            yield Specialisation(shape, table, single, index, curved, sparse=True)
    for name, rendering in (
        ("gauss", "line"), ("gauss", "culled"), ("tophat", "culled"), ("round", "culled"),
    ):  # fmt: skip
        for table in (CONSTANT, NEAREST):
            for curved in (False, True):
                for single in (False, True):
                    kind = (SHAPES[name], table, single, INDEX_DOUBLE, curved)
                    yield Specialisation(*kind, SPECTRA[rendering])


def choose(
    scene: Scene,
    precision: str,
    double_cost: float,
    *,
    crystal: int = 0,
    curved: bool = False,
    each_mu: bool = False,
    sparse: bool = False,
) -> tuple[Specialisation, float]:
    """What to compile for a crystal of a Scene, and the number that pairs of floats are summed to.

    Parameters
    ----------
    scene : Scene
    precision : {"double", "mixed"}
    double_cost : float
        Float operations that the device does in the time of one double operation.
    crystal : int
        Which.
    curved : bool
        Whether the panel is bent.
    each_mu : bool
        Whether it has ``source_mu``.
    sparse : bool
        Whether samples are left out.

    Raises
    ------
    InputError
        When an index could reach 2^31.
    """
    single = precision == "mixed"
    block = scene.crystals[crystal]
    one_cell = block.shape == "square" and bool(np.all(block.N == 1))
    # |q| <= 2 / wavelength; no partial sum of a.q exceeds |a| |q|
    edges = np.sqrt(np.square(block.orientations[0]).sum(axis=1))
    shortest = float(scene.sources.wavelength.min())
    reach = float(edges.max() * 2 / shortest)
    if not reach < 2.0**31:
        raise InputError(
            f"cell edges of up to {edges.max() * 1e10:.4g} A at a wavelength of {shortest * 1e10:.4g} A give "
            "indices beyond 2^31, the limit on a GPU"
        )
    exponent = int(np.ceil(np.log2(max(reach * 1.001, 1.0)))) + 1
    index, spectral = INDEX_DOUBLE, SPECTRA[scene.spectral]
    if single and not spectral:
        wanted, error = (
            (INDEX_PAIRS, 2.0 ** (exponent - 42)) if double_cost > _PAIRS_BEYOND else (INDEX_FIXED, 3.5e-10)
        )
        whole_cells = bool(np.all((block.N % 1 == 0) & (block.N < 2**22)))
        if whole_cells and reach < _LARGEST_INDEX and _SLOPE * _sharpness(block) * error <= _INDEX_TOLERANCE:
            index = wanted
    factors = scene.tables[block.table]
    table = NEAREST if factors.interpolation == "nearest" else TRICUBIC
    if factors.values is None:
        table = CONSTANT
    shape = POINT if one_cell else SHAPES[block.shape]
    displaced = block.displacement is not None
    features = {"displaced": displaced, "each_mu": each_mu, "sparse": sparse}
    return Specialisation(shape, table, single, index, curved, spectral, **features), 1.5 * 2.0**exponent


def _sharpness(block: CrystalBlock) -> float:
    """How fast the argument of the lattice factor changes with h, k or l: N for a block crystal."""
    if block.shape == "square":
        return float(np.max(block.N))
    return float(np.sqrt(block.fudge * np.linalg.eigvalsh(block.shape_metric).max()))


@cache
def source(file: str = Specialisation.file) -> str:
    """A CUDA source of csrc with the headers it includes in their places.

    One text instead of a folder of headers, so that CuPy's disk cache, which knows the text, notices every
    change.

    Raises
    ------
    RenderError
        When the package was installed without its CUDA source.
    """
    return _with_headers(_folder(file) / file)


def _folder(file: str = Specialisation.file) -> Path:
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "csrc", package.parent / "csrc"):  # an installed package; a source tree
        if (folder / file).is_file():
            return folder
    raise RenderError(f"the CUDA source {file} is not in {package / 'csrc'}: install the package again")


def _with_headers(path: Path) -> str:
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = re.match(r'\s*#\s*include "(nb_\w+\.h)"', line)
        header = path.parent / found[1] if found else None
        if header is None or not header.is_file() or header.name == "nb_host_shim.h":
            lines.append(line)
        else:
            lines += [_with_headers(header), f'#line {number + 1} "{path.name}"']
    return "\n".join(lines)
