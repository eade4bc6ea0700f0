"""How the Scene moves with parameters, against the closed forms of gradients 5.2 to 5.4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from parts import setup_of

from nbragg import Beam, Crystal, Detector, Panel, Sampling, Setup, SourceList, StructureFactors
from nbragg._engine import RandomStream
from nbragg.base.vectors import axis_rotation, rot_axis, rot_xyz, unit
from nbragg.scene.build import build_scene
from nbragg.scene.parameters import expand, tangents
from nbragg.scene.record import Scene
from nbragg.scene.tangent import CrystalTangent, Frame, PanelTangent, SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.NbraggWarning")

DEGREE = math.pi / 180
F100 = StructureFactors.constant(100)
CRYSTAL = Crystal(structure_factors=F100, cell=(70, 80, 90, 75, 85, 95), N=(5, 6, 7), misset_deg=(10, 20, 30))
SMALL = Detector(fpixels=16, spixels=12, distance_mm=100, Xbeam_mm=0.7, Ybeam_mm=0.9)
PHYSICS = ("exact", "nanobragg")


def one(setup: Setup, name: str) -> tuple[SceneTangent, Scene, tuple[Frame, ...]]:
    found, frames = tangents(setup, expand([name], setup))
    return found[0], build_scene(setup), frames


def crystal_of(setup: Setup, name: str) -> tuple[CrystalTangent, Scene, Frame]:
    tangent, scene, frames = one(setup, name)
    assert tangent.crystals[0] is not None
    return tangent.crystals[0], scene, frames[0]


def panel_of(setup: Setup, name: str) -> tuple[PanelTangent, Scene]:
    tangent, scene, _ = one(setup, name)
    assert tangent.panels[0] is not None
    return tangent.panels[0], scene


def close(found: Any, expected: npt.ArrayLike, scale: float = 0.0) -> None:
    """To 1e-14 of the largest number, or of a given scale; what does not move is None."""
    expected = np.asarray(expected)
    found = np.zeros(expected.shape) if found is None and scale > 0 else found
    size = max(float(np.abs(expected).max()), scale)
    assert size > 0
    assert np.abs(np.asarray(found) - expected).max() <= 1e-14 * size


# ---- crystal -----------------------------------------------------------------------------------------------

TURNING = CRYSTAL.replace(
    phi_deg=3, osc_deg=1.5, phisteps=3, mosaic_spread_deg=0.4, mosaic_domains=4, spindle_axis=(0.1, 0.2, 1)
)


@pytest.mark.parametrize("physics", PHYSICS)
def test_the_frame_makes_the_orientations(physics: str) -> None:
    setup = setup_of(TURNING.replace(rotation_deg=(1, -2, 3)), physics=physics)
    _, scene, frame = crystal_of(setup, "crystal.rotation_deg[0]")
    made = frame.cell @ frame.rotations.swapaxes(1, 2)
    assert np.abs(made - scene.crystal.orientations).max() < 1e-15 * np.abs(made).max()
    assert frame.rotations.shape == (12, 3, 3)


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("axis", range(3))
def test_rotation_vector_at_zero(physics: str, axis: int) -> None:
    setup = setup_of(TURNING, physics=physics)
    found, _, frame = crystal_of(setup, f"crystal.rotation_deg[{axis}]")
    close(found.cell, DEGREE * np.cross(np.eye(3)[axis], frame.cell))
    assert found.turn is None
    assert found.orientations is None


@pytest.mark.parametrize("axis", range(3))
def test_misset_angles(axis: int) -> None:
    """R_z R_y R_x: the rate of an angle is its axis, turned by those after it."""
    found, _, frame = crystal_of(setup_of(CRYSTAL), f"crystal.misset_deg[{axis}]")
    x, y, z = (DEGREE * a for a in (10, 20, 30))
    rates = (
        rot_xyz([1.0, 0, 0], 0, y, z),
        rot_xyz([0.0, 1, 0], 0, 0, z),
        np.array([0.0, 0, 1]),
    )
    assert x > 0
    close(found.cell, DEGREE * np.cross(rates[axis], frame.cell))


@pytest.mark.parametrize("physics", PHYSICS)
def test_drawn_misset_is_its_angles(physics: str) -> None:
    """A drawn orientation, or a matrix, is turned about laboratory z by the last of its angles."""
    for crystal in (
        CRYSTAL.replace(misset_deg="random", misset_seed=77),
        CRYSTAL.with_orientation(axis_rotation(unit([1.0, 2, 3]), 0.7)),
    ):
        found, scene, frame = crystal_of(setup_of(crystal, physics=physics), "crystal.misset_deg[2]")
        close(found.cell, DEGREE * np.cross([0, 0, 1], frame.cell))
        close(frame.cell, scene.crystal.orientations[0])


@pytest.mark.parametrize("physics", PHYSICS)
def test_phi_and_range(physics: str) -> None:
    setup = setup_of(TURNING, physics=physics)
    spindle = unit([0.1, 0.2, 1])
    domains = build_scene(setup).placement.crystal.mosaic_rotations
    axes = np.tile(domains @ spindle, (3, 1))
    step = np.repeat(np.arange(3), 4)[:, np.newaxis] + (0.5 if physics == "exact" else 0.0)
    close(crystal_of(setup, "crystal.phi_deg")[0].turn, DEGREE * axes)
    close(crystal_of(setup, "crystal.osc_deg")[0].turn, DEGREE * step / 3 * axes)


def test_range_that_decides_no_step() -> None:
    """With a step the range decides only how many there are: a count, held."""
    setup = setup_of(CRYSTAL.replace(osc_deg=2, phistep_deg=0.6))
    found, frames = tangents(setup, expand(["crystal.osc_deg", "crystal.phistep_deg"], setup))
    assert found[0].crystals == (None,)
    assert found[1].crystals[0] is not None
    close(found[1].crystals[0].turn, DEGREE * np.arange(4)[:, np.newaxis] * [0, 0, 1])
    assert len(frames[0].rotations) == 4


def test_spread_in_a_cap() -> None:
    """The float32 angle is a staircase; it moves as spread times the power of canonical 9.2."""
    setup = setup_of(TURNING)
    found, _, _ = crystal_of(setup, "crystal.mosaic_spread_deg")
    stream = RandomStream(TURNING.mosaic_seed)
    rates = []
    for _ in range(4):
        r1, r2, r3 = (2.0 * stream.uniform() - 1.0 for _ in range(3))
        ring = math.sqrt(1.0 - r2 * r2)
        axis = np.array([ring * math.sin(math.pi * r1), ring * math.cos(math.pi * r1), r2])
        rates.append((1.0 - r3 * r3) ** (1 / 3) * axis)
    rates[0] = np.zeros(3)
    assert found.turn is not None
    # the power itself is of single precision
    assert np.abs(found.turn - DEGREE * np.tile(rates, (3, 1))).max() < 1e-7 * DEGREE


def test_spread_of_gaussian_rotations() -> None:
    """Exact: the angle is the spread times a normal deviate, about the drawn axis."""
    setup = setup_of(TURNING, physics="exact")
    found, scene, _ = crystal_of(setup, "crystal.mosaic_spread_deg")
    turns = scene.placement.crystal.mosaic_rotations
    # the rotation vector is proportional to the spread
    sines = 0.5 * np.stack(
        [turns[:, 2, 1] - turns[:, 1, 2], turns[:, 0, 2] - turns[:, 2, 0], turns[:, 1, 0] - turns[:, 0, 1]], 1
    )
    size = np.linalg.norm(sines, axis=1, keepdims=True)
    vectors = np.where(size > 0, sines * np.arcsin(size) / np.where(size > 0, size, 1), 0)
    assert found.turn is not None
    assert np.abs(found.turn - np.tile(vectors, (3, 1)) / 0.4).max() < 1e-10 * DEGREE


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize(("i", "j"), [(0, 0), (2, 1), (1, 2)])
def test_a_matrix(physics: str, i: int, j: int) -> None:
    """A' = -A G'^T A, misset and rotation applied to A after it."""
    matrix = build_scene(setup_of(CRYSTAL, physics="exact")).placement.crystal.unit_cell.reciprocal_vectors.T
    crystal = Crystal(structure_factors=F100, a_matrix=matrix, N=5, misset_deg=(4, 5, 6))
    found, _, frame = crystal_of(setup_of(crystal, physics=physics), f"crystal.a_matrix[{i},{j}]")
    plain = np.linalg.inv(matrix)
    moves = np.zeros((3, 3))
    moves[i, j] = 1.0
    expected = rot_xyz(-plain @ moves @ plain, *(DEGREE * x for x in (4, 5, 6))) * 1e-10
    close(found.cell, expected, scale=float(np.abs(frame.cell).max()))
    assert found.cell is not None
    assert np.abs(found.cell - expected).max() < 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("edge", range(3))
def test_cell_edges(physics: str, edge: int) -> None:
    """With a true cell an edge stretches its own axis alone."""
    crystal = CRYSTAL.replace(cell=(70, 80, 90, 90, 95, 90) if physics == "nanobragg" else CRYSTAL.cell)
    found, _, frame = crystal_of(setup_of(crystal, physics=physics), f"crystal.cell.{'abc'[edge]}")
    expected = np.zeros((3, 3))
    assert crystal.cell is not None
    expected[edge] = frame.cell[edge] / crystal.cell[edge]
    close(found.cell, expected, scale=1e-10)


def test_cell_angle_by_the_metric() -> None:
    """a.b = a b cos(gamma) and so on: the metric of the moved cell is the metric's derivative."""
    cell = CRYSTAL.cell
    assert cell is not None
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        name = f"crystal.cell.{('alpha', 'beta', 'gamma')[k]}"
        found, _, frame = crystal_of(setup_of(CRYSTAL, physics="exact"), name)
        assert found.cell is not None
        metric = found.cell @ frame.cell.T + frame.cell @ found.cell.T
        expected = np.zeros((3, 3))
        expected[i, j] = expected[j, i] = -cell[i] * cell[j] * 1e-20 * math.sin(cell[3 + k] * DEGREE) * DEGREE
        assert np.abs(metric - expected).max() < 1e-13 * np.abs(frame.cell).max() ** 2


