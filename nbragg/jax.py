"""Images that JAX differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .base.optional import require

if TYPE_CHECKING:
    from .simulation.simulator import Simulator

__all__ = ["image"]


def image(simulator: Simulator, parameters: Mapping[str, Any], *, mode: str = "reverse") -> Any:
    """An image as a differentiable function of JAX arrays.

    Renders the set-up with the values given, outside JAX, and takes part in its automatic differentiation.
    Works inside ``jax.jit``; ``jax.vmap`` renders one image after the other.

    Parameters
    ----------
    simulator : Simulator
        Everything that is not given by ``parameters``, and how to render.
    parameters : mapping of str to array
        Name of a parameter or a group, as for `Simulator.linearize`, to its value in its unit (not an
        offset): a number for one parameter, an array with one number for each of a group
        (``{"crystal.rotation_deg": jnp.zeros(3)}``).
    mode : {"reverse", "forward"}
        For ``jax.grad``, ``vjp`` and ``jacrev``, or for ``jax.jvp`` and ``jacfwd``: JAX lets a function from
        outside have one of the two.

    Returns
    -------
    jax.Array
        Photons per pixel, shape as `Result.image`; float64 where JAX has it switched on
        (``jax.config.update("jax_enable_x64", True)``), else float32, as are the derivatives.  Without it
        values have seven digits, which is coarse for a cell or a distance.

    Raises
    ------
    MissingPackageError
        Without JAX.
    InputError
        For an unknown name (the nearest known one is given), an array of another size or kind, an unknown
        mode, second derivatives, and as `Simulator.linearize`.  What is wrong with values that no set-up can
        have is known only when the image is rendered; JAX then raises its own error with that message in it.

    Notes
    -----
    Backward is one pass over the image for all parameters together, in float64 inside.  The image goes
    through the host's memory.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, nbragg, nbragg.jax  # doctest: +SKIP
    >>> simulator = nbragg.Simulator(setup)  # doctest: +SKIP
    >>> def loss(turn):  # doctest: +SKIP
    ...     return ((nbragg.jax.image(simulator, {"crystal.rotation_deg": turn}) - data) ** 2).sum()
    >>> jax.jit(jax.value_and_grad(loss))(jnp.zeros(3))  # doctest: +SKIP
    """
    require("jax", extra="jax", purpose="nbragg.jax")
    from .inverse.jax_image import differentiable

    return differentiable(simulator, parameters, mode)
