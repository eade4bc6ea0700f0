"""Parameters by name: what names stand for, what is refused, moving them (gradients 2, 3)."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from parts import setup_of

import nbragg
from nbragg import (
    Beam,
    Crystal,
    Detector,
    InputError,
    NbraggWarning,
    Panel,
    Sample,
    Sampling,
    Setup,
    SourceList,
    Spectrum,
    StructureFactors,
)
from nbragg.base.vectors import axis_rotation, unit
from nbragg.scene.parameter_registry import CELL
from nbragg.scene.parameters import Parameter, expand, folded, moved, tangents
from nbragg.scene.record import Scene
from nbragg.scene.tangent import SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

F100 = StructureFactors.constant(100)
LIST = StructureFactors(values=np.arange(24.0).reshape(2, 3, 4) + 1, origin=(-1, -2, 0), default_F=3)
CRYSTAL = Crystal(structure_factors=F100, cell=(70, 80, 90, 75, 85, 95), N=(5, 6, 7), misset_deg=(10, 20, 30))
SMALL = Detector(fpixels=16, spixels=12, distance_mm=100, Xbeam_mm=0.7, Ybeam_mm=0.9)
PANEL = Panel(origin_mm=(-5, -5, 90), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=9, spixels=9, pixel_mm=0.1)

#: nearly every field that can be set at once
RICH = setup_of(
    CRYSTAL.replace(
        structure_factors=LIST, phi_deg=3, osc_deg=1.5, phisteps=3, mosaic_spread_deg=0.4, mosaic_domains=4,
        rotation_deg=(0.4, -0.3, 0.2), domain_weight=(1, 2, 3, 0.5), fudge=0.9, shape="gauss",
        illuminated_volume_um3=0.4, spindle_axis=(0.1, 0.2, 1), N=(5, 6.5, 7),
    ),
    Beam(
        wavelength_A=1.2, dispersion_pct=2, dispersion_steps=3, hdivrange_mrad=3, hdivsteps=3,
        vdivrange_mrad=2, vdivsteps=2, polarization=0.9, polarization_azimuth_deg=10, fluence=1e28,
    ),
    SMALL.replace(
        rotx_deg=5, roty_deg=7, rotz_deg=-9, twotheta_deg=15, shift_mm=(1, 2, 3), thickness_um=450,
        attenuation_um=500, thicksteps=3,
    ),
    Sampling(water_um=2, oversample=1),
    physics="exact",
)  # fmt: skip
LISTED = SourceList(
    positions=[[-10, 0, 0.01], [-9, 0.02, 0], [-11, 0, 0]], weights=[1, 0.5, 2], wavelengths_A=[1, 1.1, 1.2]
)


def names(wanted: str, setup: Setup = RICH) -> list[str]:
    return [parameter.name for parameter in expand([wanted], setup)]


# ---- names -------------------------------------------------------------------------------------------------


def test_a_parameter_has_name_unit_and_value() -> None:
    (found,) = expand(["detector.distance_mm"], RICH)
    assert (found.name, found.unit, found.value) == ("detector.distance_mm", "mm", 100.0)
    assert repr(found) == "Parameter(name='detector.distance_mm', unit='mm', value=100.0)"
    cell = expand(["crystal.cell"], RICH)
    assert [p.unit for p in cell] == ["A"] * 3 + ["deg"] * 3
    assert [p.value for p in cell] == [70, 80, 90, 75, 85, 95]


def test_groups_and_whole_fields() -> None:
    assert names("crystal.orientation") == [f"crystal.rotation_deg[{i}]" for i in range(3)]
    assert names("crystal.N") == ["crystal.N[0]", "crystal.N[1]", "crystal.N[2]"]
    assert names("crystal.misset_deg") == [f"crystal.misset_deg[{i}]" for i in range(3)]
    assert names("crystal.domain_weight") == [f"crystal.domain_weight[{i}]" for i in range(4)]
    assert names("detector.centre") == ["detector.Xbeam_mm", "detector.Ybeam_mm"]
    assert names("detector.shift_mm") == [f"detector.shift_mm[{i}]" for i in range(3)]
    matrix = RICH.replace(crystal=Crystal(structure_factors=F100, a_matrix=np.eye(3) / 70))
    assert names("crystal.a_matrix", matrix)[1] == "crystal.a_matrix[0,1]"
    sized = RICH.replace(size_mm=(None, 1e-4, None))
    assert names("crystal.N", sized) == ["crystal.N[0]", "crystal.N[2]"]
    sources = RICH.replace(beam=Beam(sources=LISTED))
    assert len(names("beam.sources.positions", sources)) == 9
    rectangular = RICH.replace(detector=SMALL.replace(pixel_mm=(0.1, 0.2)))
    assert names("detector.pixel_mm", rectangular) == ["detector.pixel_mm[0]", "detector.pixel_mm[1]"]


@pytest.mark.parametrize(
    ("cell", "free"),
    [
        ((70, 80, 90, 75, 85, 95), "a b c alpha beta gamma"),
        ((70, 80, 90, 90, 85, 90), "a b c beta"),
        ((70, 80, 90, 90, 85, 95), "a b c alpha beta gamma"),
        ((70, 80, 90, 90, 90, 90), "a b c"),
        ((79.3, 79.3, 37.8, 90, 90, 90), "a=b c"),
        ((37.8, 79.3, 79.3, 90, 90, 90), "a b=c"),
        ((79, 79, 79, 90, 90, 90), "a=b=c"),
        ((79, 79, 37, 90, 90, 120), "a=b c"),
        ((79, 78, 37, 90, 90, 120), "a b c gamma"),
        ((79, 79, 79, 80, 80, 80), "a=b=c alpha=beta=gamma"),
    ],
)
def test_a_cell_opens_by_its_lattice_system(cell: Any, free: str) -> None:
    setup = RICH.replace(cell=cell)
    found = expand(["crystal.cell"], setup)
    assert [p.name for p in found] == [f"crystal.cell.{each}" for each in free.split()]
    assert [[place.element[0] for place in p.moves] for p in found] == [
        [CELL.index(each) for each in tie.split("=")] for tie in free.split()
    ]


def test_what_is_tied_moves_together() -> None:
    setup = RICH.replace(cell=(79.3, 79.3, 37.8, 90, 90, 90))
    tied, a, b = expand(["crystal.cell.a=b"], setup) + expand(["crystal.cell.a", "crystal.cell.b"], setup)
    moves = [tangent.crystals[0] for tangent in tangents(setup, [tied, a, b])[0]]
    whole, one, two = (m.cell for m in moves if m is not None)
    assert whole is not None and one is not None and two is not None
    assert np.abs(whole - one - two).max() < 1e-15 * np.abs(whole).max()
    for key in (tied, "crystal.cell.a=b"):
        assert moved(setup, {key: 80.0}).crystal.cell == (80, 80, 37.8, 90, 90, 90)
    assert moved(setup, {"crystal.cell.a": 80.0}).crystal.cell == (80, 79.3, 37.8, 90, 90, 90)


def test_several_crystals_and_panels() -> None:
    two = Sample([CRYSTAL, CRYSTAL.replace(N=9, misset_deg=(1, 2, 3))], weights=[1, 0.3])
    panels = Detector(panels=[PANEL, PANEL.replace(origin_mm=(5, -5, 80))], convention="dials")
    setup = setup_of(two, None, panels, physics="exact")
    wanted = [
        "sample.crystals[1].cell.a",
        "sample.crystals[0].orientation",
        "sample.weights",
        "crystal.phi_deg",
    ]
    found = expand(wanted, setup)
    assert [p.name for p in found] == [
        "sample.crystals[1].cell.a",
        *(f"sample.crystals[0].rotation_deg[{i}]" for i in range(3)),
        "sample.weights[0]", "sample.weights[1]", "crystal.phi_deg",
    ]  # fmt: skip
    lists, frames = tangents(setup, found)
    assert len(frames) == 2
    assert [[c is not None for c in t.crystals] for t in lists] == [
        [False, True], *[[True, False]] * 3, [True, False], [False, True], [True, True]
    ]  # fmt: skip
    assert moved(setup, {"crystal.phi_deg": 4.0}).sample.crystals[1].phi_deg == 4.0
    assert moved(setup, {"sample.crystals[1].N[2]": 8.5}).sample.crystals[1].N == (9, 9, 8.5)
    assert moved(setup, {"sample.weights[0]": 2.0}).sample.weights == (2.0, 0.3)
    back = moved(setup, {"detector.panels[1].origin_mm[2]": 81.0})
    assert [panel.origin_mm[2] for panel in back.detector.panels] == [90, 81]
    assert names("scene.panels[1].pix0", setup) == [f"scene.panels[1].pix0[{i}]" for i in range(3)]
    (second,) = tangents(setup, expand(["scene.crystals[1].fudge"], setup))[0]
    assert second.crystals[0] is None and second.crystals[1] is not None
    for name, said in (
        ("crystal.N", r"2 crystals; write sample\.crystals\[0\]\.N"),
        ("sample.crystals[2].N", "no crystal 2; 2 are counted from 0"),
        ("sample.crystals[0].phi_deg", r"turn together; write crystal\.phi_deg"),
        ("detector.panels.origin_mm", r"2 panels; write detector\.panels\[0\]"),
        ("detector.panels[5].origin_mm", "no panel 5"),
        ("detector.centre", r"its panels say .* detector\.shift_mm"),
        ("scene.pix0", r"2 panels; write scene\.panels\[0\]\.pix0"),
        ("scene.orientations", r"2 crystals; write scene\.crystals\[0\]\.orientations"),
        ("scene.panels[0].fudge", "unknown parameter"),
    ):
        with pytest.raises(InputError, match=said):
            expand([name], setup)


# ---- refused -----------------------------------------------------------------------------------------------

POLAR_ALONG = Beam(beam_vector=(1, 0, 0), polar_vector=(1, 0, 0))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crystal.mosaic_spred_deg", "unknown parameter .*did you mean 'crystal.mosaic_spread_deg'"),
        ("distance_mm", "did you mean 'detector.distance_mm'"),
        ("detector.distance", "did you mean 'detector.distance_mm'"),
        ("crystal.cell.delta", "unknown parameter .* did you mean 'crystal.cell"),
        ("scene.orientation", "did you mean 'scene.orientations'"),
        ("crystal", "unknown parameter"),
        ("crystal.phisteps", "is no parameter: counts, seeds"),
        ("crystal.shape", "is no parameter"),
        ("detector.convention", "is no parameter"),
        ("sampling.oversample", "is no parameter"),
        ("crystal.N[3]", r"out of range; 0 to 2 was expected"),
        ("crystal.N[-1]", r"out of range"),
        ("crystal.a_matrix[0]", "a_matrix is not set"),
        ("crystal.misset_deg[0,1]", r"crystal.misset_deg\[i\] was expected"),
        ("crystal.fudge[0]", "crystal.fudge was expected"),
        ("crystal.cell[0]", "elements of the cell are a, b, c"),
        ("crystal.N[a]", "whole numbers"),
        ("crystal.[0]", "no name of a parameter"),
        ("crystal.N[0].x", "an index belongs to the end"),
        ("crystal.fudge=b", "unknown parameter"),
        ("crystal.cell.a=N", "no name of a parameter"),
        ("crystal.cell.a=q", "unknown parameter"),
        ("detector.Xclose_mm", "detector.Xclose_mm is not set"),
        ("detector.close_distance_mm", "is not set"),
        ("beam.sources.positions[0,0]", "beam.sources is not set"),
        ("beam.flux", "take beam.fluence"),
        ("crystal.phistep_deg", "is not set"),
        ("crystal.structure_factors", r"one by one, crystal.structure_factors\[h,k,l\]"),
        ("crystal.structure_factors[1,0,0]", r"outside the list's box \(h -1 to 0, k -2 to 0, l 0 to 3\)"),
        ("scene.F_table[9,0,0]", "outside the list's box"),
        ("scene.N[7]", "out of range"),
    ],
)
def test_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        expand([name], RICH)


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"mosaic_spread_deg": 0}, "crystal.mosaic_spread_deg", "collapsed to one point: give a small value"),
        ({"mosaic_spread_deg": None}, "crystal.mosaic_spread_deg", "is not set"),
        ({"osc_deg": 0}, "crystal.osc_deg", "collapsed"),
        ({"hdivrange_mrad": 0}, "beam.hdivrange_mrad", "collapsed"),
        ({"vdivrange_mrad": 0}, "beam.vdivrange_mrad", "collapsed"),
        ({"dispersion_pct": 0}, "beam.dispersion_pct", "collapsed"),
        ({"dispersion_pct": None}, "beam.dispersion_pct", "is not set"),
        ({"thickness_um": 0}, "detector.thickness_um", "thickness_um 0"),
        ({"thickness_um": 0}, "detector.attenuation_um", "thickness_um 0"),
        ({"thickness_um": 0}, "scene.mu", "captures all"),
        ({"attenuation_um": math.inf}, "detector.attenuation_um", "does not absorb"),
        ({"attenuation_um": None}, "detector.attenuation_um", "is not set"),
        ({"size_mm": (None, 1e-4, None)}, "crystal.N[1]", "size_mm decides"),
        ({"size_mm": (1e-4, 1e-4, 1e-4)}, "crystal.N", "size_mm decides"),
        ({}, "crystal.blocks", "not set"),
        ({"close_distance_mm": 90}, "detector.distance_mm", "close_distance_mm decides"),
        ({"distance_mm": None}, "detector.distance_mm", "is not set"),
        ({"phistep_deg": 0}, "crystal.phistep_deg", "counts as not given"),
        ({"beam": POLAR_ALONG}, "beam.polarization", "parallel to beam_vector"),
        ({"beam": POLAR_ALONG}, "beam.polarization_azimuth_deg", "parallel"),
        ({"beam": POLAR_ALONG}, "scene.polar_vector[0]", "parallel"),
        ({"physics": "nanobragg", "beam": Beam(sources=LISTED)}, "beam.sources.weights[0]", "'exact' only"),
        ({"beam": Beam(sources=SourceList(LISTED.positions))}, "beam.sources.wavelengths_A[0]", "not set"),
        ({}, "beam.spectrum.weights[0]", "not set"),
        ({"crystal": CRYSTAL}, "crystal.structure_factors[0,0,0]", "not set"),
        ({"crystal": CRYSTAL}, "scene.F_table[0,0,0]", "no list"),
        (
            {"crystal": Crystal(structure_factors=F100, a_matrix=np.eye(3) / 70)},
            "crystal.cell",
            "a_matrix gives",
        ),
        ({"detector": SMALL.replace(pixel_mm=(0.1, 0.2))}, "scene.pixel_size", "square pixels"),
        ({"shape": "tophat"}, "crystal.cell.a", "'tophat' follows in steps"),
        ({"shape": "tophat"}, "detector.centre", "'tophat'"),
        ({"shape": "tophat"}, "beam.wavelength_A", "'tophat'"),
        ({"shape": "tophat"}, "crystal.fudge", "'tophat'"),
        ({"shape": "tophat"}, "scene.pix0[0]", "'tophat'"),
    ],
)
def test_refused_of_a_set_up(changes: dict[str, Any], name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        expand([name], RICH.replace(**changes))


def test_top_hats_have_some_derivatives() -> None:
    setup = RICH.replace(shape="tophat")
    wanted = ["crystal.N", "crystal.domain_weight", "beam.fluence", "beam.polarization", "sample.weights",
              "crystal.structure_factors[0,0,1]", "sampling.water_um"]  # fmt: skip
    assert len(expand(wanted, setup)) == 3 + 4 + 5
    assert len(expand(["crystal.cell"], setup, steps=True)) == 6


def test_named_twice() -> None:
    for pair in (["crystal.N", "crystal.N[1]"], ["crystal.cell.a", "crystal.cell.a=b"], ["beam.fluence"] * 2):
        with pytest.raises(InputError, match="name one of them"):
            expand(pair, RICH)
    with pytest.raises(
        InputError, match=r"beam\.wavelength_A is the mean that beam\.spectrum\.weights moves"
    ):
        expand(["beam.wavelength_A", "beam.spectrum.weights"], SPECTRA)
    flux = RICH.replace(flux=1e12)
    with pytest.raises(InputError, match=r"beam.fluence takes the place of beam.flux"):
        expand(["beam.fluence", "beam.flux"], flux)
    with pytest.raises(InputError, match="list of names"):
        expand("crystal.N", RICH)
    with pytest.raises(InputError, match="named by a string"):
        expand([3], RICH)  # type: ignore[list-item]


def test_nothing_is_warned_of_again() -> None:
    setup = RICH.replace(physics="nanobragg")
    with warnings.catch_warnings():
        warnings.simplefilter("error", NbraggWarning)
        found = expand(["crystal.cell", "detector.centre", "beam.wavelength_A"], setup)
        tangents(setup, found)
        changed = moved(setup, {found[0]: 71.0})
    with pytest.warns(NbraggWarning):
        nbragg.build_scene(changed)


# ---- the beam centre ---------------------------------------------------------------------------------------


def _detectors() -> list[Any]:
    beam, near, origin = (
        {"Xbeam_mm": 0.6, "Ybeam_mm": 0.9},
        {"Xclose_mm": 0.5, "Yclose_mm": 0.4},
        {"ORGX": 7, "ORGY": 6.5},
    )
    given = [{}, beam, near, origin, beam | near, near | origin, beam | origin, beam | near | origin,
             {"Xbeam_mm": 0.6, "ORGY": 6.5}]  # fmt: skip
    conventions = ("mosflm", "xds", "adxv", "denzo", "dials", "custom")
    return list(itertools.product(conventions, (None, "beam", "sample"), given, ("exact", "nanobragg")))


@pytest.mark.parametrize(("convention", "pivot", "given", "physics"), _detectors())
def test_the_centre_is_what_is_in_force(convention: str, pivot: Any, given: Any, physics: str) -> None:
    """Said or moved: what the group names places the detector, and its value is where it stands."""
    detector = Detector(
        fpixels=16, spixels=12, distance_mm=100, convention=convention, pivot=pivot, roty_deg=4,
        twotheta_deg=3,
        **given,
    )  # fmt: skip
    setup = setup_of(CRYSTAL, None, detector, physics=physics)
    found = expand(["detector.centre"], setup)
    before = nbragg.build_scene(setup)
    said = nbragg.build_scene(moved(setup, {p: p.value for p in found}))
    assert np.abs(said.panel.pix0 - before.panel.pix0).max() < 1e-16
    directions = []
    for tangent, parameter in zip(tangents(setup, found)[0], found, strict=True):
        assert tangent.panels[0] is not None and tangent.panels[0].pix0 is not None
        unit_length = 1e-4 if parameter.name.startswith("detector.ORG") else 1e-3
        directions.append(tangent.panels[0].pix0 / unit_length)
    products = np.array(directions) @ np.array(directions).T
    assert np.abs(products - np.eye(2)).max() < 1e-12
    assert np.abs(np.array(directions) @ before.panel.odet).max() < 1e-12


# ---- against differences -----------------------------------------------------------------------------------

#: of the first derivative, eighth order
_WEIGHTS = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}

MATRIX = RICH.replace(
    crystal=RICH.crystal.replace(cell=None, a_matrix=axis_rotation(unit([1.0, 2, 3]), 0.6) / (70, 80, 90))
)
SOURCES = RICH.replace(beam=Beam(sources=LISTED, polarization=0.9, flux=1e12))
CUSTOM = RICH.replace(
    detector=RICH.detector.replace(fdet_vector=(0.1, 0, 1), sdet_vector=(0, -1, 0), twotheta_deg=0, ORGX=7),
    crystal=RICH.crystal.replace(
        shape="round", misset_deg="random", misset_seed=5, phistep_deg=0.4, phisteps=None
    ),
)
CURVED = RICH.replace(detector=SMALL.replace(curved=True, roty_deg=5, close_distance_mm=70, pixel_mm=0.2))
STEPPED = RICH.replace(beam=Beam(hdivstep_mrad=1.1, vdivrange_mrad=3, vdivstep_mrad=0.7, round_div=False))
EXPLICIT = RICH.replace(
    detector=Detector(
        panels=[PANEL.replace(thickness_um=300, attenuation_um=200), PANEL.replace(first=(9, 0))],
        convention="dials",
    )
)
SPECTRUM = Spectrum([9000, 9450, 9900], [1, 2, 0.5])
SPECTRA = RICH.replace(
    beam=RICH.beam.replace(
        spectrum=SPECTRUM,
        dispersion_pct=None,
        dispersion_steps=None,
        hdivrange_mrad=0.3,
        divergence_profile="gauss",
        vdivrange_mrad=0.4,
    )
)
#: structure factors between whose energies those of the beam lie
BY_ENERGY = SPECTRA.replace(
    structure_factors=LIST.replace(
        values=None, energies_eV=[8000, 9200, 10500],
        tables=np.stack([LIST.values, 2 * LIST.values, 1.2 * LIST.values]),
    )
)  # fmt: skip
EVERYTHING = {
    "spectrum": (SPECTRA, ["beam.spectrum.weights", "beam.spectrum.energies_eV", "beam.wavelength_A",
        "beam.hdivrange_mrad", "beam.vdivrange_mrad", "crystal.cell.a"]),
    "by energy": (BY_ENERGY, ["beam.spectrum.weights", "beam.spectrum.energies_eV", "beam.wavelength_A"]),
    "rich": (RICH, ["crystal.cell", "crystal.misset_deg", "crystal.orientation", "crystal.N", "crystal.fudge",
        "crystal.illuminated_volume_um3",
        "crystal.mosaic_spread_deg", "crystal.phi_deg", "crystal.osc_deg", "beam.wavelength_A",
        "beam.dispersion_pct",
        "beam.hdivrange_mrad", "beam.vdivrange_mrad", "beam.polarization", "beam.polarization_azimuth_deg",
        "beam.fluence", "detector.distance_mm", "detector.centre", "detector.rotx_deg", "detector.roty_deg",
        "detector.rotz_deg", "detector.twotheta_deg", "detector.shift_mm", "detector.pixel_mm",
        "detector.thickness_um", "detector.attenuation_um", "sampling.water_um"]),
    "nanobragg": (RICH.replace(physics="nanobragg"), ["crystal.cell", "crystal.N", "crystal.phi_deg",
        "crystal.osc_deg", "crystal.orientation", "detector.rotx_deg",
        "detector.twotheta_deg", "detector.thickness_um"]),
    "matrix": (MATRIX, ["crystal.a_matrix", "crystal.misset_deg", "crystal.orientation"]),
    "matrix with cell": (MATRIX.replace(cell=(71, 81, 91, 89, 91, 92), physics="nanobragg"),
        ["crystal.a_matrix", "crystal.cell.a", "crystal.cell.gamma"]),
    "sources": (SOURCES, ["beam.sources.positions", "beam.sources.weights", "beam.sources.wavelengths_A",
        "beam.flux", "beam.exposure_s", "beam.beamsize_mm"]),
    "custom": (CUSTOM, ["crystal.misset_deg", "crystal.phistep_deg", "crystal.N", "detector.twotheta_deg",
        "detector.centre", "detector.distance_mm", "detector.ORGX"]),
    "curved": (CURVED, ["detector.close_distance_mm", "detector.roty_deg", "detector.pixel_mm"]),
    "stepped": (STEPPED, ["beam.hdivstep_mrad", "beam.vdivrange_mrad", "beam.vdivstep_mrad"]),
    "panels": (EXPLICIT, ["detector.panels[0].origin_mm", "detector.panels[1].pixel_mm", "detector.shift_mm",
        "detector.panels[0].thickness_um", "detector.panels[0].attenuation_um"]),
}  # fmt: skip


def numbers(scene: Scene) -> dict[str, npt.NDArray[np.float64]]:
    """What a tangent has of a Scene, by its names."""
    found: dict[str, Any] = {
        "source_incident": scene.sources.incident, "source_wavelength": scene.sources.wavelength,
        "source_weight": scene.sources.weight, "polarization": scene.polarization, "fluence": scene.fluence,
        "polar_vector": scene.polar_vector, "water": scene.water,
    }  # fmt: skip
    for i, panel in enumerate(scene.panels):
        fields = (
            "pix0",
            "fdet",
            "sdet",
            "odet",
            "beam",
            "pixel",
            "layer_step",
            "mu",
            "close_distance",
            "distance",
        )
        found |= {f"panel {i} {name}": getattr(panel, name) for name in fields}
    for i, block in enumerate(scene.crystals):
        for name in ("orientations", "N", "shape_metric", "fudge", "weight"):
            found[f"crystal {i} {name}"] = getattr(block, name)
    return {name: np.array(value, float) for name, value in found.items()}


def rates(tangent: SceneTangent, frames: Any, scene: Scene) -> dict[str, npt.NDArray[np.float64]]:
    """The same of a tangent, with zeros written out and the orientations put together."""
    names = (
        "source_incident",
        "source_wavelength",
        "source_weight",
        "polarization",
        "fluence",
        "polar_vector",
        "water",
    )
    found: dict[str, Any] = {name: getattr(tangent, name) for name in names}
    for i, panel in enumerate(tangent.panels):
        fields = (
            "pix0",
            "fdet",
            "sdet",
            "odet",
            "beam",
            "pixel",
            "layer_step",
            "mu",
            "close_distance",
            "distance",
        )
        found |= {f"panel {i} {name}": getattr(panel, name, None) for name in fields}
    for i, (part, frame) in enumerate(zip(tangent.crystals, frames, strict=True)):
        for name in ("N", "shape_metric", "fudge", "weight"):
            found[f"crystal {i} {name}"] = getattr(part, name, None)
        moves = np.zeros_like(scene.crystals[i].orientations)
        if part is not None and part.cell is not None:
            moves += part.cell @ frame.rotations.swapaxes(1, 2)
        if part is not None and part.turn is not None:
            moves += np.cross(part.turn[:, np.newaxis], scene.crystals[i].orientations)
        found[f"crystal {i} orientations"] = moves
    plain = numbers(scene)
    return {
        name: np.zeros_like(plain[name]) if value is None else np.asarray(value, float)
        for name, value in found.items()
    }


@pytest.mark.parametrize("case", EVERYTHING)
def test_against_differences(case: str) -> None:
    """Of the front end's own arithmetic, eighth order: every field of the Scene, moving and at rest."""
    setup, wanted = EVERYTHING[case]
    flat = [each for name in wanted for each in expand([name], setup)]
    scene = nbragg.build_scene(setup)
    for parameter in flat:
        (tangent,), frames = tangents(setup, [parameter])
        found = rates(tangent, frames, scene)
        step = 2e-3 * (abs(parameter.value) or 1.0)
        differences: dict[str, Any] = dict.fromkeys(found, 0.0)
        for k, weight in _WEIGHTS.items():
            for sign in (1, -1):
                at = numbers(nbragg.build_scene(moved(setup, {parameter: parameter.value + sign * k * step})))
                for name in found:
                    differences[name] = differences[name] + sign * weight / step * at[name]
        for name, value in numbers(scene).items():
            # a difference of numbers of this size is known to the rounding of theirs over the step
            noise = 2e-14 * np.abs(value).max() / step
            size = max(float(np.abs(found[name]).max()), noise)
            assert np.abs(found[name] - differences[name]).max() <= 1e-11 * size + noise, (
                parameter.name,
                name,
            )


