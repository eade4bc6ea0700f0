"""Bad input from Python: ValueError or OSError with what was given, expected and to be done."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import acceptance as a
import golden_cases as g
import numpy as np
import parts
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors, noise_image
from nbragg.base.errors import FileError, InputError, MemoryLimitError, RenderError
from nbragg.io.files import text_tables
from nbragg.io.images import smv
from nbragg.io.reflections import dump as fdump
from nbragg.io.reflections import text as hkl_text
from nbragg.simulation.simulate import render


def test_non_finite_from_python() -> None:
    """RenderError with the count and the place of the first, in a region and behind a mask."""
    mask = np.ones((8, 8), bool)
    mask[3, 2] = False
    crystal = Crystal(cell=(50, 60, 70, 80, 95, 103), structure_factors=StructureFactors.constant(1e30))
    scene = parts.build_scene(
        crystal, Beam(), Detector(fpixels=8, spixels=8, mask=mask), Sampling(roi=(2, 5, 3, 6), oversample=1)
    )
    for precision in a.PRECISIONS:
        with pytest.raises(RenderError, match=r"15 pixels.*fast 3, slow 3"):
            render(scene, precision=precision)


def test_huge_values_that_are_finite() -> None:
    """The largest numbers that fit come through unchanged."""
    scene = g.scene_of(a.words(a.FLAT, "-default_F 3e18 -nopolar -point_pixel -distance 1000 -detpixels 4"))
    image = render(scene).image
    assert np.isfinite(image).all() and image.max() > 1e36


# ---- from Python ----

SF = StructureFactors.constant(10)
CELL = (50.0, 60.0, 70.0, 80.0, 95.0, 103.0)


def crystal(**kw: Any) -> Crystal:
    """A good crystal, or not."""
    return Crystal(**({"cell": CELL, "structure_factors": SF} | kw))


def scene(**kw: Any) -> Any:
    """build_scene with some of its four arguments changed."""
    records: dict[str, Any] = {
        "crystal": crystal(),
        "beam": Beam(),
        "detector": Detector(fpixels=8, spixels=8),
        "sampling": Sampling(),
    }
    physics = kw.pop("physics", "nanobragg")
    return parts.build_scene(*(records | kw).values(), physics=physics)


NOT_NUMBERS = (math.nan, math.inf, -math.inf, "3", None)
PYTHON: dict[str, Callable[[], Any]] = {
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, fields in (
            (Beam, ("wavelength_A", "polarization", "flux", "exposure_s", "beamsize_mm")),
            (Detector, ("pixel_mm", "rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg", "thickness_um")),
            (Sampling, ("water_um",)),
        )
        for field in fields
        for value in NOT_NUMBERS
    },
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, fields in (
            (
                Beam,
                (
                    "dispersion_pct",
                    "hdivrange_mrad",
                    "vdivrange_mrad",
                    "hdivstep_mrad",
                    "vdivstep_mrad",
                    "fluence",
                ),
            ),
            (Detector, ("distance_mm", "close_distance_mm", "detsize_f_mm", "Xbeam_mm", "Yclose_mm", "ORGX")),
            (Sampling, ("dmin_A",)),
        )
        for field in fields
        for value in NOT_NUMBERS[:-1]
    },
    **{
        f"{cls.__name__} {field} {value}": partial(cls, **{field: value})
        for cls, field, values in (
            (Beam, "wavelength_A", (0, -1)),
            (Beam, "polarization", (1.1, -1.1)),
            (Beam, "fluence", (-1,)),
            (Beam, "dispersion_steps", (0, -1, 1.5)),
            (Beam, "hdivsteps", (0, 2.5)),
            (Beam, "beam_vector", ((0, 0, 0), (1, 0), (1, 0, math.nan))),
            (Beam, "sources", ("file", 3)),
            (Beam, "round_div", ("yes",)),
            (Detector, "distance_mm", (0, -1)),
            (Detector, "close_distance_mm", (0, -1)),
            (Detector, "pixel_mm", (0, -1)),
            (Detector, "fpixels", (0, -1, 1.5)),
            (Detector, "spixels", (0, -1, 1.5)),
            (Detector, "thickness_um", (-1,)),
            (Detector, "thicksteps", (0, -1, 1.5)),
            (Detector, "attenuation_um", (-1, math.nan)),
            (Detector, "convention", ("imosflm", None, 3)),
            (Detector, "pivot", ("crystal",)),
            (Detector, "fdet_vector", ((0, 0, 0), (math.nan, 0, 1), "xyz")),
            (Detector, "mask", (np.ones(5), [["a"]])),
            (Sampling, "oversample", (0, -1, 1.5)),
            (Sampling, "roi", ((5, 2, 0, 1), (0, 1, 5, 2), (-1, 2, 0, 1), (0, 1, 2), (0, 1, 0, math.nan))),
            (Sampling, "interpolate", ("yes", 1)),
        )
        for value in values
    },
    **{
        f"Crystal {field} {value}": partial(crystal, **{field: value})
        for field, values in (
            ("cell", ((50, 60, 70, 30, 30, 120), (50, 60, 70, 120, 120, 120), (0, 60, 70, 90, 90, 90))),
            (
                "cell",
                (
                    (-1, 60, 70, 90, 90, 90),
                    (50, 60, 70, 90, 180, 90),
                    (50, 60, 70),
                    (50, 60, 70, 90, 90, math.nan),
                ),
            ),
            (
                "a_matrix",
                (np.zeros((3, 3)), np.ones((3, 3)), np.ones(9), np.diag([1, 1, math.nan]), "matrix"),
            ),
            ("N", ((0, 1, 1), (1, -1, 1), (1, 1), 0, 0.5, "5", (0.5, 1, 1))),
            ("size_mm", ((0, None, None), (-1, 1, 1), (math.nan, 1, 1))),
            ("shape", ("cube", None)),
            ("fudge", (-1, math.nan)),
            ("misset_deg", ("rand", (1, 2), (1, 2, math.nan))),
            ("mosaic_spread_deg", (-1, math.inf)),
            ("mosaic_domains", (0, -3, 1.5)),
            ("phisteps", (0, 1.5)),
            ("osc_deg", (-1, math.nan)),
            ("phi_deg", (math.nan,)),
            ("spindle_axis", ((0, 0, 0),)),
            ("structure_factors", (None, 100.0, "list.hkl")),
        )
        for value in values
    },
    "no cell": lambda: Crystal(structure_factors=SF),
    "F nan": lambda: StructureFactors.constant(math.nan),
    "values nan": lambda: StructureFactors(values=np.full((2, 2, 2), np.nan)),
    "values empty": lambda: StructureFactors(values=np.zeros((0, 2, 2))),
    "values flat": lambda: StructureFactors(values=np.zeros(8)),
    "list empty": lambda: StructureFactors.from_reflections([], [], [], []),
    "list uneven": lambda: StructureFactors.from_reflections([0, 1], [0], [0, 0], [1, 1]),
    "list fraction": lambda: StructureFactors.from_reflections([0.5], [0], [0], [1]),
    "list huge": lambda: StructureFactors.from_reflections([0, 99999], [0, 99999], [0, 99999], [1, 1]),
    "sources none": lambda: SourceList(positions=np.zeros((0, 3))),
    "sources zero": lambda: SourceList(positions=[[1, 0, 0], [0, 0, 0]]),
    "sources wavelength": lambda: SourceList(positions=[[1, 0, 0]], wavelengths_A=[0]),
    "sources weight": lambda: SourceList(positions=[[1, 0, 0]], weights=[-1]),
    "sources shape": lambda: SourceList(positions=[[1, 0, 0]], weights=[1, 2]),
    "sources nan": lambda: SourceList(positions=[[1, 0, math.nan]]),
    "physics": lambda: scene(physics="right"),
    "roi outside": lambda: scene(sampling=Sampling(roi=(0, 8, 0, 7))),
    "mask size": lambda: scene(detector=Detector(fpixels=8, spixels=8, mask=np.ones((8, 9)))),
    "plane through sample": lambda: scene(detector=Detector(fpixels=8, spixels=8, roty_deg=90)),
    "axes parallel": lambda: scene(
        detector=Detector(
            fpixels=8, spixels=8, fdet_vector=(0, 0, 1), sdet_vector=(0, 0, 2), odet_vector=(3, 0, 0)
        )
    ),
    "image too large": lambda: scene(detector=Detector(fpixels=40_000_000, spixels=40_000_000)),
    "too many orientations": lambda: scene(
        crystal=crystal(mosaic_spread_deg=1.0, mosaic_domains=10**9, osc_deg=1.0, phisteps=10**6)
    ),
    "too many sources": lambda: scene(
        beam=Beam(hdivrange_mrad=1.0, hdivsteps=10**7, vdivrange_mrad=1.0, vdivsteps=10**7)
    ),
    "precision": lambda: render(scene(), precision="half"),
    "device": lambda: render(scene(), device="abacus"),
    "threads 0": lambda: render(scene(), threads=0),
    "threads -1": lambda: render(scene(), threads=-1),
    "noise nan": lambda: noise_image(np.full((4, 4), np.nan, np.float32), None, 1),
    "noise adc": lambda: noise_image(np.ones((4, 4), np.float32), None, 1, adc=math.nan),
    "noise roi": lambda: noise_image(np.ones((4, 4), np.float32), (0, 9, 0, 3), 1),
    "noise flat": lambda: noise_image(np.ones(4, np.float32), None, 1),
}


@pytest.mark.parametrize("name", PYTHON)
def test_from_python(name: str) -> None:
    """InputError, which is a ValueError, with a message that is not empty."""
    with pytest.raises(InputError) as caught:
        PYTHON[name]()
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) > 20


def test_sizes_are_told() -> None:
    """What is too large for memory is refused before it is allocated, with the size."""
    for name in ("image too large", "list huge", "too many orientations"):
        with pytest.raises(MemoryLimitError, match=r"\d (TB|PB|EB|GB)"):
            PYTHON[name]()


READERS: dict[str, Callable[[str], Any]] = {
    "mat": text_tables.read_matrix,
    "src": text_tables.read_sources,
    "hkl": hkl_text.read,
    "bin": fdump.read,
    "img": smv.read,
}
FILES = """
    absent.mat short.mat empty.mat text.mat nan.mat
    absent.src zero.src wavelength.src negative.src text.src nan.src empty.src comments.src
    absent.hkl empty.hkl blank.hkl text.hkl short.hkl nan.hkl inf.hkl fraction.hkl overflow.hkl
    absent.bin truncated.bin longer.bin ranges.bin inverted.bin text.bin empty.bin nan.bin
    absent.img truncated.img text.img short.img empty.img order.img size.img negative.img nosize.img
    nobytes.img
""".split()  # noqa: SIM905 - as above


@pytest.mark.parametrize("name", FILES)
def test_files_from_python(name: str, inputs: Path) -> None:
    """FileError, which is an OSError, and names the file."""
    with pytest.raises(FileError) as caught:
        READERS[name[-3:]](name)
    assert isinstance(caught.value, OSError)
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", READERS)
def test_folders_are_not_files(kind: str, inputs: Path) -> None:
    """A folder's name in place of a file's."""
    with pytest.raises(FileError):
        READERS[kind](".")


def test_exceptions_are_catchable() -> None:
    """One base class, and the built-in ones a caller would expect."""
    assert issubclass(InputError, (nbragg.NbraggError, ValueError)) and issubclass(InputError, ValueError)
    assert issubclass(FileError, OSError) and issubclass(FileError, nbragg.NbraggError)
    assert issubclass(MemoryLimitError, InputError) and issubclass(RenderError, nbragg.NbraggError)
