"""The engine against the oracle of canonical 6 to 8: random scenes, and every variant at least once."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import golden_cases as g
import numpy as np
import numpy.typing as npt
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from parts import changed
from strategies import Experiment, experiments, several

from nbragg import Beam, Crystal, Detector, Sampling, SourceList, StructureFactors
from nbragg.base.errors import RenderError
from nbragg.engine import cpu
from nbragg.simulation.simulate import render

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")


def relative_l2(image: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """|image - truth| / |truth| in the 2-norm."""
    size = float(np.sqrt((truth**2).sum()))
    off = float(np.sqrt(((image - truth) ** 2).sum()))
    return off / size if size > 0 else off


def is_refused(scene: Any, truth: npt.NDArray[Any], precision: str = "double") -> bool:
    """Whether photons enter a curved sensor from behind at grazing angles: no image may come of it."""
    if np.isfinite(truth.astype(np.float32)).all():
        return False
    with pytest.raises(RenderError, match="infinite or NaN"):
        render(scene, precision=precision)
    return True


def uncertainty(scene: Any, truth: npt.NDArray[Any]) -> float:
    """How far the image moves with the last bits of the cell's vectors.

    By more than 1e-12 of itself where it is a few pixels, all of them near a zero of the lattice factor.
    """
    moved = []
    for signs in ([1, -1, 1], [-1, 1, 1], [1, 1, -1]):
        change = 1 + 4 * np.finfo(np.float64).eps * np.array(signs)
        crystals = tuple(
            dataclasses.replace(one, orientations=one.orientations * change) for one in scene.crystals
        )
        moved.append(relative_l2(oracle.render(dataclasses.replace(scene, crystals=crystals)), truth))
    return max(moved)


def assert_engine_is_right(scene: Any) -> None:
    """1e-12 before rounding to float32, one float32 step after."""
    truth = oracle.render(scene)
    if is_refused(scene, truth):
        return
    double = cpu.render_double(scene, threads=1)
    assert double.dtype == np.float64 and double.shape == truth.shape
    off = relative_l2(double, truth)
    assert off <= 1e-12 or off <= uncertainty(scene, truth)
    assert np.array_equal(double == 0, truth == 0)

    image = render(scene).image
    assert image.dtype == np.float32
    rounded = truth.astype(np.float32)
    assert np.abs(image.astype(float) - rounded).max() <= np.spacing(np.abs(rounded).max())
    assert relative_l2(image.astype(float), truth) <= 1e-7


def without_region(scene: Any) -> Any:
    """The Scene with every pixel rendered."""
    panels = tuple(
        dataclasses.replace(panel, roi=(0, panel.fpixels - 1, 0, panel.spixels - 1), mask=None)
        for panel in scene.panels
    )
    return dataclasses.replace(scene, panels=panels)


def assert_mixed_is_right(scene: Any) -> None:
    """Every pixel within 2e-6 of the image's maximum.

    It holds where the brightest pixel lies in a spot (`RenderOptions`), which a region of two pixels on the
    flank of one does not promise: the maximum is that of the detector without region and mask.
    """
    truth = oracle.render(scene)
    if not is_refused(scene, truth, "mixed"):
        image = render(scene, precision="mixed").image
        top = np.nanmax(np.abs(oracle.render(without_region(scene))))
        assert np.abs(image - truth).max() <= 2e-6 * top


def test_rays_from_behind_at_grazing_angles_are_refused() -> None:
    """Curved around the sample, a sensor is also met from behind, where its fraction is not bounded."""
    case = experiment(
        detector={
            "close_distance_mm": 20.0,
            "distance_mm": None,
            "pixel_mm": 2.5611,
            "fpixels": 30,
            "spixels": 20,
            "curved": True,
            "thickness_um": 50.0,
            "thicksteps": 2,
        }
    )
    assert not np.isfinite(oracle.render(case.scene()).astype(np.float32)).all()
    assert_engine_is_right(case.scene())


@settings(max_examples=250)
@given(experiments())
def test_random_scenes(experiment: Experiment) -> None:
    """Everything at once."""
    assert_engine_is_right(experiment.scene())


@settings(max_examples=120)
@given(several())
def test_random_scenes_of_several(scene: Any) -> None:
    """Two panels, rectangular pixels, two crystals, weighted orientations, two tables for the sources."""
    assert_engine_is_right(scene)


@settings(max_examples=40)
@given(several(alike=True))
def test_mixed_precision_of_several(scene: Any) -> None:
    """Every pixel within 2e-6 of the image's maximum."""
    assert_mixed_is_right(scene)


