"""`refine`: the normal equations, elimination, the way from start to truth, messages (gradients 8.3, 10)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nbragg
from nbragg import Beam, Crystal, Detector, Noise, Sampling, Setup, Simulator, StructureFactors
from nbragg.base.errors import InputError
from nbragg.base.vectors import FloatArray
from nbragg.inverse.linearization import Linearization
from nbragg.inverse.places import BACKGROUNDS, background_basis, background_names
from nbragg.refinement.joint import solve
from nbragg.refinement.objective import Pixels, normal
from nbragg.refinement.scoring import Normal
from nbragg.refinement.stages import plan
from nbragg.refinement.transforms import Scale, scales_of
from nbragg.scene.crystal_cell import standing_rotation

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(11)
FACTORS = StructureFactors(values=RANDOM.uniform(20, 200, (25, 25, 25)), origin=(-12, -12, -12))
NAMES = ["crystal.orientation", "crystal.cell", "detector.distance_mm", "beam.fluence"]


def still(**changes: Any) -> Setup:
    setup = Setup(
        Crystal(
            structure_factors=FACTORS, cell=(60, 60, 40, 90, 90, 90), N=(9, 9, 14), misset_deg=(12, -31, 57)
        ),
        Beam(wavelength_A=1.2, fluence=3e27),
        Detector(distance_mm=90, pixel_mm=0.3, fpixels=200, spixels=180),
        Sampling(oversample=2),
        physics="exact",
    )
    return setup.replace(**changes) if changes else setup


def data_of(setup: Setup, background: float = 1.0, seed: int = 1, noise: Noise | None = None) -> Array:
    return np.asarray((noise or Noise()).draw(Simulator(setup).render().image + background, seed))


def off(setup: Setup, degrees: float = 0.2, part: float = 0.003) -> Setup:
    simulator = Simulator(setup)
    names = ["crystal.rotation_deg", "crystal.cell", "detector.distance_mm", "beam.fluence"]
    values = simulator.linearize(names).values.copy()
    turn = RANDOM.normal(size=3)
    values[:3] = degrees * turn / np.linalg.norm(turn)
    values[3:5] *= 1 + part * np.array([1, -1])
    values[5] *= 1 + part * 2 / 3
    values[6] *= 1.35
    return simulator.moved(names, values, fold=True).setup


def turned(found: Setup, truth: Setup) -> FloatArray:
    """Rotation vector from one to the other, degrees."""
    R = standing_rotation(found.crystal, found.rules) @ standing_rotation(truth.crystal, truth.rules).T
    return np.degrees(np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2)


def errors(found: nbragg.Refinement, truth: Setup, image: int = 0) -> FloatArray:
    """In sigmas."""
    true = Simulator(truth).linearize(list(found.parameters)).values
    off_by = np.concatenate([turned(found.setups[image], truth), (found.values[image] - true)[3:]])
    return np.asarray(off_by / found.sigma[image])


@pytest.mark.parametrize(("degrees", "fluence"), [(0.2, 3e27), (1.0, 3e27), (1.0, 1e29)])
def test_a_still(degrees: float, fluence: float) -> None:
    """From a start whose spots do not meet those of the data; coarse stages end only when they are done."""
    truth = still(fluence=fluence)
    found = nbragg.refine(data_of(truth), off(truth, degrees, 0.015 * degrees), NAMES, threads=1)
    assert found.converged and found.message == ""
    assert np.abs(errors(found, truth)).max() < 5
    assert found.chi_square == pytest.approx(1, abs=0.05)
    assert found.background[0]["background.constant"] == pytest.approx(1, abs=0.05)
    assert found.start[0][:3].tolist() == [0, 0, 0]
    assert np.linalg.norm(found.values[0][:3]) == pytest.approx(degrees, rel=0.05)
    steps = [line.cost for line in found.history if line.stage == line.stages]
    assert steps == sorted(steps, reverse=True)
    for stage in (2, 3):  # the first, of many photons, meets the kinks where spots of few cells overlap
        assert [line.gain for line in found.history if line.stage == stage][-1] < 10


def test_a_worse_start_is_not_made_of_it() -> None:
    """What coarse stages find counts only where the sharp model agrees."""
    truth = still(pixel_mm=1.2, fpixels=50, spixels=45, N=(3, 3, 4), fluence=1e29)
    found = nbragg.refine(data_of(truth), truth, NAMES[:1], threads=1)
    assert np.abs(errors(found, truth)).max() < 5


def test_stages_of_a_panel_beside_the_beam() -> None:
    panel = nbragg.Panel(
        origin_mm=(-10, 60, -10), fast=(1, 0, 0), slow=(0, 0, 1), fpixels=80, spixels=60, pixel_mm=0.3
    )
    scene = nbragg.build_scene(still().replace(detector=Detector(panels=[panel])))
    assert scene.panels[0].distance > 1e9
    assert [stage.block for stage in plan(scene, ("crystal.rotation_deg[0]",))] == [3, 1, 1, 1]


def test_normal_equations_by_either_way() -> None:
    """With derivatives that are held, and by passes over the image."""
    setup = still(fpixels=60, spixels=50)
    linear = Simulator(setup).linearize(NAMES)
    at = RANDOM.choice(3000, 700, replace=False)
    shape = (len(linear), 50, 60)
    for noise in (Noise(), Noise(readout=2, gain=3, flicker=0.1)):
        data = data_of(setup, noise=noise).reshape(-1)[at]
        basis = background_basis("plane", Simulator(setup).scene, at)
        pixels = Pixels(at, data, RANDOM.integers(1, 4, 700).astype(float), basis, np.full(700, 0.5), noise)
        background = np.array([1.0, 0.2, -0.3])
        held = normal(pixels, linear, linear.image, background, np.zeros(shape))
        passes = normal(pixels, linear, linear.image, background, None)
        assert passes.cost == held.cost
        scale = np.sqrt(np.diag(held.H))
        assert np.abs((passes.H - held.H) / np.outer(scale, scale)).max() < 1e-10
        assert np.abs((passes.b - held.b) / scale).max() < 1e-10 * np.abs(held.b / scale).max()


def test_derivatives_at() -> None:
    linear = Simulator(still(fpixels=40, spixels=30)).linearize(NAMES)
    at = np.array([5, 700, 33])
    assert np.array_equal(linear.derivatives_at(at), linear.jacobian().reshape(len(linear), -1)[:, at])


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_elimination_is_the_whole_system(damping: float) -> None:
    shared = np.array([True, False, True, False, False])
    normals = []
    for _ in range(3):
        J: Array = RANDOM.normal(size=(20, 5))
        normals.append(Normal(1.0, J.T @ J, RANDOM.normal(size=5)))
    found = solve(normals, shared, damping)
    H, b = np.zeros((11, 11)), np.zeros(11)
    for k, part in enumerate(normals):
        place = np.array([0, 2 + 3 * k, 1, 3 + 3 * k, 4 + 3 * k])
        H[np.ix_(place, place)] += part.H
        b[place] += part.b
    change = np.linalg.solve(H + damping * np.diag(np.diag(H)), b)
    for k, one in enumerate(found.changes):
        assert one == pytest.approx(change[[0, 2 + 3 * k, 1, 3 + 3 * k, 4 + 3 * k]], rel=1e-9)
    assert found.gains.sum() == pytest.approx(b @ change - change @ H @ change / 2, rel=1e-9)


def test_images_together() -> None:
    """A shared cell is known better than from one image; what is each image's own is its own."""
    truth = still(fpixels=120, spixels=110)
    turns = nbragg.random_orientations(3, seed=4)
    setups = [truth.replace(orientation=turn, misset_deg=None) for turn in turns]
    starts = [Simulator(one).moved(["crystal.cell.a", "crystal.cell.b"], [60.05] * 2).setup for one in setups]
    data = [data_of(one, seed=k) for k, one in enumerate(setups)]
    names = ["crystal.orientation", "crystal.cell", "beam.fluence"]
    found = nbragg.refine(data, starts, names, shared=["crystal.cell"], stages="none", threads=1)
    assert found.shared == ("crystal.cell.a=b", "crystal.cell.c")
    assert np.ptp(found.values[:, 3:5], axis=0).tolist() == [0, 0]
    assert np.ptp(found.sigma[:, 3:5], axis=0) == pytest.approx([0, 0], abs=1e-12)
    for k, one in enumerate(setups):
        assert np.abs(errors(found, one, k)).max() < 5
    single = nbragg.refine(data[0], starts[0], names, stages="none", threads=1)
    assert (found.sigma[0] < single.sigma[0]).all()
    with pytest.raises(InputError, match="there are 3 images"):
        found.setup  # noqa: B018


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds(kind: str) -> None:
    setup = still(fpixels=90, spixels=80)
    scene = Simulator(setup).scene
    basis = background_basis(kind, scene, np.arange(7200))
    names = background_names(kind)
    coefficients = {"none": [], "constant": [2.0], "plane": [2.0, 0.5, -0.8]}.get(kind, [30.0, *[15.0] * 11])
    behind = np.array(coefficients) @ basis if len(names) else np.zeros(7200)
    data = Noise().draw(Simulator(setup).render().image + behind.reshape(80, 90), 2)
    found = nbragg.refine(data, setup, ["beam.fluence"], background=kind, threads=1)
    assert list(found.background[0]) == list(names)
    information = found.information()
    for name, value in zip(names, coefficients, strict=True):
        if np.isfinite(information.sigma[name]):
            assert abs(found.background[0][name] - value) < 5 * information.sigma[name]
    known = nbragg.refine(data, setup, ["beam.fluence"], background=behind.reshape(80, 90), threads=1)
    assert known.values[0] == pytest.approx(found.values[0], abs=4 * found.sigma[0][0])