# ---- moving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", EVERYTHING)
def test_moved_there_and_back(case: str) -> None:
    setup, wanted = EVERYTHING[case]
    for parameter in (each for name in wanted for each in expand([name], setup)):
        if parameter.name.startswith("beam.spectrum.weights"):
            continue  # whose sum stays 1: test_spectrum_sources.py
        there = moved(setup, {parameter: parameter.value * 1.001 + 1e-4})
        assert there != setup
        (again,) = expand([parameter.name], there)
        assert again.value == parameter.value * 1.001 + 1e-4
        back = moved(there, {parameter.name: parameter.value})
        for name, value in numbers(nbragg.build_scene(back)).items():
            before = numbers(nbragg.build_scene(setup))[name]
            assert np.abs(value - before).max() <= 1e-14 * np.abs(before).max(), (parameter.name, name)


def test_moved_together_and_checked() -> None:
    values: dict[str, float] = {
        "crystal.cell.alpha": 100.0, "crystal.cell.beta": 110.0, "crystal.N[0]": 8.25,
        "crystal.structure_factors[0,0,1]": 7.0, "crystal.structure_factors[-1,0,1]": 8.0,
    }  # fmt: skip
    changed = moved(RICH, values)
    assert changed.crystal.cell == (70.0, 80.0, 90.0, 100.0, 110.0, 95.0)
    assert repr(changed.crystal.N) == "(8.25, 6.5, 7)"
    listed = changed.crystal.structure_factors.values
    assert listed is not None and (listed[1, 2, 1], listed[0, 2, 1]) == (7.0, 8.0)
    assert RICH.crystal.structure_factors.values is not None
    assert np.count_nonzero(listed != RICH.crystal.structure_factors.values) == 2
    whole = moved(RICH, {"crystal.N[1]": 6.0}).crystal.N
    assert repr(whole) == "(5, 6, 7)"
    for values, said in (
        ({"crystal.N[0]": 0.5}, "at least 1"),
        ({"beam.polarization": 2.0}, "at most 1"),
        ({"crystal.cell.alpha": 5.0}, "cannot form a cell"),
        ({"detector.distance_mm": -1.0}, "above 0"),
        ({"detector.distance_mm": math.nan}, "finite"),
        ({"crystal.cell": 3.0}, "stands for 6 parameters"),
        ({"scene.fluence": 3.0}, "belongs to the Scene"),
        ({"crystal.fluff": 3.0}, "unknown parameter"),
    ):
        with pytest.raises(InputError, match=said):
            moved(RICH, values)