@settings(max_examples=80)
@given(experiments())
def test_mixed_precision(experiment: Experiment) -> None:
    """Every pixel within 2e-6 of the image's maximum."""
    assert_mixed_is_right(experiment.scene())


def experiment(
    *, crystal: dict[str, Any] | None = None, physics: str = "nanobragg", **other: dict[str, Any]
) -> Experiment:
    """A small lysozyme-like case with some fields changed."""
    rng = np.random.default_rng(11)
    structure_factors = StructureFactors(
        values=rng.uniform(1, 100, (13, 15, 17)), origin=(-7, -8, -8), default_F=7.0
    )
    base_crystal: dict[str, Any] = {
        "cell": (23.1, 31.7, 27.9, 81.2, 97.3, 84.1),
        "N": (3, 5, 4),
        "misset_deg": (12.3, 45.6, 78.9),
        "structure_factors": structure_factors,
    }
    base_detector: dict[str, Any] = {
        "distance_mm": 41.3, "pixel_mm": 1.37, "fpixels": 13, "spixels": 11, "rotx_deg": 7.1,
        "roty_deg": -3.9,
    }  # fmt: skip
    base_sampling: dict[str, Any] = {"oversample": 2}
    return Experiment(
        Crystal(**(base_crystal | (crystal or {}))),
        Beam(**({"wavelength_A": 1.73, "polarization": 0.83} | other.get("beam", {}))),
        Detector(**(base_detector | other.get("detector", {}))),
        Sampling(**(base_sampling | other.get("sampling", {}))),
        physics,
    )


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat"])
def test_every_shape_and_interpolation(shape: str, interpolate: bool, physics: str) -> None:
    """Four lattice factors, three ways to look a structure factor up."""
    fudge = 0.02 if shape in ("gauss", "tophat") and physics == "nanobragg" else 0.9
    case = experiment(
        crystal={"shape": shape, "fudge": fudge}, sampling={"interpolate": interpolate}, physics=physics
    )
    scene = case.scene()
    assert scene.table.interpolation == (
        "nearest" if not interpolate else "tricubic" if physics == "nanobragg" else "tricubic_exact"
    )
    assert scene.crystal.shape == shape
    assert_engine_is_right(scene)


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize("low", [-40, -4])
def test_interpolation_inside_and_leaving_the_list(low: int, physics: str) -> None:
    """A list that covers the image, and one the image leaves part of the way through."""
    rng = np.random.default_rng(5)
    size = 2 * -low + 1
    values = rng.uniform(1, 100, (size, size, size))
    listed = StructureFactors(values=values, origin=(low, low, low), default_F=55.0)
    case = experiment(crystal={"structure_factors": listed, "N": (1, 2, 1)}, physics=physics)
    scene = case.scene()
    assert scene.table.interpolation != "nearest"
    fast, slow, _ = oracle.pixels_of(scene.panel)
    seen = oracle.samples(scene, scene.panel, fast, slow)
    good = np.array([oracle.usable(sample.table, sample.hkl) for sample in seen])
    assert good.all() if low == -40 else good.any() and not good.all()
    assert_engine_is_right(scene)


@pytest.mark.parametrize("water", [0.0, 1e-7])
def test_interpolation_passes_over_empty_samples(water: float) -> None:
    """Where the top hat is 0 nothing is looked up nor switches interpolation off, but with water."""
    rng = np.random.default_rng(5)
    listed = StructureFactors(values=rng.uniform(1, 100, (9, 9, 9)), origin=(-4, -4, -4), default_F=55.0)
    spots = {"N": (1, 2, 1), "shape": "tophat", "fudge": 5000.0, "misset_deg": (-69.0, 61.9, 53.8)}
    case = experiment(
        crystal={"structure_factors": listed, **spots},
        detector={"pixel_mm": 4.1, "fpixels": 24, "spixels": 22, "Xbeam_mm": 12.3, "Ybeam_mm": 50.1},
        sampling={"water_um": water},
    )
    scene = case.scene()
    dry, wet = (oracle.render(changed(scene, water=w)) for w in (0.0, 1e-13))
    assert relative_l2(wet, dry) > 0.1  # the same photons, looked up otherwise
    assert_engine_is_right(scene)