def test_restraints_and_bounds() -> None:
    truth = still(fpixels=60, spixels=50, fluence=1e26)
    data, start = data_of(truth), Simulator(truth).moved(["detector.distance_mm"], [90.5]).setup
    names = ["detector.distance_mm", "beam.fluence"]
    free = nbragg.refine(data, start, names, stages="none", threads=1)
    tight = nbragg.refine(
        data, start, names, stages="none", restraints={"detector.distance_mm": 1e-4}, threads=1
    )
    assert tight.values[0][0] == pytest.approx(90.5, abs=3e-4) and tight.sigma[0][0] <= 1e-4
    sigma, weight = free.sigma[0][0], 0.5 * free.sigma[0][0]
    both = nbragg.refine(
        data, start, names, stages="none", restraints={"detector.distance_mm": weight}, threads=1
    )
    assert both.sigma[0][0] == pytest.approx(1 / np.hypot(1 / sigma, 1 / weight), rel=0.05)
    held = nbragg.refine(
        data, start, names, stages="none", bounds={"detector.distance_mm": (90.3, 91)}, threads=1
    )
    assert 90.3 <= held.values[0][0] < 90.35
    # coarse stages have a fluence of their own, to which limits do not apply
    limits = {"beam.fluence": (9e25, 1.1e26)}
    lit = nbragg.refine(data, truth, ["crystal.orientation", "beam.fluence"], bounds=limits, threads=1)
    assert lit.values[0][3] == pytest.approx(1e26, rel=0.05) and max(line.stages for line in lit.history) > 1