@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat"])
@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("r", range(3))
def test_cells(shape: str, physics: str, r: int) -> None:
    found, scene, _ = crystal_of(setup_of(CRYSTAL.replace(shape=shape), physics=physics), f"crystal.N[{r}]")
    close(found.N, np.eye(3)[r])
    if physics == "nanobragg" and shape in ("gauss", "tophat"):
        expected = 2.0 / (5, 6, 7)[r] * scene.crystal.shape_metric
    else:
        expected = np.diag(np.eye(3)[r] * 2 * (5, 6, 7)[r])
    close(found.shape_metric, expected)


def test_domains_and_weights() -> None:
    setup = setup_of(TURNING)
    found, _, _ = crystal_of(setup, "crystal.domain_weight[2]")
    assert found.orientation_weights is not None
    assert found.orientation_weights.tolist() == [0, 0, 1, 0] * 3
    assert found.weight == 0.0
    assert crystal_of(setup, "crystal.fudge")[0].fudge == 1.0
    assert crystal_of(setup, "sample.weights[0]")[0].weight == 1.0
    halved = setup.replace(domain_weight=(0.5, 0.5, 0.5, 0.5))
    assert crystal_of(halved, "sample.weights[0]")[0].weight == 0.5


# ---- structure factors -------------------------------------------------------------------------------------