def test_interpolation_is_not_ended_beyond_the_resolution_limit() -> None:
    """What dmin skips is not looked up: pixels in the corner, outside the list, switch nothing off."""
    rng = np.random.default_rng(5)
    listed = StructureFactors(values=rng.uniform(1, 100, (13, 13, 13)), origin=(-6, -6, -6), default_F=55.0)
    case = experiment(
        crystal={"structure_factors": listed, "N": (1, 2, 1)},
        detector={"pixel_mm": 4.1, "fpixels": 24, "spixels": 22},
        sampling={"dmin_A": 6.7},
    )
    scene = case.scene()
    with_limit, without = (oracle.switch_off(changed(scene, dmin=d)) for d in (scene.dmin, 0.0))
    assert without < with_limit
    assert_engine_is_right(scene)
    for dmin in (5.0, 6.0, 7.5, 9.0):
        assert_engine_is_right(changed(scene, dmin=dmin * 1e-10))


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("layers", [None, 3])
def test_every_combination_of_oversample_flags(layers: int | None, flags: tuple[bool, bool, bool]) -> None:
    """Which factor is taken once for each pixel and which for each sample."""
    thick, polar, omega = flags
    sampling = {"oversample_thick": thick, "oversample_polar": polar, "oversample_omega": omega}
    sensor = {} if layers is None else {"thickness_um": 900.0, "attenuation_um": 550.0, "thicksteps": layers}
    beam = {"hdivrange_mrad": 30.0, "hdivsteps": 2}
    assert_engine_is_right(experiment(sampling=sampling, detector=sensor, beam=beam).scene())


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
@pytest.mark.parametrize("convention", ["mosflm", "xds", "adxv", "denzo", "dials"])
def test_curved_detector_in_every_convention(convention: str, physics: str) -> None:
    """Laboratory axes, and the detector's own in exact physics."""
    scene = experiment(detector={"convention": convention, "curved": True}, physics=physics).scene()
    assert scene.panel.curved == ("laboratory" if physics == "nanobragg" else "axes")
    assert_engine_is_right(scene)


@pytest.mark.parametrize("physics", ["nanobragg", "exact"])
def test_water_with_every_factor(physics: str) -> None:
    """Background comparable to the Bragg intensity, sub-pixels, layers and sources."""
    sensor = {"thickness_um": 900.0, "attenuation_um": 550.0, "thicksteps": 2}
    case = experiment(
        sampling={"water_um": 0.01},
        detector=sensor,
        beam={"hdivrange_mrad": 30.0, "hdivsteps": 2},
        physics=physics,
    )
    assert_engine_is_right(case.scene())


@pytest.mark.parametrize("water", [0.0, 0.01])
@pytest.mark.parametrize("dmin", [2.2, 4.0, 8.0])
def test_resolution_limit_splits_pixels(dmin: float, water: float) -> None:
    """Sub-pixels and sources on both sides of the limit; a pixel all beyond has no background."""
    sources = SourceList(
        positions=np.array([[-1, 0, 0], [-1, 0.05, 0.02], [-1, -0.03, 0.06]]),
        wavelengths_A=np.array([1.7, 1.1, 2.9]),
    )
    case = experiment(
        sampling={"dmin_A": dmin, "oversample": 3, "water_um": water}, beam={"sources": sources}
    )
    assert_engine_is_right(case.scene())


def test_source_weights() -> None:
    """Weights count in exact physics and only there."""
    sources = SourceList(
        positions=np.array([[-1, 0, 0], [-1, 0.05, 0.02]]),
        weights=np.array([0.2, 3.0]),
        wavelengths_A=[1.7, 1.8],
    )
    exact = experiment(beam={"sources": sources}, physics="exact").scene()
    assert np.allclose(exact.sources.weight, [0.125, 1.875], rtol=1e-15)
    assert_engine_is_right(exact)
    usual = experiment(beam={"sources": sources}).scene()
    assert (usual.sources.weight == 1).all()
    assert_engine_is_right(usual)


