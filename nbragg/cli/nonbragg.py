"""The command line of nonBragg.c: its options and defaults (beyond 12.9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError
from ..base.warn import warn
from .options import OPTIONS, Option, Table
from .settings import Settings, apply, drop_missing
from .words import Given

if TYPE_CHECKING:
    from ..model.background import Background
    from ..model.beam import Beam
    from ..model.detector import Detector
    from ..model.setup import Setup
    from .outputs import Outputs

__all__ = ["TABLE", "NonBragg", "build", "settings_of"]

#: what means the same to nanobragg
_SHARED = (
    "-lambda", "-energy", "-dispersion", "-dispsteps", "-divergence", "-hdivrange", "-vdivrange", "-hdivstep",
    "-vdivstep", "-hdivsteps", "-vdivsteps", "-divsteps", "-round_div", "-square_div", "-sourcefile",
    "-polar", "-nopolar", "-fluence", "-flux", "-exposure", "-beamsize", "-pixel", "-detpixels",
    "-detpixels_f", "-detpixels_s", "-detsize", "-curved_det", "-point_pixel", "-distance",
    "-close_distance", "-Xbeam",
    "-Ybeam", "-Xclose", "-Yclose", "-ORGX", "-ORGY", "-pivot", "-detector_rotx", "-detector_roty",
    "-detector_rotz", "-twotheta", "-fdet_vector", "-sdet_vector", "-beam_vector", "-polar_vector",
    "-twotheta_axis", "-roi", "-floatfile", "-intfile", "-noisefile", "-pgmfile", "-nonoise", "-nopgm",
    "-scale", "-pgmscale", "-seed", "-threads", "-progress", "-noprogress", "-h",
)  # fmt: skip


def _own(
    names: str, kind: str, metavar: str, unit: str, default: str, text: str, *sets: str, **more: Any
) -> Option:
    group = more.pop("group", "sampling")
    return Option(
        tuple(names.split("/")), (kind,) if kind else (), metavar, unit, default, group, text, sets, **more
    )


def _idle(names: str, *kinds: str) -> Option:
    metavar = "X " * len(kinds)
    return Option(
        tuple(names.split("/")), kinds, metavar.strip(), "", "", "ignored", "no effect", effect=False
    )


# fmt: off
_OWN = (
    _own("-stol", "file", "FILE", "", "", "rows sin(theta)/lambda, F of one molecule; or water, air, helium, "
         "unity", "background.table", also=(("background.unit", "stol"),)),
    _own("-4stol", "file", "FILE", "", "", "rows by 4 sin(theta)/lambda", "background.table",
         also=(("background.unit", "4stol"),)),
    _own("-Q", "file", "FILE", "", "", "rows by 4 pi sin(theta)/lambda", "background.table",
         also=(("background.unit", "Q"),)),
    _own("-samplesize/-sample_size", "float", "SIZE", "mm", "0.1", "edge of a cube of sample",
         "background.thickness_mm", "background.width_mm", "background.height_mm"),
    _own("-thick*/-sample_thick*/-sample_x", "float", "SIZE", "mm", "0.1", "edge along the beam",
         "background.thickness_mm"),
    _own("-width/-sample_width/-sample_y", "float", "SIZE", "mm", "0.1", "edge across, cut at the beam",
         "background.width_mm"),
    _own("-heigh*/-sample_heigh*/-sample_z", "float", "SIZE", "mm", "0.1", "edge across, cut at the beam",
         "background.height_mm"),
    _own("-density/-sample_den*", "float", "X", "g/cm^3", "1", "density", "background.density"),
    _own("-MW/-molecular*", "float", "X", "g/mol", "18", "molar mass", "background.molar_mass"),
    _own("-molecules/-sample_molecules", "float", "N", "", "", "molecules in the beam, instead",
         "background.molecules"),
    _own("-oversample", "int", "N", "", "1", "sub-pixels along a pixel edge",
         "sampling.background_oversample"),
    _own("-Fmap", "", "", "", "off", "write F at the last source and sub-pixel in place of photons",
         also=(("extract.Fmap", True),)),
    _own("-detsize_f/-detsize_x", "float", "SIZE", "mm", "102.4", "edge along the fast axis",
         "detector.detsize_f_mm", group="detector"),
    _own("-detsize_s/-detsize_y", "float", "SIZE", "mm", "102.4", "edge along the slow axis",
         "detector.detsize_s_mm", group="detector"),
    _own("-img", "file", "FILE", "", "", "take geometry from the header of this SMV image, and a table from "
         "its pixels", "extract.image", group="detector"),
    _own("--extract", "file", "FILE", "", "", "the table of an image of any format; nothing is rendered",
         "extract.image", also=(("extract.only", True),), group="files"),
    _own("-stolout/-o/--output", "file", "FILE", "", "output.stol", "where to write the table: s F sigma n",
         "extract.output", group="files"),
    _own("-adc*", "float", "OFFSET", "", "40", "offset of the image, and of SMV images that are written",
         "output.adc", group="files"),
    _own("-gain", "float", "X", "", "1", "counts of a photon in the image", "extract.gain", group="files"),
    _own("-ignore", "float", "VALUE", "", "", "pixels of this value are left out; several times",
         "extract.ignore", repeats=True, group="files"),
    _own("-statistic", "choice", "clipped|mean|median", "", "clipped", "of the pixels of a bin",
         "extract.statistic", choices=("clipped", "mean", "median"), group="files"),
    _own("-bins", "int", "N", "", "200, or the rows of -stol", "bins between the extremes", "extract.bins",
         group="files"),
    _own("--recipe", "file", "FILE", "", "", "set-up of the image, as nbragg.dump writes it, for --extract",
         "extract.recipe", group="files"),
    _idle("-phi", "float"), _idle("-osc", "float"), _idle("-phistep", "float"), _idle("-phisteps", "int"),
    _idle("-spindle_axis", "float", "float", "float"), _idle("-odet_vector", "float", "float", "float"),
    _idle("-pix0_vector", "float", "float", "float"), _idle("-source_distance", "float"), _idle("-coherent"),
    _idle("-noreject"), _idle("-printout"), _idle("-printout_pixel", "int", "int"),
)
# fmt: on

_BY_NAME = {option.name: option for option in OPTIONS}
TABLE = Table((*_OWN, *(_BY_NAME[name] for name in _SHARED)), "nbragg background")

#: keys of the header of -img, and the fields they make
_HEADER = {
    "PIXEL_SIZE": "detector.pixel_mm",
    "DISTANCE": "detector.distance_mm",
    "CLOSE_DISTANCE": "detector.close_distance_mm",
    "ORGX": "detector.ORGX",
    "ORGY": "detector.ORGY",
    "BEAM_CENTER_X": "detector.Xbeam_mm",
    "BEAM_CENTER_Y": "detector.Ybeam_mm",
    "WAVELENGTH": "beam.wavelength_A",
}


_TABLE = ("table", "unit")


@dataclass(frozen=True)
class NonBragg:
    """What a line asks for."""

    setup: Setup
    background: Background | None  #: None: no table was given
    sample: Background  #: with the dimensions given, whatever its table
    outputs: Outputs
    extract: Settings  #: image, only, output, gain, ignore, statistic, bins, recipe, Fmap: as far as given
    run: Settings  #: seed, threads, progress
    inputs: dict[str, str]  #: option to path of the files that were read


def settings_of(given: Sequence[Given]) -> Settings:
    """Settings of the options in their order, over those of the header of -img.

    Raises
    ------
    FileError
    """
    settings: Settings = {}
    for item in given:
        if not item.option.effect:
            warn(f"{item.spelled} has no effect on the image")
        apply(settings, item)
        if item.option.name == "-pivot":  # the order of the line counts
            settings["detector.pivot_in_order"] = item.values[0]
    if "extract.image" in settings and "extract.only" not in settings:
        settings = _header(settings["extract.image"]) | settings
    drop_missing(settings)
    return settings


def build(settings: Settings) -> NonBragg:
    """The set-up that a line of nonBragg.c describes.

    Raises
    ------
    InputError, FileError
    """
    from ..model.background import Background
    from ..model.crystal import Crystal
    from ..model.sampling import Sampling
    from ..model.setup import Setup
    from ..model.structure_factors import StructureFactors

    inputs: dict[str, str] = {}
    material = _part(settings, "background")
    background = _background(material, inputs)
    sample = Background("water", **{key: value for key, value in material.items() if key not in _TABLE})
    crystal = Crystal(cell=(100, 100, 100, 90, 90, 90), structure_factors=StructureFactors.constant(0))
    setup = Setup(
        crystal,
        _beam(_part(settings, "beam"), settings.get("input.sources"), inputs),
        _detector(_part(settings, "detector")),
        Sampling(oversample=1, **_part(settings, "sampling")),
        backgrounds=() if background is None else background,
    )
    extract = _part(settings, "extract")
    if "image" in extract:
        inputs["--extract" if extract.get("only") else "-img"] = extract["image"]
    outputs, run = _outputs(settings), _part(settings, "run")
    return NonBragg(setup, background, background or sample, outputs, extract, run, inputs)


def _part(settings: Settings, part: str) -> Settings:
    start = part + "."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}


def _header(path: str) -> Settings:
    """What the header of an SMV image says, as nonBragg.c reads it."""
    from ..io.images import smv

    image = smv.read(path)
    spixels, fpixels = image.pixels.shape
    found: Settings = {"detector.fpixels": fpixels, "detector.spixels": spixels}
    for key, field in _HEADER.items():
        value = smv.last_value(image.header_text, key)
        if value is not None:
            found[field] = value
    if "detector.Ybeam_mm" in found:  # counted from the other edge
        edge = spixels * found.get("detector.pixel_mm", 0.1)
        found["detector.Ybeam_mm"] = edge - found["detector.Ybeam_mm"]
    return found


def _detector(given: Settings) -> Detector:
    """Beam centre and near point as nonBragg.c has them, along fast and slow from the corner."""
    from ..model.detector import Detector
    from ..scene.detector_centres import image_size

    pivot = given.pop("pivot_in_order", None) or "beam"
    for name in ("pivot", "convention"):
        given.pop(name, None)
    pixel = given.get("pixel_mm", 0.1)
    size = ("pixel_mm", "fpixels", "spixels", "detsize_f_mm", "detsize_s_mm")
    _, _, fast, slow = image_size(Detector(**{name: given[name] for name in size if name in given}))
    near = {"X": (1e3 * fast - pixel) / 2, "Y": (1e3 * slow + pixel) / 2}
    beam = {}
    for axis in "XY":
        near[axis] = given.pop(f"{axis}close_mm", near[axis])
        near[axis] = given.pop(f"ORG{axis}") * pixel if f"ORG{axis}" in given else near[axis]
        beam[axis] = given.pop(f"{axis}beam_mm", near[axis])
    kind, centre = ("close", near) if pivot == "sample" else ("beam", beam)
    f, s = given.pop("fdet_vector", (0.0, 0.0, 1.0)), given.pop("sdet_vector", (0.0, -1.0, 0.0))
    normal = (f[1] * s[2] - f[2] * s[1], f[2] * s[0] - f[0] * s[2], f[0] * s[1] - f[1] * s[0])
    if not any(normal):
        raise InputError("-fdet_vector and -sdet_vector are parallel: give two directions")
    if "close_distance_mm" in given:
        given.pop("distance_mm", None)
    vectors = {"fdet_vector": f, "sdet_vector": s, "odet_vector": normal}
    centres = {f"{axis}{kind}_mm": value for axis, value in centre.items()}
    return Detector(convention="custom", pivot=pivot, **vectors, **centres, **given)


def _beam(given: Settings, path: str | None, inputs: dict[str, str]) -> Beam:
    """Weights of sources count as they are, divided by their number: the fluence takes up their mean."""
    from ..model.beam import Beam, SourceList
    from ..scene.sources import beam_fluence

    beam = Beam(**given)
    if path is None:
        return beam
    inputs["-sourcefile"] = path
    x, y, z = beam.beam_vector or (1.0, 0.0, 0.0)
    length = math.hypot(x, y, z)
    towards = (x / length, y / length, z / length)
    sources = SourceList.from_file(path, wavelength_A=beam.wavelength_A, beam_vector=towards)
    assert sources.weights is not None
    return beam.replace(sources=sources, fluence=beam_fluence(beam) * float(sources.weights.mean()), flux=0.0)


def _background(given: Settings, inputs: dict[str, str]) -> Background | None:
    """The table with its sample; None without a table."""
    from ..model.background import SHIPPED, Background

    if "table" not in given:
        return None
    table = given["table"]
    shipped = table in SHIPPED and not Path(table).exists()
    if not shipped:
        inputs["-stol"] = table
    fields = given | {"table": table if shipped else Path(table)}
    return Background(interpolation="lagrange", outside="line", **fields)


def _outputs(settings: Settings) -> Outputs:
    from .outputs import Outputs

    files = _part(settings, "output")
    for kind in ("pgm", "noise"):
        if not files.pop(kind, True):
            files[f"{kind}_file"] = None
    return Outputs(**files)