def test_undetermined_directions_are_left_alone() -> None:
    """Cell and wavelength together change nothing."""
    truth = still(fpixels=80, spixels=70)
    names = ["crystal.cell", "beam.wavelength_A", "detector.distance_mm"]
    found = nbragg.refine(data_of(truth), truth, names, stages="none", threads=1)
    information = found.information()
    (lost,) = information.undetermined
    assert lost[0] < 1e-7 and {"crystal.cell.a=b", "crystal.cell.c", "beam.wavelength_A"} <= set(lost[1])
    assert np.isinf(information.sigma["beam.wavelength_A"])
    assert np.isfinite(information.sigma["background.constant"])
    assert found.values[0][2] == pytest.approx(1.2, rel=2e-3)


def test_information_before_and_after() -> None:
    """What is foretold is what is found, and priors add to it."""
    truth = still()
    names = ["crystal.orientation", "crystal.cell", "beam.fluence"]
    found = nbragg.refine(data_of(truth), truth, names, stages="none", threads=1)
    linear = Simulator(truth).linearize(names)
    ahead = linear.information(background=1.0, free_background="constant")
    for name, sigma in ahead.sigma.items():
        assert found.information().sigma[name] == pytest.approx(sigma, rel=0.1)
    known = linear.information(background=1.0)
    assert all(known.sigma[name] <= ahead.sigma[name] * (1 + 1e-9) for name in ahead.sigma)
    prior = linear.information(background=1.0, priors={"crystal.cell.c": 1e-5})
    assert prior.sigma["crystal.cell.c"] < 1e-5
    assert np.diag(prior.correlation) == pytest.approx(np.ones(6))
    J = linear.jacobian().reshape(6, -1)
    F = (J / (linear.image.reshape(-1) + 1)) @ J.T
    assert known.covariance == pytest.approx(np.linalg.inv(F), rel=1e-6)


