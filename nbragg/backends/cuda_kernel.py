"""The CUDA source and its specialisations: what to compile for a Scene, without a GPU or CuPy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..scene import Scene

__all__ = [
    "FINISH",
    "INDEX_DOUBLE",
    "INDEX_FIXED",
    "INDEX_PAIRS",
    "Specialisation",
    "choose",
    "every",
    "source",
]

#: arithmetics of h, k, l (csrc/nb_cuda_index.h)
INDEX_DOUBLE, INDEX_FIXED, INDEX_PAIRS = range(3)
CONSTANT, NEAREST, TRICUBIC = range(3)
#: `Scene.shape` of a block with one cell along each axis
POINT = -1
SQUARE = 0

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


@dataclass(frozen=True)
class Specialisation:
    """The compile-time switches of csrc/nb_render.cu.

    Attributes
    ----------
    shape : int
        `Scene.shape`, or -1 for a block of one cell.
    table : int
        0: one F for all, 1: nearest listed value, 2: tricubic.
    single : bool
        Precision "mixed".
    index : int
        Arithmetic of h, k, l: INDEX_DOUBLE, INDEX_FIXED or INDEX_PAIRS.
    curved : bool
    finish : bool
        The kernels that complete and summarise an image, which are the same for all of the above.
    """

    shape: int
    table: int
    single: bool
    index: int
    curved: bool
    finish: bool = False

    @property
    def macros(self) -> dict[str, int]:
        """Macros to define."""
        return {
            "NB_USE_SHAPE": self.shape,
            "NB_USE_TABLE": self.table,
            "NB_USE_FLOAT": int(self.single),
            "NB_USE_INDEX": self.index,
            "NB_USE_CURVED": int(self.curved),
            "NB_USE_FINISH": int(self.finish),
        }

    @property
    def options(self) -> tuple[str, ...]:
        """Options for NVRTC, except the architecture."""
        return (*_OPTIONS, *(f"-D{name}={value}" for name, value in self.macros.items()))


#: with nb_finish and nb_summarise
FINISH = Specialisation(POINT, CONSTANT, False, INDEX_DOUBLE, False, finish=True)


def every() -> Iterator[Specialisation]:
    """All specialisations that a Scene can ask for, and `FINISH`."""
    yield FINISH
    for shape in (POINT, 0, 1, 2, 3):
        for table in (CONSTANT, NEAREST, TRICUBIC):
            for curved in (False, True):
                for index in (INDEX_DOUBLE, INDEX_FIXED, INDEX_PAIRS):
                    for single in (False, True) if index == INDEX_DOUBLE else (True,):
                        yield Specialisation(shape, table, single, index, curved)


def choose(scene: Scene, precision: str, double_cost: float) -> tuple[Specialisation, float]:
    """What to compile for a Scene, and the number that pairs of floats are summed to.

    Parameters
    ----------
    scene : Scene
    precision : {"double", "mixed"}
    double_cost : float
        Float operations that the device does in the time of one double operation.

    Raises
    ------
    InputError
        When an index could reach 2^31.
    """
    single = precision == "mixed"
    one_cell = scene.shape == SQUARE and bool(np.all(scene.N == 1))
    # |q| <= 2 / wavelength; no partial sum of a.q exceeds |a| |q|
    edges = np.sqrt(np.square(scene.orientations[0]).sum(axis=1))
    reach = float(edges.max() * 2 / scene.source_wavelength.min())
    if not reach < 2.0**31:
        raise InputError(
            f"cell edges of up to {edges.max() * 1e10:.4g} A at a wavelength of "
            f"{scene.source_wavelength.min() * 1e10:.4g} A give indices beyond 2^31, the limit on a GPU"
        )
    exponent = int(np.ceil(np.log2(max(reach * 1.001, 1.0)))) + 1
    index = INDEX_DOUBLE
    if single:
        wanted, error = (
            (INDEX_PAIRS, 2.0 ** (exponent - 42)) if double_cost > _PAIRS_BEYOND else (INDEX_FIXED, 3.5e-10)
        )
        whole_cells = bool(np.all((scene.N % 1 == 0) & (scene.N < 2**22)))
        if whole_cells and reach < _LARGEST_INDEX and _SLOPE * _sharpness(scene) * error <= _INDEX_TOLERANCE:
            index = wanted
    table = CONSTANT if scene.F_table is None else TRICUBIC if scene.interpolation else NEAREST
    shape = POINT if one_cell else scene.shape
    return Specialisation(shape, table, single, index, scene.curved != 0), 1.5 * 2.0**exponent


def _sharpness(scene: Scene) -> float:
    """How fast the argument of the lattice factor changes with h, k or l: N for a block crystal."""
    if scene.shape == SQUARE:
        return float(np.max(scene.N))
    return float(np.sqrt(scene.fudge * np.linalg.eigvalsh(scene.shape_metric).max()))


@cache
def source() -> str:
    """csrc/nb_render.cu with the headers it includes in their places.

    One text instead of a folder of headers, so that CuPy's disk cache, which knows the text, notices every
    change.

    Raises
    ------
    RenderError
        When the package was installed without its CUDA source.
    """
    return _with_headers(_folder() / "nb_render.cu")


def _folder() -> Path:
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "csrc", package.parent / "csrc"):  # an installed package; a source tree
        if (folder / "nb_render.cu").is_file():
            return folder
    raise RenderError(f"the CUDA source nb_render.cu is not in {package / 'csrc'}: install the package again")


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