def test_structure_factors() -> None:
    factors = StructureFactors(values=np.arange(24.0).reshape(2, 3, 4) + 1, origin=(-1, -2, 0), default_F=3)
    setup = setup_of(CRYSTAL.replace(structure_factors=factors))
    names = [
        "crystal.structure_factors[-1,0,2]",
        "crystal.structure_factors.default_F",
        "scene.F_table[0,-2,3]",
    ]
    found = expand(names, setup)
    assert [parameter.value for parameter in found] == [11.0, 3.0, 16.0]
    one, two, three = (tangent.tables[0] for tangent in tangents(setup, found)[0])
    assert one is not None and one.entries == {(-1, 0, 2): 1.0} and one.default_F == 0.0
    assert two is not None and two.entries is None and two.default_F == 1.0
    assert three is not None and three.entries == {(0, -2, 3): 1.0}


# ---- beam --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("physics", PHYSICS)
def test_divergence(physics: str) -> None:
    beam = Beam(hdivrange_mrad=4, hdivsteps=3, vdivrange_mrad=2, vdivsteps=4, round_div=False)
    setup = setup_of(CRYSTAL, beam, SMALL, physics=physics)
    incident = build_scene(setup).sources.incident
    direction, polar = np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
    vertical = unit(np.cross(direction, polar))
    h, v = np.repeat([-0.5, 0, 0.5], 4), np.tile(np.arange(4) / 3 - 0.5, 3)
    tangent = one(setup, "beam.hdivrange_mrad")[0]
    close(tangent.source_incident, 1e-3 * h[:, np.newaxis] * np.cross(vertical, incident))
    turned = rot_axis(np.broadcast_to(polar, (12, 3)), vertical, 4e-3 * h)
    tangent = one(setup, "beam.vdivrange_mrad")[0]
    close(tangent.source_incident, 1e-3 * v[:, np.newaxis] * np.cross(turned, incident))
    assert tangent.source_incident is not None
    assert np.abs((tangent.source_incident * incident).sum(axis=1)).max() < 1e-18


