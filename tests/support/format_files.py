"""Reflection and model files made for the format tests, and a small scene."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.io.reflections.reflection_list import ReflectionList
from nbragg.model.setup import Setup
from nbragg.scene.build import build_scene
from nbragg.scene.record import Scene

DATA = Path(__file__).parents[1] / "data"
TEXT_LIST = Path(__file__).parents[1] / "golden" / "data" / "hewl_p1_3.5A.hkl"

CELL = (30.0, 40.0, 50.0, 90.0, 90.0, 90.0)


def write_mtz(
    path: Path,
    columns: Sequence[tuple[str, str]],
    *,
    cell: tuple[float, ...] | None = CELL,
    spacegroup: str | None = "P 21 21 21",
    hkl: NDArray[np.int64] | None = None,
    values: NDArray[np.float64] | None = None,
    wavelength: float = 0.0,
) -> Path:
    """An MTZ file with (label, type) columns; values 1, 2, 3 ... unless given."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.find_spacegroup_by_name(spacegroup or "P 1")
    dataset = mtz.add_dataset("test")
    dataset.wavelength = wavelength
    if cell is not None:
        mtz.set_cell_for_all(gemmi.UnitCell(*cell))
    for label, kind in columns:
        mtz.add_column(label, kind)
    indices = np.array([[1, 1, 1], [1, 2, 3], [0, 2, 4]]) if hkl is None else hkl
    if values is None:
        values = np.arange(1.0, 1.0 + len(indices) * len(columns)).reshape(len(indices), len(columns))
    mtz.set_data(np.hstack([indices.astype(float), values]).astype(np.float32))
    mtz.write_to_file(str(path))
    if spacegroup is None:  # gemmi writes no file without one
        content = path.read_bytes()
        start = content.index(b"SYMINF")
        name = b"SYMINF   1  1 P   999 'X 99'".ljust(80)
        content = content[:start] + name + content[start + 80 :]
        path.write_bytes(
            content.replace(b"SYMM X,  Y,  Z", b"SYMM A,  B,  C").replace(b"SYMM x,y,z", b"REMARK    ")
        )
    return path


def table(reflections: ReflectionList) -> dict[tuple[int, int, int], float]:
    """Amplitude by index."""
    indices = zip(reflections.h.tolist(), reflections.k.tolist(), reflections.l.tolist(), strict=True)
    return dict(zip(indices, reflections.F.tolist(), strict=True))


def setup(
    *, crystal: dict[str, object] | None = None, beam: dict[str, object] | None = None, **detector: object
) -> Setup:
    """A small still on 40 x 30 pixels."""
    settings: dict[str, object] = {"distance_mm": 100.0, "pixel_mm": 0.2, "fpixels": 40, "spixels": 30}
    return Setup(
        Crystal(cell=CELL, structure_factors=StructureFactors.constant(10.0), **(crystal or {})),
        Beam(**(beam or {})),
        Detector(**(settings | detector)),
        Sampling(oversample=1),
        "nanobragg",
    )


def built(settings: Setup) -> Scene:
    """The scene of a set-up."""
    return build_scene(settings)


def scene(**settings: Any) -> Scene:
    """The scene of `setup`."""
    return built(setup(**settings))


def rectangular(square: Scene) -> Scene:
    """The same with pixels 0.1 and 0.3 mm long along fast and slow."""
    return dataclasses.replace(square, panels=(dataclasses.replace(square.panel, pixel=(1e-4, 3e-4)),))


def of_panels(one: Scene, *spixels: int) -> Scene:
    """The same with several panels in the place of one, of so many pixels along slow."""
    panels = tuple(dataclasses.replace(one.panel, spixels=n) for n in spixels)
    placement = dataclasses.replace(one.placement, panels=(one.placement.panel,) * len(panels))
    return dataclasses.replace(one, panels=panels, placement=placement)
