"""Sources, fluence and the Scene as a whole (canonical 3.1, 4, 7.3, 11)."""

from __future__ import annotations

import dataclasses
import math
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import build_scene

from nbragg import (
    Beam,
    Crystal,
    Detector,
    FileError,
    InputError,
    MemoryLimitError,
    NbraggWarning,
    Sampling,
    Scene,
    SourceList,
    StructureFactors,
)
from nbragg.base.constants import DEFAULT_FLUENCE

F100 = StructureFactors.constant(100)
LIST = StructureFactors.from_reflections([0, 8], [0, 8], [0, 8], [1, 2])
CRYSTAL = Crystal(structure_factors=F100, cell=(70, 80, 90, 75, 85, 95), N=(5, 5, 5))
SMALL = Detector(fpixels=16, spixels=12)


def scene(
    crystal: Crystal = CRYSTAL,
    beam: Beam | None = None,
    detector: Detector = SMALL,
    sampling: Sampling | None = None,
    physics: str = "nanobragg",
) -> Scene:
    """A scene that nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "as in the reference program")
        return build_scene(crystal, beam or Beam(), detector, sampling, physics=physics)


def test_arrays_are_ready_for_the_engine() -> None:
    built = scene(CRYSTAL.replace(structure_factors=LIST, phisteps=3))
    copy = pickle.loads(pickle.dumps(built))
    for made in (built, copy):
        parts = (made, made.panel, made.sources, made.crystal, made.table, made.placement.panel)
        arrays = {name: x for part in parts for name, x in vars(part).items() if isinstance(x, np.ndarray)}
        assert len(arrays) > 15
        for name, array in arrays.items():
            assert array.dtype == (np.int64 if name == "table" else np.float64), name
            assert array.flags.c_contiguous, name
            assert not array.flags.writeable, name  # after unpickling too
    assert built.crystal.orientations.shape == (3, 3, 3)
    np.testing.assert_allclose(
        np.linalg.norm(built.crystal.orientations[0], axis=1), [70e-10, 80e-10, 90e-10], rtol=1e-14
    )
    assert built.panel.roi == (0, 15, 0, 11)
    assert copy.panel.roi == built.panel.roi
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.crystal.N = np.ones(3)


def test_building_changes_nothing_and_is_repeatable() -> None:
    crystal = CRYSTAL.replace(misset_deg="random", mosaic_spread_deg=1.0)
    one, two = scene(crystal), scene(crystal)
    np.testing.assert_array_equal(one.crystal.orientations, two.crystal.orientations)
    assert len(one.crystal.orientations) == 10


def test_many_orientations_are_quick() -> None:
    crystal = CRYSTAL.replace(mosaic_spread_deg=0.5, mosaic_domains=1000, osc_deg=1, phisteps=10)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        built = scene(crystal)
        times.append(time.perf_counter() - start)
    assert len(built.crystal.orientations) == 10_000
    assert min(times) < 0.1


def test_default_source() -> None:
    built = scene(beam=Beam(wavelength_A=1.5))
    np.testing.assert_array_equal(built.sources.incident, [[1, 0, 0]])
    np.testing.assert_allclose(built.sources.wavelength, [1.5e-10], rtol=1e-15)
    np.testing.assert_array_equal(built.sources.weight, [1])
    assert built.fluence == DEFAULT_FLUENCE


def test_dispersion() -> None:
    """AT-SRC-003, canonical 4: lambda_k = lambda0*(1 + step*k - range/2), innermost."""
    built = scene(
        beam=Beam(wavelength_A=2, dispersion_pct=4, dispersion_steps=3, hdivrange_mrad=2, hdivsteps=2)
    )
    np.testing.assert_allclose(built.sources.wavelength[:3], [1.96e-10, 2e-10, 2.04e-10], rtol=1e-14)
    np.testing.assert_array_equal(built.sources.incident[0], built.sources.incident[2])
    assert len(built.sources.incident) == 6
    with pytest.raises(InputError, match="dispersion_pct"):
        scene(beam=Beam(dispersion_pct=250))


def test_divergence_is_trimmed_to_an_ellipse() -> None:
    """AT-SRC-002: horizontal outer, vertical inner; round trimming drops the corners."""
    beam = Beam(hdivrange_mrad=20, vdivrange_mrad=10, hdivsteps=5, vdivsteps=4)
    square = scene(beam=beam.replace(round_div=False))
    assert len(square.sources.incident) == 20
    kept = []
    for i in range(5):
        for j in range(4):
            h, v = 5.0 * i - 10.0, 10.0 / 3 * j - 5.0
            if 4 * (h * h / 400 + (v * v - (10 / 3) ** 2 / 4) / 100) <= 1.1:
                kept.append(4 * i + j)
    rounded = scene(beam=beam)
    assert 0 < len(kept) < 20
    np.testing.assert_array_equal(rounded.sources.incident, square.sources.incident[kept])
    # small angles: MOSFLM frame, vert = b x p = -y; horizontal tilts along z, vertical about z
    first = square.sources.incident[0]
    np.testing.assert_allclose(np.linalg.norm(square.sources.incident, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(
        first, [math.cos(0.005) * math.cos(0.01), -math.sin(0.005), -math.cos(0.005) * math.sin(0.01)]
    )


def test_one_direction_of_divergence_is_not_trimmed() -> None:
    """A range of zero divides 0 by 0, and nothing is skipped (canonical 4)."""
    built = scene(beam=Beam(hdivrange_mrad=20, hdivsteps=9))
    assert len(built.sources.incident) == 9


def test_listed_sources() -> None:
    sources = SourceList([[-10, 0, 0], [-1, 0.05, 0]], weights=[1, 3], wavelengths_A=[1.0, 1.1])
    with pytest.warns(NbraggWarning, match="weights differ"):
        built = build_scene(CRYSTAL, Beam(sources=sources), SMALL)
    np.testing.assert_array_equal(built.sources.weight, [1, 1])
    np.testing.assert_allclose(built.sources.wavelength, [1e-10, 1.1e-10], rtol=1e-15)
    np.testing.assert_allclose(
        built.sources.incident[1], [1 / math.hypot(1, 0.05), -0.05 / math.hypot(1, 0.05), 0]
    )
    exact = scene(beam=Beam(sources=sources), physics="exact")
    np.testing.assert_allclose(exact.sources.weight, [0.5, 1.5], rtol=1e-15)
    same = scene(beam=Beam(wavelength_A=1.7, sources=SourceList([[-10, 0, 0]])))
    np.testing.assert_allclose(same.sources.wavelength, [1.7e-10], rtol=1e-15)
    with pytest.warns(NbraggWarning, match="hdivsteps, dispersion_pct without effect"):
        build_scene(CRYSTAL, Beam(sources=SourceList([[-1, 0, 0]]), hdivsteps=3, dispersion_pct=1), SMALL)


def test_source_file(tmp_path: Path) -> None:
    """AT-SRC-001: missing columns are -10 m along the beam, 1, the beam's wavelength; # starts a comment."""
    path = tmp_path / "sources.txt"
    path.write_text("# X Y Z weight wavelength\n-10 0.05\n\n-10,0,0.03,2,1.3e-10\n")
    sources = SourceList.from_file(path, wavelength_A=1.1, beam_vector=(0, 0, 1))
    np.testing.assert_allclose(sources.positions, [[-10, 0.05, -10], [-10, 0, 0.03]])
    assert sources.weights is not None
    assert sources.wavelengths_A is not None
    np.testing.assert_allclose(sources.weights, [1, 2])
    np.testing.assert_allclose(sources.wavelengths_A, [1.1, 1.3])


