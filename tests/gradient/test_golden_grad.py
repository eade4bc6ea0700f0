"""The golden derivatives (tests/golden/gradients): products and normal equations of 52 command lines."""

from __future__ import annotations

import functools
import json
import shlex
from typing import Any

import cuda_host as host
import golden_cases as g
import numpy as np
import numpy.typing as npt
import pytest
from derivatives import scene_derivative
from gradient_parts import ISA_LEVELS, TOLERANCE, gradient

import nbragg
from nbragg.base.errors import InputError
from nbragg.scene.parameters import expand, tangents

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Image = npt.NDArray[np.float64]

FOLDER = g.GOLDEN / "gradients"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
DIRECTIONS = [case for case in CASES if case["kind"] == "direction"]
NORMAL = [case for case in CASES if case["kind"] == "gauss_newton"]
PRECISIONS = ["double", "mixed"]


def ids(cases: list[dict[str, Any]]) -> list[str]:
    return [case["id"] for case in cases]


@functools.cache
def values(name: str) -> npt.NDArray[Any]:
    with np.load(FOLDER / "values.npz") as stored:
        array: npt.NDArray[Any] = stored[name]
    return array


@functools.lru_cache(maxsize=4)
def _setup(args: str, physics: str) -> nbragg.Setup:
    return nbragg.from_cli(shlex.split(args.format(data=g.DATA))).replace(physics=physics)


def setup(case: dict[str, Any]) -> nbragg.Setup:
    return _setup(case["args"], case["physics"])


def assert_direction(case: dict[str, Any], image: Image, along: Image, dot: float, tolerance: float) -> None:
    """The stored pixels of the derivative, and the product of a cotangent with all of them."""
    assert image.shape == along.shape == tuple(case["shape"])
    pixels = values(f"{case['id']}:pixels")
    assert np.abs(along.reshape(-1)[pixels] - values(f"{case['id']}:derivative")).max() <= (
        tolerance * case["largest"]
    )
    assert abs(dot - case["dot"]) <= tolerance * case["dot_scale"]


def assert_image(case: dict[str, Any], image: Image, tolerance: float) -> None:
    stored = values(f"{case['id']}:image")
    pixels = values(f"{case['id']}:pixels")
    assert np.abs(image.reshape(-1)[pixels] - stored).max() <= tolerance * case["image_max"]


def cotangent(case: dict[str, Any]) -> Image:
    u: Image = np.random.default_rng(case["cotangent_seed"]).uniform(-1, 1, case["shape"])
    return u


def residual_and_weights(case: dict[str, Any]) -> tuple[Image, Image]:
    rng = np.random.default_rng(case["cotangent_seed"])
    return rng.uniform(-1, 1, case["shape"]), rng.uniform(0.1, 1, case["shape"])


def assert_normal_equations(case: dict[str, Any], H: Any, b: Any, tolerance: float) -> None:
    stored = values(f"{case['id']}:H")
    r, w = residual_and_weights(case)
    size = np.sqrt(np.diag(stored))
    assert H.shape == stored.shape and b.shape == (len(stored),)
    assert (np.abs(H - stored) <= tolerance * np.outer(size, size)).all()
    limit = tolerance * size * np.sqrt((w * r**2).sum())
    assert (np.abs(b - values(f"{case['id']}:b")) <= limit).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", DIRECTIONS, ids=ids(DIRECTIONS))
