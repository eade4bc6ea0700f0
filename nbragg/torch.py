"""Images that PyTorch differentiates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .base.optional import require

if TYPE_CHECKING:
    from .simulation.simulator import Simulator

__all__ = ["image"]


def image(simulator: Simulator, parameters: Mapping[str, Any], *, dtype: Any = None) -> Any:
    """An image as a differentiable function of tensors.

    Renders the set-up with the values given, and takes part in PyTorch's automatic differentiation: backward
    is one pass over the image for all parameters together, and so is forward mode.  The derivatives are
    exact, in double precision; with them alone `nbragg.Linearization` does the same without PyTorch.

    Parameters
    ----------
    simulator : Simulator
        Everything that is not given by ``parameters``, and how to render.
    parameters : mapping of str to torch.Tensor
        Name of a parameter or a group, as for `Simulator.linearize`, to its value in its unit (not an
        offset): a tensor without axes for one parameter, with one number for each of a group
        (``{"crystal.rotation_deg": torch.zeros(3)}``).  float64 or float32, on any device.  Float32 has seven
        digits, which is coarse for a cell or a distance: a cell edge of 79 A is rounded to 4e-6 A.
    dtype : torch.float64 or torch.float32, optional
        Of the image; None: float64 where one of the tensors is, else float32.

    Returns
    -------
    torch.Tensor
        Photons per pixel, shape as `Result.image`, on the device of the first tensor.

    Raises
    ------
    MissingPackageError
        Without PyTorch.
    InputError
        For an unknown name (the nearest known one is given), a tensor of another size or kind, values that no
        set-up can have, and as `Simulator.linearize`; in backward for a gradient that is not finite, for
        second derivatives, and for torch.func.vmap over parameters.
    RenderError

    Notes
    -----
    ``torch.func.grad``, ``jacfwd`` and ``jacrev`` work; Jacobians are quicker from
    `Linearization.jacobian`.  The image is computed in float64 whatever ``dtype`` is.

    Examples
    --------
    >>> import nbragg, nbragg.torch, torch  # doctest: +SKIP
    >>> simulator = nbragg.Simulator(setup)  # doctest: +SKIP
    >>> turn = torch.zeros(3, dtype=torch.float64, requires_grad=True)  # doctest: +SKIP
    >>> loss = (nbragg.torch.image(simulator, {"crystal.rotation_deg": turn}) - data).square().sum()
    ... # doctest: +SKIP
    >>> loss.backward()  # doctest: +SKIP
    """
    require("torch", extra="torch", purpose="nbragg.torch")
    from .inverse.torch_image import differentiable

    return differentiable(simulator, parameters, dtype)