def test_spectrum() -> None:
    setup = setup_of(CRYSTAL, Beam(wavelength_A=1.5, dispersion_pct=3, dispersion_steps=5), SMALL)
    share = np.arange(5) / 4 - 0.5
    tangent = one(setup, "beam.dispersion_pct")[0]
    close(tangent.source_wavelength, 1.5e-12 * share)
    tangent = one(setup, "beam.wavelength_A")[0]
    close(tangent.source_wavelength, 1e-10 * (1 + 0.03 * share))
    assert tangent.crystals == (None,)


LISTED = SourceList(
    positions=[[-10, 0, 0.01], [-9, 0.02, 0], [-11, 0, 0]], weights=[1, 0.5, 2], wavelengths_A=[1, 1.1, 1.2]
)


def test_listed_sources() -> None:
    setup = setup_of(CRYSTAL, Beam(sources=LISTED), SMALL, physics="exact")
    y = LISTED.positions[1]
    length = np.linalg.norm(y)
    expected = np.zeros((3, 3))
    expected[1] = -(np.eye(3)[1] - y * y[1] / length**2) / length
    close(one(setup, "beam.sources.positions[1,1]")[0].source_incident, expected)
    weights = np.array([1, 0.5, 2])
    expected = 3 / 3.5 * (np.eye(3)[1] - weights / 3.5)
    close(one(setup, "beam.sources.weights[1]")[0].source_weight, expected)
    close(one(setup, "beam.sources.wavelengths_A[2]")[0].source_wavelength, [0, 0, 1e-10])
    assert one(setup, "beam.wavelength_A")[0].source_wavelength is None


@pytest.mark.parametrize("physics", PHYSICS)
def test_polarization(physics: str) -> None:
    beam = Beam(polarization_azimuth_deg=20, polar_vector=(0.1, 0.2, 1))
    setup = setup_of(CRYSTAL, beam, SMALL, physics=physics)
    assert one(setup, "beam.polarization")[0].polarization == 1.0
    tangent, scene, _ = one(setup, "beam.polarization_azimuth_deg")
    close(tangent.polar_vector, DEGREE * np.cross([1, 0, 0], scene.polar_vector))


def test_fluence() -> None:
    setup = setup_of(CRYSTAL, Beam(flux=1e12, exposure_s=0.1, beamsize_mm=0.02), SMALL)
    fluence = 1e12 * 0.1 / 2e-5**2
    for name, expected in (
        ("flux", fluence / 1e12),
        ("exposure_s", fluence / 0.1),
        ("beamsize_mm", -2 * fluence / 0.02),
        ("fluence", 1.0),
    ):
        assert one(setup, f"beam.{name}")[0].fluence == pytest.approx(expected, rel=1e-14)
    assert one(setup, "sampling.water_um")[0].water == pytest.approx(1e-6, rel=1e-15)


# ---- detector ----------------------------------------------------------------------------------------------

TILTED = SMALL.replace(rotx_deg=5, roty_deg=7, rotz_deg=-9, twotheta_deg=15)


def rates(detector: Detector, swing: npt.ArrayLike) -> dict[str, Any]:
    """Rotation rates of the detector's axes (gradients 5.4)."""
    y, z, tt = (DEGREE * x for x in (detector.roty_deg, detector.rotz_deg, detector.twotheta_deg))
    swing = np.asarray(swing, float)
    return {
        "rotx_deg": rot_axis(rot_xyz([1.0, 0, 0], 0, y, z), swing, tt),
        "roty_deg": rot_axis(rot_xyz([0.0, 1, 0], 0, 0, z), swing, tt),
        "rotz_deg": rot_axis([0.0, 0, 1], swing, tt),
        "twotheta_deg": swing,
    }


