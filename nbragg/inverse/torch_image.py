"""The image as a function that PyTorch differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.errors import InputError
from .layout import Layout, layout_of

if TYPE_CHECKING:
    from ..simulation.simulator import Simulator
    from .linearization import Linearization

__all__ = ["differentiable"]

_SECOND = (
    "nbragg.torch.image has first derivatives only: no second backward (create_graph) and no forward mode "
    "over backward; for curvature take Linearization.gauss_newton"
)
_BATCHED = (
    "nbragg.torch.image takes one set of values: torch.func.vmap over parameters cannot go through it; call "
    "it in a loop, or render with Simulator.render_many"
)
_NO_VALUES = (
    "nbragg.torch.image met a tensor without numbers: one that is being traced, or a derivative of a "
    "derivative (torch.func.hessian); it has first derivatives only"
)


class _Call:
    """One call: what is rendered, and its derivatives, which forward leaves for backward."""

    def __init__(self, simulator: Simulator, layout: Layout, dtype: Any, device: Any) -> None:
        self.simulator, self.layout, self.dtype, self.device = simulator, layout, dtype, device
        self.linear: Linearization

    def image(self, tensors: tuple[Any, ...]) -> Any:
        values = self.layout.join([_host(tensor) for tensor in tensors])
        moved = self.simulator.moved(self.layout.names, values)
        self.linear = moved.linearize(self.layout.names)
        return self.tensor(self.linear.image)

    def tensor(self, image: NDArray[np.float64]) -> Any:
        # a copy: the Linearization keeps its own
        return torch.tensor(image, dtype=self.dtype, device=self.device)

    def gradient(self, cotangent: Any, like: tuple[Any, ...]) -> tuple[Any, ...]:
        found = self.linear.vjp(_host(cotangent))
        parts = self.layout.split(np.array([found[name] for name in self.layout.names]))
        return tuple(
            torch.tensor(part, dtype=tensor.dtype, device=tensor.device)
            for part, tensor in zip(parts, like, strict=True)
        )


def _host(tensor: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(tensor.detach().to("cpu", torch.float64).numpy())
    except RuntimeError as error:
        raise InputError(f"{_NO_VALUES} ({error})") from None


class _Image(torch.autograd.Function):  # type: ignore[misc]
    """The image; differentiated by the two functions below."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        return call.image(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call, tensors = inputs[0], inputs[1:]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        return (None, *_Gradient.apply(ctx.call, cotangent, *ctx.saved_tensors))

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> Any:
        return _Derivative.apply(ctx.call, *ctx.saved_tensors, *tangents)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        raise InputError(_BATCHED)


class _Once(torch.autograd.Function):  # type: ignore[misc]
    """A first derivative, which has none itself, and says so."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise InputError(_SECOND)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise InputError(_SECOND)


class _Gradient(_Once):
    """J^T g.  The tensors of the parameters are inputs so that a second backward comes here."""

    @staticmethod
    def forward(call: _Call, cotangent: Any, *tensors: Any) -> Any:
        return call.gradient(cotangent, tensors)

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, cotangent: Any, *tensors: Any) -> Any:
        if any(dim is not None for dim in in_dims[2:]):
            raise InputError(_BATCHED)
        rows = [call.gradient(each, tensors) for each in cotangent.movedim(in_dims[1], 0)]
        return tuple(torch.stack(parts) for parts in zip(*rows, strict=True)), (0,) * len(tensors)


class _Derivative(_Once):
    """J v, of tensors of the parameters and their tangents."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        tangents = tensors[len(call.layout.shapes) :]
        return call.tensor(call.linear.jvp(call.layout.join([_host(tangent) for tangent in tangents])))

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, *tensors: Any) -> Any:
        half = len(call.layout.shapes)
        if any(dim is not None for dim in in_dims[1 : 1 + half]):
            raise InputError(_BATCHED)
        columns = [
            np.broadcast_to(_host(tangent).reshape(1, -1), (info.batch_size, tangent.numel()))
            if dim is None
            else _host(tangent.movedim(dim, 0)).reshape(info.batch_size, -1)
            for tangent, dim in zip(tensors[half:], in_dims[1 + half :], strict=True)
        ]
        return call.tensor(call.linear.jvp(np.concatenate(columns, axis=1).T)), 0


def differentiable(simulator: Simulator, parameters: Mapping[str, Any], dtype: Any) -> Any:
    """See `nbragg.torch.image`."""
    for name, tensor in parameters.items():
        if not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"{name} is a {type(tensor).__name__}; a tensor of its value was expected: torch.tensor(...)"
            )
        if tensor.dtype not in (torch.float32, torch.float64):
            raise InputError(f"{name} has dtype {tensor.dtype}; torch.float64 or torch.float32 was expected")
    layout = layout_of({name: tuple(tensor.shape) for name, tensor in parameters.items()}, simulator.setup)
    tensors = tuple(parameters.values())
    if dtype is None:
        double = any(tensor.dtype == torch.float64 for tensor in tensors)
        dtype = torch.float64 if double else torch.float32
    elif dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype = {dtype!r}: images are torch.float64 or torch.float32")
    return _Image.apply(_Call(simulator, layout, dtype, tensors[0].device), *tensors)