def test_fluence_from_flux() -> None:
    """AT-FLU-001, canonical 3.1."""
    assert scene(beam=Beam(flux=1e12, exposure_s=0.1, beamsize_mm=0.05)).fluence == pytest.approx(
        4e19, rel=1e-14
    )
    assert scene(beam=Beam(fluence=1e24)).fluence == 1e24
    assert scene(beam=Beam(flux=1e12, beamsize_mm=-1)).fluence == DEFAULT_FLUENCE
    assert scene(beam=Beam(flux=1e12, exposure_s=0)).fluence == DEFAULT_FLUENCE
    with pytest.warns(NbraggWarning, match="fluence has no effect"):
        build_scene(CRYSTAL, Beam(flux=1e12, fluence=1e24), SMALL)
    with pytest.raises(InputError, match="beamsize_mm 0"):
        scene(beam=Beam(flux=1e12, beamsize_mm=0))


def test_blocks_fill_the_illuminated_volume() -> None:
    """A cube of 0.7 um and blocks of 10 x 10 x 10 cells of 70 x 80 x 90 A."""
    crystal = Crystal(cell=(70, 80, 90, 90, 90, 90), N=10, structure_factors=F100)
    one = build_scene(crystal, Beam(), SMALL).crystal.weight
    many = build_scene(crystal.replace(illuminated_volume_um3=0.343), Beam(), SMALL).crystal.weight
    assert one == 1 and many == pytest.approx(0.343e12 / (70 * 80 * 90 * 1000), rel=1e-12)
    with pytest.raises(InputError, match="illuminated_volume_um3 must be"):
        crystal.replace(illuminated_volume_um3=0)