@pytest.mark.parametrize("name", ["rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg"])
@pytest.mark.parametrize("convention", ["mosflm", "xds", "dials", "adxv"])
def test_rotations(name: str, convention: str) -> None:
    setup = setup_of(CRYSTAL, None, TILTED.replace(convention=convention), physics="exact")
    found, scene = panel_of(setup, f"detector.{name}")
    place, panel = scene.placement.panel, scene.panel
    rate = DEGREE * rates(TILTED, place.twotheta_axis)[name]
    for axis in ("fdet", "sdet", "odet"):
        close(getattr(found, axis), np.cross(rate, getattr(panel, axis)), scale=DEGREE)
    if place.pivot == "beam":  # the distance was given: the spot it ends in stays
        expected = np.cross(rate, panel.pix0 - 0.1 * place.beam_vector)
    else:
        turn = tuple(DEGREE * getattr(TILTED, f"rot{x}_deg") for x in "xyz")
        before = rot_xyz([0.0, 0, 1], *turn)  # the normal of both conventions, without the swing
        inner = rot_axis(rate, place.twotheta_axis, -place.twotheta)
        slope = 0.0 if name == "twotheta_deg" else float(place.beam_vector @ np.cross(inner, before))
        expected = np.cross(rate, panel.pix0) + 0.1 * slope * panel.odet
    close(found.pix0, expected, scale=1e-3)
    assert found.pix0 is not None
    assert found.close_distance == pytest.approx(
        float(found.pix0 @ panel.odet + panel.pix0 @ np.cross(rate, panel.odet)), abs=1e-15
    )


def test_distances_and_centres() -> None:
    beam = setup_of(CRYSTAL, None, TILTED, physics="exact")
    found, scene = panel_of(beam, "detector.distance_mm")
    close(found.pix0, 1e-3 * scene.panel.beam)
    assert found.close_distance == pytest.approx(1e-3 * float(scene.panel.beam @ scene.panel.odet), rel=1e-14)
    close(panel_of(beam, "detector.Xbeam_mm")[0].pix0, -1e-3 * scene.panel.sdet)  # mosflm: X along slow
    close(panel_of(beam, "detector.Ybeam_mm")[0].pix0, -1e-3 * scene.panel.fdet)
    near = setup_of(
        CRYSTAL, None, Detector(convention="xds", ORGX=3, ORGY=4, close_distance_mm=90, fpixels=9)
    )
    found, scene = panel_of(near, "detector.close_distance_mm")
    close(found.pix0, 1e-3 * scene.panel.odet)
    close(panel_of(near, "detector.ORGX")[0].pix0, -1e-4 * scene.panel.fdet)


def test_turned_by_close_distance() -> None:
    """Pivot beam with the close distance given: D = cd/ratio moves by -D ratio'/ratio."""
    setup = setup_of(CRYSTAL, None, Detector(close_distance_mm=90, roty_deg=20, fpixels=9, spixels=9))
    found, scene = panel_of(setup, "detector.roty_deg")
    place = scene.placement.panel
    ratio, slope = math.cos(20 * DEGREE), -math.sin(20 * DEGREE) * DEGREE
    along = -0.09 / ratio * slope / ratio
    expected = -place.Fbeam * np.cross([0, DEGREE, 0], scene.panel.fdet) + along * scene.panel.beam
    close(found.pix0, expected - place.Sbeam * np.cross([0, DEGREE, 0], scene.panel.sdet))
    assert found.distance == pytest.approx(along, rel=1e-13)


def test_pixel_size_moves_the_default_centre() -> None:
    setup = setup_of(CRYSTAL, None, Detector(fpixels=16, spixels=12, distance_mm=100))
    found, scene = panel_of(setup, "detector.pixel_mm")
    close(found.pixel, [1e-3, 1e-3])
    # mosflm: Xbeam = (ds + ps)/2, Fbeam = Ybeam + pf/2, so the outer corner is (16/2 + 1) pixels off
    close(found.pix0, -1e-3 * (9 * scene.panel.fdet + 7 * scene.panel.sdet))
    both = expand(["detector.pixel_mm", "detector.centre"], setup)
    held, _ = tangents(setup, both)
    assert held[0].panels[0] is not None
    close(held[0].panels[0].pix0, -1e-3 * (scene.panel.fdet + scene.panel.sdet) / 2)  # the centre is its own