def test_scales() -> None:
    for scale, value in ((Scale(), -3.0), (Scale("log"), 2.5), (Scale("range", 1, 4), 3.2)):
        number, step = scale.inner(value), 1e-6
        assert scale.outer(number) == pytest.approx(value, rel=1e-12)
        slope = (scale.outer(number + step) - scale.outer(number - step)) / (2 * step)
        assert scale.slope(value) == pytest.approx(slope, rel=1e-8)
    assert 1 <= Scale("range", 1, 4).outer(100.0) <= 4
    kinds = [
        s.kind
        for s in scales_of(("crystal.N[0]", "beam.fluence", "detector.distance_mm"), (5, 1e20, 90), None)
    ]
    assert kinds == ["log", "log", "plain"]


SHAPED = still(fpixels=30, spixels=20)
GOOD = np.ones((20, 30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.ones((30, 20))}, r"data has the shape \(30, 20\)"),
        ({"data": np.where(np.arange(30) == 4, np.nan, GOOD)}, "20 pixels are not numbers, the first at"),
        ({"data": -GOOD}, "600 pixels are too far below 0 for photons"),
        ({"mask": np.zeros((20, 30))}, "no pixel is left by the mask"),
        ({"mask": np.zeros((2, 3))}, r"mask of data has the shape \(2, 3\)"),
        ({"parameters": ["crystal.cel"]}, "did you mean"),
        ({"parameters": []}, "no parameter is named"),
        ({"restraints": {"beam.fluence": 1}}, "restraints name 'beam.fluence', which is not free"),
        ({"restraints": {"crystal.cell.c": 0}}, r"restraints\[crystal.cell.c\] must be"),
        ({"bounds": {"crystal.cell.c": (41, 42)}}, "starts at 40, outside its bounds 41 to 42"),
        ({"bounds": {"crystal.cell.c": (42, 41)}}, "is no range"),
        ({"shared": ["detector"]}, "detector"),
        ({"background": "plain"}, "background must be one of 'none', 'constant', 'plane', 'radial'"),
        ({"background": -1.0}, "photons a pixel are numbers from 0"),
        ({"background": np.ones((2, 3))}, r"background has the shape \(2, 3\)"),
        ({"noise": "poisson"}, "noise must be a Noise"),
        ({"restraints": [1]}, "restraints take a dictionary"),
        ({"bounds": {"crystal.cell.c": 5}}, "bounds of crystal.cell.c are two numbers"),
        ({"parameters": None}, "parameters must be names"),
        ({"start": None}, "start takes a Setup"),
        ({"data": b"image"}, "data takes pixels of an image"),
        ({"data": []}, "data holds no image"),
        ({"stages": "some"}, "stages must be"),
        ({"start": []}, "start takes a Setup"),
        ({"data": [GOOD, GOOD], "start": [SHAPED] * 3}, "2 images and 3 set-ups"),
    ],
)  # fmt: skip
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"data": GOOD, "start": SHAPED, "parameters": ["crystal.cell"]} | changes
    with pytest.raises(InputError, match=message):
        nbragg.refine(given.pop("data"), given.pop("start"), given.pop("parameters"), **given)


def test_nothing_to_see() -> None:
    """No pixel that counts has light of the model."""
    dark = still(fpixels=30, spixels=20, structure_factors=StructureFactors.constant(0))
    with pytest.raises(InputError, match="the data say nothing of"):
        nbragg.refine(GOOD, dark, ["detector.distance_mm"], threads=1)
    assert isinstance(Simulator(dark).linearize("detector.distance_mm"), Linearization)