@pytest.mark.parametrize(
    ("factors", "N", "interpolate", "physics", "expected"),
    [
        (LIST, (5, 5, 5), None, "nanobragg", "nearest"),
        (LIST, (5, 2, 5), None, "nanobragg", "tricubic"),
        (LIST, (5, 2, 5), None, "exact", "tricubic_exact"),
        (LIST, (5, 2, 5), False, "nanobragg", "nearest"),
        (LIST, (5, 5, 5), True, "nanobragg", "tricubic"),
        (F100, (1, 1, 1), None, "nanobragg", "nearest"),
    ],
)
def test_interpolation(
    factors: StructureFactors, N: tuple[int, int, int], interpolate: bool | None, physics: str, expected: str
) -> None:
    """Canonical 7.3."""
    crystal = CRYSTAL.replace(structure_factors=factors, N=N)
    built = scene(crystal, sampling=Sampling(interpolate=interpolate), physics=physics)
    assert built.table.interpolation == expected


def test_exact_physics_settings() -> None:
    """Canonical 11, the right-hand column."""
    built = scene(detector=SMALL.replace(curved=True, thickness_um=100, thicksteps=1), physics="exact")
    assert built.oversample_thick
    assert built.oversample_polar
    assert built.oversample_omega
    assert (built.panel.curved, built.water_mode) == ("axes", "after")
    assert (built.panel.layers, built.panel.layer_step) == (1, pytest.approx(1e-4))
    assert built.panel.mean_depth
    plain = scene(detector=SMALL.replace(curved=True))
    assert (plain.panel.curved, plain.water_mode, plain.oversample_omega) == ("laboratory", "in_sum", False)
    assert not plain.panel.mean_depth
    with pytest.raises(InputError, match="physics"):
        scene(physics="real")


def test_oversampling() -> None:
    """Canonical 5.5."""
    crystal = CRYSTAL.replace(N=(30, 30, 30))
    assert scene(crystal).oversample == scene(crystal).placement.recommended_oversample == 9
    with pytest.warns(NbraggWarning, match="oversample 2 is less than the 9 recommended"):
        assert build_scene(crystal, Beam(), SMALL, Sampling(oversample=2)).oversample == 2
    with pytest.raises(InputError, match="give oversample explicitly"):
        scene(CRYSTAL.replace(N=(10**6, 1, 1)))


@pytest.mark.parametrize("roi", [(0, 16, 0, 5), (0, 5, 0, 12), (20, 30, 0, 5)])
def test_region_outside_the_detector(roi: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match=r"roi .* at most 0 15 0 11"):
        scene(sampling=Sampling(roi=roi))