def test_moved_sets_what_was_not_set() -> None:
    assert moved(RICH, {"detector.close_distance_mm": 80.0}).detector.close_distance_mm == 80.0
    assert moved(RICH, {"crystal.phistep_deg": 0.3}).crystal.phistep_deg == 0.3
    drawn = RICH.replace(misset_deg="random", misset_seed=5)
    angles = [parameter.value for parameter in expand(["crystal.misset_deg"], drawn)]
    assert moved(drawn, {"crystal.misset_deg[0]": 1.0}).crystal.misset_deg == (1.0, *angles[1:])
    flux = RICH.replace(flux=1e12)
    assert (
        moved(flux, {"beam.fluence": 3e27}).beam.fluence,
        moved(flux, {"beam.fluence": 3e27}).beam.flux,
    ) == (3e27, 0)


def test_a_pivot_that_hangs_on_twotheta_stays() -> None:
    detector = SMALL.replace(fdet_vector=(0, 0, 1), roty_deg=10)
    setup = setup_of(CRYSTAL, None, detector, physics="exact")
    assert nbragg.build_scene(setup).placement.panel.pivot == "beam"
    assert nbragg.build_scene(setup.replace(twotheta_deg=1)).placement.panel.pivot == "sample"
    there = moved(setup, {"detector.twotheta_deg": 1.0})
    assert nbragg.build_scene(there).placement.panel.pivot == "beam"


def test_folded() -> None:
    for setup in (RICH, CUSTOM, MATRIX, RICH.replace(crystal=RICH.crystal.with_orientation(np.eye(3)))):
        turned = setup.replace(rotation_deg=(20, -30, 40))
        plain = folded(turned)
        assert not any(plain.crystal.rotation_deg)
        assert plain.crystal.orientation is not None
        before, after = (nbragg.build_scene(s).crystal.orientations for s in (turned, plain))
        assert np.abs(before - after).max() < 1e-14 * np.abs(before).max()
    assert folded(CURVED.replace(rotation_deg=(0, 0, 0))).crystal.misset_deg == (10, 20, 30)


def test_parameters_are_keys() -> None:
    assert {Parameter("a", "A", 1.0, ()), Parameter("a", "A", 1.0, ())} == {Parameter("a", "A", 1.0, ())}