@pytest.mark.parametrize("N", [(1, 1, 1), (2, 1, 9), (40, 30, 50)])
@pytest.mark.parametrize("shape", ["square", "round"])
def test_crystal_sizes(shape: str, N: tuple[int, int, int]) -> None:
    """One cell, a needle, and phases N h of a few hundred turns."""
    assert_engine_is_right(
        experiment(crystal={"shape": shape, "N": N}, sampling={"interpolate": False}).scene()
    )


def test_mask_and_region_together() -> None:
    """Masked pixels and pixels outside the region are exactly zero."""
    mask = np.random.default_rng(3).random((11, 13)) < 0.6
    scene = experiment(detector={"mask": mask}, sampling={"roi": (2, 9, 1, 7)}).scene()
    assert_engine_is_right(scene)
    image = cpu.render_double(scene)
    inside = np.zeros((11, 13), bool)
    inside[1:8, 2:10] = True
    assert (image[~(inside & mask)] == 0).all() and (image[inside & mask] > 0).all()


@pytest.mark.parametrize(
    "case_id",
    [
        "geometry/xds_offcenter_tilt",
        "geometry/curved",
        "crystal/shape_round_fudge",
        "crystal/shape_gauss_fudge",
        "crystal/shape_tophat_fudge",
        "crystal/phi_mosaic",
        "beam/sourcefile_polar",
        "sampling/oversample_polar_sources",
        "sampling/all_oversample_flags",
        "sampling/dmin_sources",
        "sampling/thick_default_steps",
        "hkl/interpolate",
        "hkl/interpolate_out_of_range",
        "hkl/sparse_default_F",
        "output/water",
    ],
)
def test_the_oracle_itself(case_id: str) -> None:
    """The oracle against the reference program: what is compared with it is compared with the right thing."""
    words = [*g.arguments(case_id), "-roi", "30", "60", "40", "60"]
    image = oracle.render(g.scene_of(words)).astype(np.float32)[40:61, 30:61]
    g.assert_matches(image, g.reference(case_id)["image"][40:61, 30:61])


@settings(max_examples=100, suppress_health_check=[*HealthCheck])
@given(experiments())
def test_scenes_are_well_formed(experiment: Experiment) -> None:
    """What build_scene promises to a renderer: shapes, types, order in memory, read-only, unit vectors."""
    scene = experiment.scene()
    vectors = [
        scene.panel.fdet,
        scene.panel.sdet,
        scene.panel.odet,
        scene.panel.beam,
        scene.panel.pix0,
        scene.polar_vector,
    ]
    arrays = [
        *vectors,
        scene.sources.incident,
        scene.sources.wavelength,
        scene.sources.weight,
        scene.crystal.orientations,
    ]
    for array in arrays:
        assert array.dtype == np.float64 and array.flags.c_contiguous and not array.flags.writeable
        assert np.isfinite(array).all()
    sources = len(scene.sources.wavelength)
    assert scene.sources.incident.shape == (sources, 3) and scene.sources.weight.shape == (sources,)
    assert scene.crystal.orientations.ndim == 3 and scene.crystal.orientations.shape[1:] == (3, 3)
    for vector in (*vectors[:4], *scene.sources.incident):
        assert abs(np.linalg.norm(vector) - 1) < 1e-14
    volumes = np.linalg.det(scene.crystal.orientations)
    assert np.allclose(volumes, volumes[0], rtol=1e-12) and volumes[0] > 0
    assert abs(scene.sources.weight.mean() - 1) < 1e-14
    fmin, fmax, smin, smax = scene.panel.roi
    assert 0 <= fmin <= fmax < scene.panel.fpixels and 0 <= smin <= smax < scene.panel.spixels
    assert scene.panel.mask is None or (
        scene.panel.mask.dtype == np.uint8
        and scene.panel.mask.shape == (scene.panel.spixels, scene.panel.fpixels)
    )