def test_mask() -> None:
    mask = np.ones((12, 16))
    mask[3, 4] = 0
    built = scene(detector=SMALL.replace(mask=mask))
    assert built.panel.mask is not None
    assert built.panel.mask.dtype == np.uint8
    assert built.panel.mask.sum() == 12 * 16 - 1
    with pytest.raises(InputError, match="mask of 12 x 16 pixels on a detector of 16 x 12"):
        scene(detector=SMALL.replace(mask=mask.T))


@pytest.mark.parametrize(
    ("crystal", "beam", "detector", "said"),
    [
        (
            CRYSTAL,
            Beam(),
            Detector(fpixels=10**6, spixels=10**7),
            r"10+ x 10+ pixels needs 100 TB .*-detpixels",
        ),
        (CRYSTAL.replace(mosaic_spread_deg=1.0, mosaic_domains=2 * 10**9), Beam(), SMALL, "-mosaic_domains"),
        (CRYSTAL.replace(osc_deg=1.0, phisteps=2 * 10**9), Beam(), SMALL, "-phisteps"),
        (CRYSTAL, Beam(hdivsteps=10**6, vdivsteps=10**6), SMALL, "-hdivsteps"),
    ],
)
def test_too_large_for_memory(crystal: Crystal, beam: Beam, detector: Detector, said: str) -> None:
    """Refused before anything is allocated, with the size and the option to change."""
    with pytest.raises(MemoryLimitError, match=said):
        scene(crystal, beam, detector)


def test_parallel_polarization() -> None:
    beam = Beam(beam_vector=(0, 0, 1), polar_vector=(0, 0, -3))
    assert (
        scene(beam=beam, detector=SMALL.replace(odet_vector=(0, 0, 1), fdet_vector=(1, 0, 0))).polarization
        == 0
    )
    with pytest.raises(InputError, match="polar_vector is parallel"):
        scene(
            beam=beam.replace(polarization=0.5),
            detector=SMALL.replace(odet_vector=(0, 0, 1), fdet_vector=(1, 0, 0)),
        )


def test_left_handed_matrix() -> None:
    crystal = CRYSTAL.replace(cell=None, a_matrix=np.diag([0.01, 0.01, -0.01]))
    with pytest.warns(NbraggWarning, match="left-handed"):
        build_scene(crystal, Beam(), SMALL)


def test_factors_from_files(tmp_path: Path) -> None:
    """Text by default, a dump by its first bytes (canonical 7.4)."""
    from nbragg.io.reflections import dump as fdump

    text = tmp_path / "list.hkl"
    text.write_text("0 0 0 5\n1 -1 2 7 extra 3\n")
    factors = StructureFactors.from_file(text, default_F=2)
    assert factors == StructureFactors.from_reflections([0, 1], [0, -1], [0, 2], [5, 7], default_F=2)
    assert factors.values is not None
    dump = tmp_path / "Fdump.bin"
    fdump.write(dump, factors.values, factors.origin)
    again = StructureFactors.from_file(dump, default_F=2)
    assert again == factors
    # holes keep what they were filled with, outside follows the new default
    other = StructureFactors.from_file(dump, default_F=9)
    assert other.default_F == 9
    np.testing.assert_array_equal(other.values, factors.values)
    with pytest.raises(InputError, match="takes no option"):
        StructureFactors.from_file(text, column="FC")
    with pytest.raises(FileError):
        StructureFactors.from_file(tmp_path / "missing.hkl")


def test_warnings_are_single_lines_that_name_the_argument() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sampling": Sampling(interpolate=True)}, "interpolate"),
        (
            {"crystal": CRYSTAL.replace(size_mm=(None, 0.0005, None)), "beam": Beam(beamsize_mm=0.0001)},
            "beamsize_mm",
        ),
    ]
    for arguments, name in cases:
        with pytest.warns(NbraggWarning, match=name) as caught:
            build_scene(
                arguments.get("crystal", CRYSTAL),
                arguments.get("beam", Beam()),
                SMALL,
                arguments.get("sampling"),
            )
        assert all("\n" not in str(w.message) for w in caught)
