"""Linearization agrees with differences of images; what it does not take is refused in words."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from small import STEPS, derivative_image, simulator

import nbragg
from nbragg.base import memory

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

SIMULATOR = simulator()
NAMES = ["crystal.orientation", "crystal.cell.a", "detector.distance_mm", "beam.fluence"]
LINEAR = SIMULATOR.linearize(NAMES)
RANDOM = np.random.default_rng(1)
SHAPE = (16, 20)


def close(found: Any, expected: Any, tolerance: float) -> bool:
    """Within a fraction of the largest expected number."""
    return bool(np.abs(np.asarray(found) - expected).max() <= tolerance * np.abs(expected).max())


def test_names_values_and_units() -> None:
    assert LINEAR.parameters == (
        *(f"crystal.rotation_deg[{i}]" for i in range(3)),
        "crystal.cell.a",
        "detector.distance_mm",
        "beam.fluence",
    )
    assert LINEAR.values.tolist() == [0, 0, 0, 70, 100, 1e24]
    assert len(LINEAR.units) == len(LINEAR) == 6 and LINEAR.units[:1] == ("deg",)
    assert repr(LINEAR) == "Linearization(6 parameters, image (16, 20))"
    assert repr(SIMULATOR.linearize("beam.fluence")) == "Linearization(1 parameter, image (16, 20))"


def test_image_is_the_rendered_one() -> None:
    assert LINEAR.image.dtype == np.float64 and not LINEAR.image.flags.writeable
    assert np.array_equal(LINEAR.image.astype(np.float32), SIMULATOR.render().image)


@pytest.mark.parametrize("name", STEPS)
def test_derivatives_agree_with_differences(name: str) -> None:
    linear = SIMULATOR.linearize([name])
    expected = derivative_image(SIMULATOR, name)
    assert close(linear.jacobian()[0], expected, 1e-8)
    assert close(linear.jvp([1.0]), expected, 1e-8)
    cotangent = RANDOM.normal(size=SHAPE)
    scale = (np.abs(cotangent) * np.abs(expected)).sum()
    assert abs(linear.vjp(cotangent)[name] - (cotangent * expected).sum()) <= 1e-8 * scale


def test_products_agree_with_the_jacobian() -> None:
    J = LINEAR.jacobian()
    directions = RANDOM.normal(size=(6, 3)) * np.abs(LINEAR.values[:, None] + 1) * 1e-3
    expected = np.tensordot(directions.T, J, 1)
    assert close(LINEAR.jvp(directions), expected, 1e-12)
    assert close(LINEAR.jvp(directions[:, 1]), expected[1], 1e-12)
    cotangent = RANDOM.normal(size=SHAPE)
    found = LINEAR.vjp(cotangent)
    assert tuple(found) == LINEAR.parameters
    for value, row in zip(found.values(), J, strict=True):
        assert abs(value - (row * cotangent).sum()) <= 1e-12 * np.abs(row * cotangent).sum()


def test_directions_by_name() -> None:
    turn = [0.1, 0.2, -0.3]
    expected = LINEAR.jvp([*turn, 0, 2.0, 0])
    assert np.array_equal(LINEAR.jvp({"crystal.orientation": turn, "detector.distance_mm": 2}), expected)
    by_member = {f"crystal.rotation_deg[{i}]": turn[i] for i in range(3)}
    assert np.array_equal(LINEAR.jvp(by_member | {"detector.distance_mm": 2.0}), expected)


def test_normal_equations() -> None:
    J = LINEAR.jacobian().reshape(6, -1)
    residual, weights = RANDOM.normal(size=SHAPE), RANDOM.uniform(size=SHAPE)
    scale = np.sqrt((J**2).sum(axis=1))
    normal = LINEAR.gauss_newton(residual, weights)
    assert close(
        normal.H / np.outer(scale, scale), (J * weights.ravel()) @ J.T / np.outer(scale, scale), 1e-12
    )
    assert close(normal.b / scale, J @ (weights * residual).ravel() / scale, 1e-12)
    assert normal.parameters == LINEAR.parameters and repr(normal) == "GaussNewton(6 parameters)"
    plain = LINEAR.gauss_newton(residual)
    assert np.array_equal(plain.H, LINEAR.gauss_newton(residual, np.ones(SHAPE)).H)


def test_gauss_newton_finds_the_orientation() -> None:
    """From 0.2 degrees off, on a noiseless image."""
    names = ["crystal.orientation", "beam.fluence"]
    start = SIMULATOR.linearize(names)
    data = SIMULATOR.moved(start.parameters, [0.15, -0.1, 0.1, 1.1e24]).linearize(names).image
    here = SIMULATOR
    for _ in range(8):
        linear = here.linearize(names)
        normal = linear.gauss_newton(data - linear.image)
        scale = np.sqrt(np.diag(normal.H))
        step = np.linalg.solve(normal.H / np.outer(scale, scale), normal.b / scale) / scale
        here = here.moved(linear.parameters, linear.values + step)
    found = here.linearize(names).values
    assert np.abs(found[:3] - [0.15, -0.1, 0.1]).max() < 1e-9 and abs(found[3] / 1.1e24 - 1) < 1e-9


def test_a_rotation_taken_up_into_the_orientation() -> None:
    names, turn = ["crystal.orientation"], [3.0, -2.0, 5.0]
    there, folded = (SIMULATOR.moved(names, turn, fold=fold).linearize(names) for fold in (False, True))
    assert there.values.tolist() == turn and folded.values.tolist() == [0, 0, 0]
    assert close(folded.image, there.image, 1e-12)


def test_region_and_mask() -> None:
    J = LINEAR.jacobian()
    inside = np.zeros(SHAPE, bool)
    inside[3:9, 2:13] = True
    assert np.array_equal(LINEAR.jacobian(roi=(2, 12, 3, 8)), np.where(inside, J, 0))
    mask = RANDOM.uniform(size=SHAPE) > 0.4
    assert np.array_equal(LINEAR.jacobian(mask=mask), np.where(mask, J, 0))
    assert np.array_equal(LINEAR.jacobian(mask=mask, roi=(2, 12, 3, 8)), np.where(mask & inside, J, 0))


def test_pixels_that_are_not_rendered_do_not_count() -> None:
    masked = simulator(roi=(2, 12, 3, 8)).linearize(NAMES)
    assert np.array_equal(masked.jacobian(), LINEAR.jacobian(roi=(2, 12, 3, 8)))
    cotangent = RANDOM.normal(size=SHAPE)
    inside = np.zeros(SHAPE)
    inside[3:9, 2:13] = cotangent[3:9, 2:13]
    assert masked.vjp(cotangent) == masked.vjp(inside)
    assert np.array_equal(masked.gauss_newton(cotangent).H, masked.gauss_newton(inside).H)
    with pytest.raises(nbragg.InputError, match="no pixel of the set-up's own roi"):
        masked.jacobian(roi=(13, 19, 0, 15))


def test_several_panels() -> None:
    panels = [
        nbragg.Panel(
            origin_mm=(100, -2.0, 2.0 - 4 * i),
            fast=(0, 1, 0),
            slow=(0, 0, -1),
            fpixels=8,
            spixels=6,
            pixel_mm=0.5,
        )
        for i in range(2)
    ]
    linear = simulator(detector=nbragg.Detector(panels=panels)).linearize(["beam.fluence"])
    J = linear.jacobian()
    assert J.shape == (1, 2, 6, 8)
    assert close(J[0] * 1e24, linear.image, 1e-12)
    mask = RANDOM.uniform(size=(2, 6, 8)) > 0.5
    assert np.array_equal(linear.jacobian(mask=mask), np.where(mask, J, 0))
    with pytest.raises(nbragg.InputError, match="2 panels; give a mask"):
        linear.jacobian(roi=(0, 3, 0, 3))


def test_out_and_dtype() -> None:
    J = LINEAR.jacobian()
    single = LINEAR.jacobian(dtype=np.float32)
    assert single.dtype == np.float32
    tiny = float(np.finfo(np.float32).tiny)  # below it some libraries switch to rounding to 0
    assert (np.abs(single - J) <= 2.0**-24 * np.abs(J) + tiny).all()
    out = np.full((6, *SHAPE), 7.0)
    assert LINEAR.jacobian(out=out, mask=np.eye(16, 20)) is out
    assert np.array_equal(out, J * np.eye(16, 20))


def test_the_whole_scene() -> None:
    found = LINEAR.vjp(LINEAR.image, scene=True)
    assert abs(found.fluence / LINEAR.vjp(LINEAR.image)["beam.fluence"] - 1) < 1e-12
    (panel,), (crystal,) = found.panels, found.crystals
    assert panel is not None and crystal is not None
    assert panel.pix0 is not None and panel.pix0.shape == (3,)
    assert crystal.orientations is not None and crystal.orientations.shape == (1, 3, 3)


def test_one_call() -> None:
    setup = SIMULATOR.setup
    linear = nbragg.derivatives(
        setup.sample, setup.beam, setup.detector, setup.sampling, parameters=NAMES, threads=1
    )
    assert np.array_equal(linear.jacobian(), LINEAR.jacobian())
    assert linear.options.threads == 1
    mixed = SIMULATOR.linearize(NAMES, precision="mixed")
    assert mixed.options.precision == "mixed" and close(mixed.image, LINEAR.image, 2e-6)


def test_threads_share_one() -> None:
    linear = SIMULATOR.linearize(NAMES)
    cotangent = RANDOM.normal(size=SHAPE)
    expected = LINEAR.vjp(cotangent)
    found: list[dict[str, float]] = []
    threads = [threading.Thread(target=lambda: found.append(linear.vjp(cotangent))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_nothing_is_rendered_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbragg.inverse import linearization

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("rendered")

    monkeypatch.setattr(linearization, "gradient_of", refuse)
    linear = SIMULATOR.linearize(NAMES)
    assert linear.values.size == 6
    with pytest.raises(AssertionError, match="rendered"):
        linear.jvp(np.zeros(6))


NAN = np.zeros(SHAPE)
NAN[5, 7] = np.nan


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: SIMULATOR.linearize([]), "no parameter is named"),
        (lambda: SIMULATOR.linearize(None), "must be names or a list of them, not None"),
        (lambda: SIMULATOR.linearize(["detector.distance"]), "did you mean 'detector.distance_mm'"),
        (lambda: SIMULATOR.linearize(NAMES, device="gpu"), "device 'gpu' is not known"),
        (
            lambda: LINEAR.vjp(np.zeros((20, 16))),
            r"cotangent has the shape \(20, 16\); the image has \(16, 20\)",
        ),
        (lambda: LINEAR.vjp(NAN), "cotangent is nan at fast 7, slow 5"),
        (lambda: LINEAR.vjp("no"), "cotangent must be an array of real numbers, not str"),
        (lambda: LINEAR.vjp(np.zeros(SHAPE, complex)), "real numbers"),
        (lambda: LINEAR.gauss_newton(NAN), "residual is nan"),
        (lambda: LINEAR.gauss_newton(np.zeros(SHAPE), 2.0), "weights has the shape"),
        (
            lambda: LINEAR.gauss_newton(np.zeros(SHAPE), -np.eye(16, 20)),
            "negative: they are at fast 0, slow 0",
        ),
        (
            lambda: LINEAR.jvp({"crystal.cell.d": 1}),
            "not among the parameters; did you mean 'crystal.cell.a'",
        ),
        (lambda: LINEAR.jvp({"crystal.cell.b": 1}), "'crystal.cell.b' is not among the parameters"),
        (lambda: LINEAR.jvp({"crystal.orientation": [1, 2]}), r"2 numbers; 3 were expected"),
        (lambda: LINEAR.jvp(np.zeros(5)), r"direction has the shape \(5,\); \(6,\) or \(6, m\)"),
        (lambda: LINEAR.jvp(np.zeros((6, 0))), "direction has the shape"),
        (lambda: LINEAR.jvp([np.inf] * 6), "finite"),
        (lambda: LINEAR.jacobian(dtype=np.int32), "dtype = int32"),
        (
            lambda: LINEAR.jacobian(out=np.zeros((5, *SHAPE))),
            "out must be a float64 or float32 array of shape",
        ),
        (lambda: LINEAR.jacobian(out=np.zeros((6, 20, 16)).swapaxes(1, 2)), "contiguous in C order"),
        (lambda: LINEAR.jacobian(roi=(0, 20, 0, 3)), "leaves the image of 20 x 16 pixels"),
        (lambda: LINEAR.jacobian(roi=(5, 3, 0, 3)), "inverted"),
        (lambda: LINEAR.jacobian(mask=np.ones(3)), "mask has the shape"),
        (lambda: SIMULATOR.moved(["crystal.orientation"], [1, 2]), r"values has the shape \(2,\); \(3,\)"),
        (lambda: SIMULATOR.moved(["detector.distance_mm"], [-1]), "distance_mm must be"),
        (lambda: nbragg.derivatives(SIMULATOR.setup, parameters=["beam.fluens"]), "'beam.fluence'"),
    ],
)
def test_refusals(call: Any, complaint: str) -> None:
    with pytest.raises(nbragg.InputError, match=complaint):
        call()


def test_devices() -> None:
    """A GPU that is not there: "auto" takes the CPU."""
    with pytest.raises(nbragg.DeviceError):
        SIMULATOR.linearize(NAMES, device="cuda:77").jacobian()
    assert np.array_equal(SIMULATOR.linearize(NAMES, device="auto:77").image, LINEAR.image)


def test_what_is_not_finite_is_an_error() -> None:
    factors = nbragg.StructureFactors.constant(1e160)
    linear = simulator(structure_factors=factors).linearize(NAMES)
    for call in (
        lambda: linear.image,
        lambda: linear.vjp(np.ones(SHAPE)),
        lambda: linear.jvp(np.eye(6)),
        linear.jacobian,
        lambda: linear.gauss_newton(np.ones(SHAPE)),
    ):
        with pytest.raises(nbragg.RenderError, match="infinite or NaN"):
            call()


def test_interpolation_ends_where_it_does_in_the_whole_image() -> None:
    """In the reference's formulas it is switched off from one pixel on (canonical 7.3)."""
    factors = nbragg.datasets.lysozyme(8.0)
    changes = {"structure_factors": factors, "interpolate": True, "physics": "nanobragg"}
    linear = simulator(**changes, distance_mm=40, shape="square").linearize(NAMES)
    J = linear.jacobian()
    assert np.array_equal(linear.jacobian(roi=(2, 12, 3, 8))[:, 3:9, 2:13], J[:, 3:9, 2:13])


def test_sizes_beyond_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    large = simulator(fpixels=1000, spixels=1000).linearize(NAMES)
    monkeypatch.setattr(memory, "available_bytes", lambda: 30_000_000)
    with pytest.raises(nbragg.MemoryLimitError, match=r"Jacobian of 6 parameters needs 48 MB.*gauss_newton"):
        large.jacobian()
    with pytest.raises(nbragg.MemoryLimitError, match=r"5 derivative images needs 40 MB.*fewer directions"):
        large.jvp(np.zeros((6, 5)))