@pytest.mark.parametrize("axis", range(3))
def test_shift(axis: int) -> None:
    panels = (
        Panel(origin_mm=(-5, -5, 90), fast=(1, 0, 0), slow=(0, 1, 0), fpixels=9, spixels=9, pixel_mm=0.1),
        Panel(origin_mm=(5, -5, 95), fast=(1, 0, 0.1), slow=(0, 1, 0), fpixels=9, spixels=9, pixel_mm=0.1),
    )
    explicit = Detector(panels=panels, convention="dials")
    for detector in (TILTED, explicit):
        tangent, scene, _ = one(setup_of(CRYSTAL, None, detector), f"detector.shift_mm[{axis}]")
        for found, panel in zip(tangent.panels, scene.panels, strict=True):
            assert found is not None
            close(found.pix0, 1e-3 * np.eye(3)[axis])
            assert found.close_distance == pytest.approx(1e-3 * panel.odet[axis], rel=1e-14, abs=1e-18)
    setup = setup_of(CRYSTAL, None, explicit)
    tangent = one(setup, f"detector.panels[1].origin_mm[{axis}]")[0]
    assert tangent.panels[0] is None
    assert tangent.panels[1] is not None
    close(tangent.panels[1].pix0, 1e-3 * np.eye(3)[axis])


@pytest.mark.parametrize(
    ("physics", "steps", "parts"), [("exact", 3, 3), ("nanobragg", 3, 2), ("exact", None, 2)]
)
def test_sensor(physics: str, steps: int | None, parts: int) -> None:
    thick = SMALL.replace(thickness_um=450, attenuation_um=500, thicksteps=steps)
    setup = setup_of(CRYSTAL, None, thick, physics=physics)
    found, _ = panel_of(setup, "detector.thickness_um")
    assert found.layer_step == pytest.approx(1e-6 / parts, rel=1e-14)
    assert found.mu == 0.0
    found, scene = panel_of(setup, "detector.attenuation_um")
    assert found.mu == pytest.approx(-1e-6 * scene.panel.mu**2, rel=1e-14)
    followed = setup.replace(attenuation_um=None)
    assert panel_of(followed, "detector.thickness_um")[0].mu == pytest.approx(-1e-6 / 4.5e-4**2, rel=1e-14)


# ---- the Scene itself --------------------------------------------------------------------------------------


def test_fields_of_the_scene() -> None:
    setup = setup_of(TURNING, Beam(polarization=0.5), SMALL.replace(thickness_um=300), Sampling(water_um=1))
    tangent, scene, _ = one(setup, "scene.source_incident[0,2]")
    ray = scene.sources.incident[0]
    close(tangent.source_incident, [np.eye(3)[2] - ray * ray[2]])
    tangent, scene, _ = one(setup, "scene.orientations[5,1,2]")
    moves = tangent.crystals[0]
    assert moves is not None and moves.orientations is not None and moves.cell is None
    assert np.argwhere(moves.orientations).tolist() == [[5, 1, 2]]
    assert moves.orientations[5, 1, 2] == 1.0
    assert expand(["scene.orientations[5,1,2]"], setup)[0].value == scene.crystal.orientations[5, 1, 2]
    for name, field in (("pix0[1]", "pix0"), ("beam_vector[0]", "beam"), ("pixel_size", "pixel")):
        found, _ = panel_of(setup, f"scene.{name}")
        assert np.count_nonzero(getattr(found, field)) == (2 if field == "pixel" else 1)
    for name in ("layer_step", "mu", "close_distance", "distance"):
        assert getattr(panel_of(setup, f"scene.{name}")[0], name) == 1.0
    for name in ("fluence", "water", "polarization"):
        assert getattr(one(setup, f"scene.{name}")[0], name) == 1.0
    assert crystal_of(setup, "scene.fudge")[0].fudge == 1.0
    weights = crystal_of(setup, "scene.orientation_weights[3]")[0].orientation_weights
    assert weights is not None and weights.tolist() == [0.0] * 3 + [1.0] + [0.0] * 8
