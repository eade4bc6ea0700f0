"""nbragg.jax.image is a function that JAX differentiates rightly, and refuses what it cannot."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small import STEPS, image_at, simulator

import nbragg

jax: Any = pytest.importorskip("jax", reason="JAX is not installed: pip install 'nanobragg[jax]'")
jnp: Any = importlib.import_module("jax.numpy")
check_grads: Any = importlib.import_module("jax.test_util").check_grads

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

SIMULATOR = simulator()
VALUES = dict(zip(STEPS, SIMULATOR.linearize(list(STEPS)).values.tolist(), strict=True))


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """JAX in double precision, which the tests of float32 switch off."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("name", STEPS)
def test_check_grads(name: str) -> None:
    """The parameter is given in units of 1000 steps, so that one ``eps`` suits all."""
    unit = 1000 * STEPS[name]

    def image(x: Any, mode: str) -> Any:
        return 1e3 * nbragg.jax.image(SIMULATOR, {name: VALUES[name] + unit * x}, mode=mode)

    for mode, short in (("reverse", "rev"), ("forward", "fwd")):
        check_grads(
            lambda x, mode=mode: image(x, mode), (0.0,), 1, modes=[short], eps=1e-4, atol=1e-4, rtol=1e-5
        )


def test_jit_and_grad() -> None:
    names = ["crystal.orientation", "detector.distance_mm"]
    data = image_at(SIMULATOR, names, [0.1, -0.1, 0.1, 100.2])

    def loss(turn: Any, distance: Any) -> Any:
        values = {"crystal.rotation_deg": turn, "detector.distance_mm": distance}
        return ((nbragg.jax.image(SIMULATOR, values) - data) ** 2).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(jnp.zeros(3), 100.0)
    linear = SIMULATOR.linearize(names)
    expected = linear.vjp(2 * (linear.image - data))
    assert np.isclose(float(value), ((linear.image - data) ** 2).sum(), rtol=1e-12)
    assert np.allclose([*gradient[0], gradient[1]], list(expected.values()), rtol=1e-9)


def test_a_descent_lowers_a_loss() -> None:
    data = image_at(SIMULATOR, ["crystal.orientation"], [0.1, -0.1, 0.1])
    loss = jax.jit(
        jax.value_and_grad(
            lambda turn: ((nbragg.jax.image(SIMULATOR, {"crystal.rotation_deg": turn}) - data) ** 2).sum()
        )
    )
    turn = jnp.zeros(3)
    first, gradient = loss(turn)
    rate = 0.02 / jnp.abs(gradient).max()
    for _ in range(20):
        value, gradient = loss(turn)
        turn = turn - rate * gradient
    assert value < 0.5 * first


def test_transforms() -> None:
    J = SIMULATOR.linearize(["crystal.rotation_deg"]).jacobian()

    def image(turn: Any, mode: str = "reverse") -> Any:
        return nbragg.jax.image(SIMULATOR, {"crystal.rotation_deg": turn}, mode=mode)

    for found in (
        jax.jacrev(image)(jnp.zeros(3)),
        jax.jit(jax.jacfwd(lambda turn: image(turn, "forward")))(jnp.zeros(3)),
    ):
        assert np.abs(np.moveaxis(np.asarray(found), -1, 0) - J).max() <= 1e-12 * np.abs(J).max()
    turns = jnp.array([[0.0, 0, 0], [0.1, 0, 0]])
    images = jax.vmap(image)(turns)
    for turn, found in zip(turns.tolist(), images, strict=True):
        assert np.array_equal(np.asarray(found), image_at(SIMULATOR, ["crystal.orientation"], turn))


def test_single_precision() -> None:
    jax.config.update("jax_enable_x64", False)

    def total(edge: Any) -> Any:
        return nbragg.jax.image(SIMULATOR, {"crystal.cell.a": edge}).sum()

    assert nbragg.jax.image(SIMULATOR, {"crystal.cell.a": 70.0}).dtype == np.float32
    expected = SIMULATOR.linearize(["crystal.cell.a"]).vjp(np.ones((16, 20)))["crystal.cell.a"]
    gradient = jax.jit(jax.grad(total))(70.0)
    assert gradient.dtype == np.float32 and abs(float(gradient) / expected - 1) < 1e-6


def test_a_large_image_does_not_wait_for_itself() -> None:
    """Arrays of some size are handed to functions outside JAX on another way."""
    large = simulator(fpixels=600, spixels=600, pixel_mm=0.01, oversample=1)

    def loss(fluence: Any) -> Any:
        return (nbragg.jax.image(large, {"beam.fluence": fluence}) ** 2).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(1e24)
    assert np.isclose(float(gradient) * 1e24, 2 * float(value), rtol=1e-9)


def test_second_derivatives_are_refused() -> None:
    def total(edge: Any, mode: str = "reverse") -> Any:
        return nbragg.jax.image(SIMULATOR, {"crystal.cell.a": edge}, mode=mode).sum()

    with pytest.raises(nbragg.InputError, match="first derivatives only"):
        jax.hessian(total)(70.0)
    with pytest.raises(nbragg.InputError, match="first derivatives only"):
        jax.grad(jax.grad(total))(70.0)
    with pytest.raises(nbragg.InputError, match="first derivatives only"):
        jax.jacfwd(jax.jacfwd(lambda edge: total(edge, "forward")))(70.0)


def test_refusals() -> None:
    for values, complaint in (
        ({}, "no parameter is given"),
        ({"crystal.cel.a": 70.0}, "did you mean 'crystal.cell.a'"),
        ({"crystal.cell.a": jnp.zeros((), complex)}, "dtype complex128; real numbers"),
        ({"crystal.rotation_deg": jnp.zeros(2)}, "3 numbers were expected"),
    ):
        with pytest.raises(nbragg.InputError, match=complaint):
            nbragg.jax.image(SIMULATOR, values)
    with pytest.raises(nbragg.InputError, match="mode = 'backward' is not known; did you mean 'forward'"):
        nbragg.jax.image(SIMULATOR, {"crystal.cell.a": 70.0}, mode="backward")


@pytest.mark.filterwarnings("ignore")
def test_values_that_cannot_be_are_named() -> None:
    with pytest.raises(Exception, match="distance_mm must be"):
        jax.block_until_ready(
            jax.jit(lambda d: nbragg.jax.image(SIMULATOR, {"detector.distance_mm": d}))(-5.0)
        )