def test_directions_through_the_simulator(case: dict[str, Any], precision: str) -> None:
    """What people write: names, a dict of coefficients, a dict of results."""
    if case["id"] == "tophat_cell_zero":  # the engine's answer is 0, which would mislead people
        with pytest.raises(InputError, match="tophat"):
            nbragg.Simulator(setup(case)).linearize(list(case["direction"]))
        return
    linear = nbragg.Simulator(setup(case)).linearize(list(case["direction"]), precision=precision)
    assert set(linear.parameters) == set(case["direction"])
    back = linear.vjp(cotangent(case))
    dot = sum(coefficient * back[name] for name, coefficient in case["direction"].items())
    along = linear.jvp(case["direction"])
    assert_direction(case, linear.image, along, dot, TOLERANCE[precision])
    assert_image(case, linear.image, 1e-12 if precision == "double" else 2e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", NORMAL, ids=ids(NORMAL))
def test_normal_equations_through_the_simulator(case: dict[str, Any], precision: str) -> None:
    """H and b in the order of the names."""
    linear = nbragg.Simulator(setup(case)).linearize(case["names"], precision=precision)
    assert list(linear.parameters) == case["names"]
    r, w = residual_and_weights(case)
    found = linear.gauss_newton(residual=r, weights=w)
    assert_normal_equations(case, found.H, found.b, TOLERANCE[precision])


@host.needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_the_cuda_kernels(case: dict[str, Any], precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products and normal equations by the kernels of a GPU, run on the host."""
    if case["id"] == "tophat_cell_zero":
        pytest.skip("refused by the front end")
    host.pretend_gpu(monkeypatch)
    names = list(case.get("direction") or case["names"])
    linear = nbragg.Simulator(setup(case)).linearize(names, precision=precision, device="cuda")
    if case["kind"] == "gauss_newton":
        found = linear.gauss_newton(*residual_and_weights(case))
        assert_normal_equations(case, found.H, found.b, TOLERANCE[precision])
        return
    back = linear.vjp(cotangent(case))
    dot = sum(coefficient * back[name] for name, coefficient in case["direction"].items())
    assert_direction(case, linear.image, linear.jvp(case["direction"]), dot, TOLERANCE[precision])


@functools.lru_cache(maxsize=2)
def _engine_parts(number: int) -> tuple[Any, Any, Any, list[float]]:
    case = CASES[number]
    direction = case.get("direction") or dict.fromkeys(case["names"], 1.0)
    parameters = expand(list(direction), setup(case), steps=True)
    rows, frames = tangents(setup(case), parameters)
    coefficients = [float(direction[parameter.name]) for parameter in parameters]
    return nbragg.build_scene(setup(case)), rows, frames, coefficients


def engine_parts(case: dict[str, Any]) -> tuple[Any, Any, Any, list[float]]:
    """Scene, tangents, frames, and a coefficient for each tangent."""
    return _engine_parts(CASES.index(case))


@pytest.mark.parametrize("isa", ISA_LEVELS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", DIRECTIONS, ids=ids(DIRECTIONS))
def test_directions_of_the_engine(
    case: dict[str, Any], precision: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J v and J^T g with every instruction set."""
    monkeypatch.setenv("NBRAGG_ISA", isa)
    scene, rows, frames, coefficients = engine_parts(case)
    found = gradient(scene, rows, frames, precision=precision)
    v = np.array(coefficients)
    dot = float(v @ found.vjp(cotangent(case)))
    assert_direction(case, found.image, found.jvp(v[:, None])[0], dot, TOLERANCE[precision])


@pytest.mark.parametrize("isa", ISA_LEVELS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", NORMAL, ids=ids(NORMAL))
def test_normal_equations_of_the_engine(
    case: dict[str, Any], precision: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J^T W J and J^T W r with every instruction set."""
    monkeypatch.setenv("NBRAGG_ISA", isa)
    scene, rows, frames, _ = engine_parts(case)
    H, b = gradient(scene, rows, frames, precision=precision).gauss_newton(*residual_and_weights(case))
    assert_normal_equations(case, H, b, TOLERANCE[precision])


@pytest.mark.slow  # enters no engine
@pytest.mark.parametrize("case", DIRECTIONS, ids=ids(DIRECTIONS))
def test_the_oracle_itself(case: dict[str, Any]) -> None:
    """The oracle's complex step against the golden derivatives, which another program made: within 1e-12."""
    scene, rows, frames, coefficients = engine_parts(case)
    found = [scene_derivative(scene, row, frames) for row in rows]
    along = sum(c * rate for c, (_, rate) in zip(coefficients, found, strict=True))
    assert isinstance(along, np.ndarray)
    dot = float((along * cotangent(case)).sum())
    assert_direction(case, found[0][0], along, dot, 1e-12)
    assert_image(case, found[0][0], 1e-13)
