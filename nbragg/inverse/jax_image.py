"""The image as a function that JAX differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..base.errors import InputError
from ..base.names import suggestion
from .layout import Layout, layout_of

if TYPE_CHECKING:
    from ..simulation.simulator import Simulator
    from .linearization import Linearization

__all__ = ["differentiable"]

MODES = ("reverse", "forward")

_SECOND = (
    "nbragg.jax.image has first derivatives only: no hessian, no grad of grad; for curvature take "
    "Linearization.gauss_newton"
)


class _Host:
    """What runs outside JAX, on NumPy arrays."""

    def __init__(self, simulator: Simulator, layout: Layout, kind: Any) -> None:
        self.simulator, self.layout, self.kind = simulator, layout, kind
        self.shape = simulator.scene.image_shape

    def _linear(self, arrays: Sequence[Any]) -> Linearization:
        moved = self.simulator.moved(self.layout.names, self.layout.join(arrays))
        return moved.linearize(self.layout.names)

    def image(self, *arrays: Any) -> Any:
        return self._linear(arrays).image.astype(self.kind)

    def gradient(self, cotangent: Any, *arrays: Any) -> tuple[Any, ...]:
        found = self._linear(arrays).vjp(np.asarray(cotangent, np.float64))
        vector = np.array([found[name] for name in self.layout.names])
        return tuple(part.astype(self.kind) for part in self.layout.split(vector))

    def derivative(self, *arrays: Any) -> Any:
        half = len(self.layout.shapes)
        return self._linear(arrays[:half]).jvp(self.layout.join(arrays[half:])).astype(self.kind)

    def call(self, function: Callable[..., Any], result: Any, *arrays: Any) -> Any:
        """A function of this object, as an operation of JAX that refuses to be differentiated."""

        def once(*arrays: Any) -> Any:
            return jax.pure_callback(function, result, *arrays, vmap_method="sequential")

        def second(primals: Any, tangents: Any) -> Any:
            raise InputError(_SECOND)

        operation = jax.custom_jvp(once)
        operation.defjvp(second)
        return operation(*arrays)


def _reverse(host: _Host) -> Callable[..., Any]:
    image = jax.ShapeDtypeStruct(host.shape, host.kind)
    arrays = tuple(jax.ShapeDtypeStruct(shape, host.kind) for shape in host.layout.shapes)

    def rendered(*values: Any) -> Any:
        return host.call(host.image, image, *values)

    def forward(*values: Any) -> tuple[Any, Any]:
        return rendered(*values), values

    def backward(values: Any, cotangent: Any) -> Any:
        return host.call(host.gradient, arrays, cotangent, *values)

    function = jax.custom_vjp(rendered)
    function.defvjp(forward, backward)
    return function  # type: ignore[no-any-return]


def _forward(host: _Host) -> Callable[..., Any]:
    image = jax.ShapeDtypeStruct(host.shape, host.kind)

    def rendered(*values: Any) -> Any:
        return host.call(host.image, image, *values)

    def forward(primals: Any, tangents: Any) -> Any:
        return rendered(*primals), host.call(host.derivative, image, *primals, *tangents)

    function = jax.custom_jvp(rendered)
    function.defjvp(forward)
    return function  # type: ignore[no-any-return]


def differentiable(simulator: Simulator, parameters: Mapping[str, Any], mode: str) -> Any:
    """See `nbragg.jax.image`."""
    if mode not in MODES:
        raise InputError(f"mode = {mode!r} is not known{suggestion(str(mode), MODES)}")
    kind = jnp.result_type(float)  # float64 where JAX has it switched on
    arrays = {}
    for name, value in parameters.items():
        array = jnp.asarray(value)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} has dtype {array.dtype}; real numbers were expected")
        arrays[name] = array.astype(kind)
    layout = layout_of({name: tuple(array.shape) for name, array in arrays.items()}, simulator.setup)
    make = _reverse if mode == "reverse" else _forward
    return make(_Host(simulator, layout, np.dtype(kind)))(*arrays.values())
