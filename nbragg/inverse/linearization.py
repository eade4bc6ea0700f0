"""An image to first order in chosen parameters: the image, and products with its derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..base import memory
from ..base import validate as check
from ..base.cached import cached_property
from ..base.errors import InputError, RenderError
from ..base.records import FrozenArrays, frozen
from ..response.exposure import exposure_of
from ..scene.parameters import expand, tangents
from ..scene.stages import Stages
from .arrays import direction_columns, image_array
from .composite import gradient_of
from .counts import CountsGradient, check_held
from .region import restricted

if TYPE_CHECKING:
    from ..engine.gradient import Gradient
    from ..engine.options import RenderOptions
    from ..model.setup import Setup
    from ..scene.record import Scene
    from ..scene.tangent import SceneTangent
    from .composite import CompositeGradient
    from .information import Information
    from .noise import Noise

__all__ = ["GaussNewton", "Linearization", "LogLikelihood"]

_INSTEAD = (
    "gauss_newton gives J^T W J and J^T W r without holding J, vjp and jvp give products with it; or take "
    "fewer parameters, dtype=np.float32, or an out of your own, which may be a memory map"
)


@frozen
class GaussNewton(FrozenArrays):
    """The normal equations of a least-squares step, from one pass over the image.

    With J the derivatives of the image by the parameters, r the residual (data minus image) and w the
    weights, the step that lowers sum w r^2 solves ``H step = b``, where

        H = sum over pixels of w J J^T,    b = sum over pixels of w J r.

    Attributes
    ----------
    H : ndarray of float64, shape (p, p)
        Symmetric; its unit is that of the weights times photons^2 over the units of both parameters.
    b : ndarray of float64, shape (p,)
    parameters : tuple of str
        Names of the p parameters, in the order of rows and columns.

    Examples
    --------
    >>> import numpy as np
    >>> from nbragg.inverse.linearization import GaussNewton
    >>> normal = GaussNewton(np.array([[4.0]]), np.array([2.0]), ("beam.fluence",))
    >>> np.linalg.solve(normal.H, normal.b)
    array([0.5])
    """

    H: NDArray[np.float64]
    b: NDArray[np.float64]
    parameters: tuple[str, ...]

    def __repr__(self) -> str:
        return f"GaussNewton({len(self.parameters)} parameters)"


class LogLikelihood(NamedTuple):
    """Of measured counts, from one pass over the image.

    Attributes
    ----------
    value : float
        Natural logarithm.
    gradient : dict of str to float
        Its derivative by each parameter.
    """

    value: float
    gradient: dict[str, float]


class Linearization:
    """An image and its exact first derivatives by chosen parameters, at the values of one Setup.

    Made by `Simulator.linearize` or `nbragg.derivatives`.  Nothing is rendered until it is asked for, and
    no derivative image is kept: `jvp`, `vjp`, `gauss_newton` are one pass over the image each.  Each channel
    of a spectrum is taken by its own wavelength, in the image too, whatever ``spectral`` says.  An object
    does not change and can be used from several threads at once.

    Attributes
    ----------
    setup : Setup
        Where the derivatives are taken.
    options : RenderOptions
        How they are computed: device, precision, threads, progress.
    parameters : tuple of str
        Names of the p single parameters; groups are opened, in the order given.
    values : ndarray of float64, shape (p,)
        Their values in `setup`.
    units : tuple of str
        Their units; derivatives are photons per pixel per unit.
    of : {"photons", "counts"}
        What the image is of: expected photons, or what the detector writes of them on average, ADU; read
        "photons" below accordingly.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
    >>> setup = nbragg.Setup(crystal, detector=nbragg.Detector(distance_mm=100, fpixels=32, spixels=32))
    >>> linear = nbragg.Simulator(setup).linearize(["crystal.orientation", "detector.distance_mm"])
    >>> linear
    Linearization(4 parameters, image (32, 32))
    >>> linear.parameters[-1], float(linear.values[-1]), linear.units[-1]
    ('detector.distance_mm', 100.0, 'mm')
    >>> moved = linear.jvp({"detector.distance_mm": 0.1})  # the change of the image by 0.1 mm
    >>> moved.shape
    (32, 32)
    """

    def __init__(
        self,
        setup: Setup,
        scene: Scene,
        options: RenderOptions,
        parameters: Sequence[str] | str,
        of: str = "photons",
        made: Stages | None = None,
    ) -> None:
        if not isinstance(parameters, Iterable):
            raise InputError(f"parameters must be names or a list of them, not {parameters!r}")
        names = (parameters,) if isinstance(parameters, str) else tuple(parameters)
        if not names:
            raise InputError('no parameter is named: give at least one, for example "crystal.orientation"')
        self.setup, self.options, self._scene = setup, options, scene
        self._made = Stages(made)  # by which the scene was made, at hand for its tangents
        self.of = check.choice("of", of, ("photons", "counts"))
        self._parameters = expand(names, setup, scene=scene)
        self.parameters = tuple(parameter.name for parameter in self._parameters)
        if self.of == "counts" and setup.response is None:
            raise InputError('of = "counts" needs a detector response: give the Setup one')
        own = [name for name in self.parameters if name.startswith("response.")]
        if own and self.of == "photons":
            raise InputError(f'{own[0]} moves no photons: linearize(..., of="counts") takes it')
        self.units = tuple(parameter.unit for parameter in self._parameters)
        self.values = np.array([parameter.value for parameter in self._parameters], np.float64)
        self.values.setflags(write=False)

    def __repr__(self) -> str:
        count = len(self.parameters)
        return f"Linearization({count} parameter{'s' * (count != 1)}, image {self._scene.image_shape})"

    def __len__(self) -> int:
        return len(self.parameters)

    @cached_property
    def _tangents(self) -> Any:
        found = tangents(self.setup, self._parameters, self._made)
        if self.of == "counts" and self.setup.response is not None:
            check_held(self.setup.response, self._parameters, found[0])
        return found

    @cached_property
    def _gradient(self) -> Gradient | CompositeGradient | CountsGradient:
        return self._gradient_of(self._scene) if self.of == "photons" else self._counts

    @cached_property
    def _counts(self) -> CountsGradient:
        response = self.setup.response
        assert response is not None
        exposure = exposure_of(self._scene, self.setup.beam.exposure_s)
        return CountsGradient(self._gradient_of(self._scene), response, exposure, self._parameters)

    def _gradient_of(self, scene: Scene) -> Gradient | CompositeGradient:
        rows, frames = self._tangents
        return gradient_of(scene, rows, frames, self.options)

    @cached_property
    def image(self) -> NDArray[np.float64]:
        """Photons per pixel before rounding to float32, shape as `Result.image`; read-only.

        Raises
        ------
        RenderError
            When a pixel is infinite or NaN, or the engine fails.
        """
        image = self._gradient.image
        if not np.isfinite(image).all():
            first = int((~np.isfinite(image)).argmax())
            raise RenderError(
                f"the image is infinite or NaN at {self._scene.pixel_name(first)}: check fluence, structure "
                "factors and sizes"
            )
        image.setflags(write=False)
        return image

    def jvp(self, direction: Mapping[str, Any] | Any) -> NDArray[np.float64]:
        """The derivative of the image along a direction: J v, photons per pixel.

        Parameters
        ----------
        direction : mapping of str to float, or array_like
            How fast each parameter moves, in its unit.  A mapping names parameters, the others stay; the name
            of a group takes one number for each of its parameters.  An array of shape (p,) has the order of
            `parameters`; one of shape (p, m) is m directions, computed together.

        Returns
        -------
        ndarray of float64
            Shape of `image`; (m, ...) for an array of shape (p, m).  0 where no pixel is rendered.

        Raises
        ------
        InputError
            For a name or shape that does not fit and a coefficient that is not finite.
        MemoryLimitError
            When m images do not fit into memory.
        RenderError
        """
        columns = direction_columns(direction, self.parameters, self.setup)
        many = columns.ndim == 2
        if many:
            size = columns.shape[1] * self._pixels * 8
            memory.require(size, f"{columns.shape[1]} derivative images", "give fewer directions at a time")
        images = self._gradient.jvp(np.ascontiguousarray(columns if many else columns[:, None]))
        for image in images:
            _check_finite(image, "the derivative image")
        return images if many else images[0]

    @overload
    def vjp(self, cotangent: Any, *, scene: Literal[False] = ...) -> dict[str, float]: ...

    @overload
    def vjp(self, cotangent: Any, *, scene: Literal[True]) -> SceneTangent: ...

    def vjp(self, cotangent: Any, *, scene: bool = False) -> dict[str, float] | SceneTangent:
        """The gradient of a function of the image by all parameters: J^T g.

        Parameters
        ----------
        cotangent : array_like, shape of `image`
            The derivative of the function by each pixel.  Pixels that are not rendered (outside the roi,
            masked) do not count, but must be finite numbers too, 0 say: a NaN is refused wherever it stands.
        scene : bool
            Give the gradient by every continuous field of the Scene instead, SI units.

        Returns
        -------
        dict of str to float
            For each of `parameters`, in its unit; float64 in every precision.
        SceneTangent
            With ``scene=True``: records as those of the Scene, with the gradient by each of their fields,
            tables of structure factors whole.

        Raises
        ------
        InputError
            For a cotangent of another shape or that is not finite.
        RenderError
        """
        given = self._image_array("cotangent", cotangent)
        if scene:
            return self._gradient.scene_vjp(given)
        found = self._gradient.vjp(given)
        _check_finite(found, f"the gradient by {', '.join(self.parameters)}")
        return dict(zip(self.parameters, found.tolist(), strict=True))

    def factors_vjp(self, cotangent: Any) -> list[NDArray[np.float64] | None]:
        """The gradient of a function of the image by all structure factors of lists with a parameter.

        Parameters
        ----------
        cotangent : array_like, shape of `image`
            As of `vjp`.

        Returns
        -------
        list of ndarray or None
            Of each table of the Scene, the shape of its list; None for one of which no parameter is an entry.

        Raises
        ------
        InputError
            As `vjp`, and for a scene with a background, surroundings or atoms that move.
        RenderError
        """
        gradient = self._gradient
        if not hasattr(gradient, "tables_vjp"):
            raise InputError(
                "the gradient by all structure factors is that of the spots alone, and this image has "
                "backgrounds, surroundings, atoms that move or a detector's response"
            )
        return gradient.tables_vjp(self._image_array("cotangent", cotangent))

    def jacobian(
        self,
        *,
        roi: Sequence[int] | None = None,
        mask: Any = None,
        out: NDArray[Any] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> NDArray[Any]:
        """All derivative images: J, photons per pixel per unit of each parameter.

        Parameters
        ----------
        roi : (xmin, xmax, ymin, ymax), optional
            Compute only these pixels: fast limits, then slow limits, inclusive, counted from 0, of a detector
            of one panel; the others are 0.
        mask : array_like, shape of `image`, optional
            Compute only pixels where it is not 0.
        out : ndarray, shape (p, ...) with the shape of `image`, optional
            Filled and returned; float64 or float32, writable, contiguous in C order.
        dtype : float64 or float32
            Of the array that is made where no ``out`` is given; computed in float64 and rounded.

        Returns
        -------
        ndarray, shape (p, ...) with the shape of `image`
            In the order of `parameters`.

        Raises
        ------
        InputError
            For a roi, mask or ``out`` that does not fit, another dtype, and a roi of a detector of several
            panels (give a mask).
        MemoryLimitError
            When the array does not fit into memory.
        RenderError
        """
        shape = (len(self.parameters), *self._scene.image_shape)
        everywhere = roi is None and mask is None
        scene = self._scene if everywhere else restricted(self._scene, roi, mask)
        if out is None:
            kind = np.dtype(dtype)
            if kind not in (np.dtype(np.float64), np.dtype(np.float32)):
                raise InputError(f"dtype = {kind}: derivative images are float64 or float32")
            size = len(self.parameters) * self._pixels * kind.itemsize
            memory.require(size, f"the Jacobian of {len(self.parameters)} parameters", _INSTEAD)
            out = np.zeros(shape, kind)
        else:
            _check_out(out, shape)
        # where interpolation ends depends on all the pixels, and so do counts where light spreads
        ends = any(table.interpolation == "tricubic" for table in scene.tables)
        whole = everywhere or ends or self.of == "counts"
        (self._gradient if whole else self._gradient_of(scene)).jacobian(out)
        used = scene.mask_image
        for name, image in zip(self.parameters, out, strict=True):
            if used is not None:
                image[~used] = 0
            _check_finite(image, f"the derivative by {name}")
        return out

    def derivatives_at(
        self, pixels: NDArray[np.int64], room: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Derivatives of chosen pixels alone.

        Parameters
        ----------
        pixels : ndarray of int (n,)
            Image indices.
        room : ndarray of float64 of the shape of `jacobian`, optional
            Used meanwhile, in place of new memory; what it holds then means nothing.

        Returns
        -------
        ndarray of float64, shape (p, n)

        Raises
        ------
        MemoryLimitError, RenderError
        """
        shape = (len(self.parameters), *self._scene.image_shape)
        if room is None:
            memory.require(8 * len(shape) * self._pixels, "derivatives of all pixels", _INSTEAD)
            room = np.zeros(shape)
        self._gradient.jacobian(room)
        found = room.reshape(len(room), -1)[:, pixels]
        for name, row in zip(self.parameters, found, strict=True):
            _check_finite(row, f"the derivative by {name}")
        return found

    def information(
        self,
        noise: Noise | None = None,
        *,
        background: Any = 0.0,
        free_background: str = "none",
        priors: Mapping[str, float] | None = None,
        mask: Any = None,
    ) -> Information:
        """What data of this image would say of the parameters: Fisher information, before any are taken.

        Parameters
        ----------
        noise : Noise, optional
            None: photons are counted.
        background : float or array_like of the shape of `image`
            Photons a pixel beside those of the model.
        free_background : {"none", "constant", "plane", "radial"}
            What of it is not known and would be refined too, as of `nbragg.refine`.
        priors : mapping of str to float, optional
            Standard deviation of what is known of a parameter beforehand, in its unit.
        mask : array_like of the shape of `image`, optional
            0: a pixel that says nothing.

        Returns
        -------
        Information
            Of the parameters, whatever the background is.

        Raises
        ------
        InputError
            For arrays of another shape, names that are not free, and an image of counts.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -fluence 1e28")
        >>> found = nbragg.Simulator(setup).linearize(["beam.wavelength_A"]).information(background=1)
        >>> found.sigma["beam.wavelength_A"] < 0.01
        True
        """
        from .forecast import information_in

        return information_in(self, self._scene, noise, background, free_background, priors, mask)

    def gauss_newton(self, residual: Any, weights: Any = None) -> GaussNewton:
        """The normal equations of a least-squares step, in one pass that never holds J.

        Parameters
        ----------
        residual : array_like, shape of `image`
            r: data minus image, photons; pixels that are not rendered do not count, but must be finite.
        weights : array_like, shape of `image`, optional
            w: one over each pixel's variance, not negative, 0 for pixels that do not count; None: 1 for all.
            Take variances from the model, not from the data, which biases what is found.

        Returns
        -------
        GaussNewton
            With ``H`` = sum w J J^T and ``b`` = sum w J r.

        Raises
        ------
        InputError
            For an array of another shape or that is not finite, and negative weights.
        RenderError

        Notes
        -----
        For least squares the step is ``numpy.linalg.solve(H, b)``.  For another likelihood give for ``w r``
        the derivative of its logarithm by the pixel and for ``w`` the Fisher information (for Poisson counts
        ``r = data - image`` and ``w = 1 / image``).

        Examples
        --------
        >>> import nbragg, numpy as np
        >>> factors = nbragg.StructureFactors.constant(100)
        >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
        >>> detector = nbragg.Detector(distance_mm=100, fpixels=32, spixels=32)
        >>> linear = nbragg.derivatives(crystal, None, detector, parameters=["beam.fluence"])
        >>> data = 1.25 * linear.image
        >>> normal = linear.gauss_newton(data - linear.image)
        >>> step = np.linalg.solve(normal.H, normal.b)
        >>> print(f"{1 + step[0] / linear.values[0]:.6f}")
        1.250000
        """
        given = self._image_array("residual", residual)
        if weights is None:
            importance = np.ones(self._scene.image_shape)
        else:
            importance = self._image_array("weights", weights)
            if (importance < 0).any():
                where = self._scene.pixel_name(int((importance < 0).argmax()))
                raise InputError(f"weights must not be negative: they are at {where}, 0 leaves a pixel out")
        H, b = self._gradient.gauss_newton(given, importance)
        for sums in (H, b):
            _check_finite(sums, f"the normal equations of {', '.join(self.parameters)}")
        return GaussNewton(H, b, self.parameters)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of each pixel's counts, ADU^2 or counts, shape of `image`; see `DetectorResponse.moments`.

        Raises
        ------
        InputError
            Of photons, which are a mean.
        """
        self._of_counts("variance")
        return self._counts.variance

    def log_likelihood(self, data: Any, mask: Any = None) -> LogLikelihood:
        """How likely measured counts are, and how that moves with every parameter.

        Parameters
        ----------
        data : array_like, shape of `image`
            Pixels as the detector writes them.
        mask : array_like, shape of `image`, optional
            0: leave out. Pixels that are not rendered do not count either.

        Returns
        -------
        LogLikelihood
            Of `DetectorResponse.log_likelihood`, and its exact gradient, the variance's part included.

        Raises
        ------
        InputError
            Of photons, for arrays of another shape, and as `DetectorResponse.log_likelihood`.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -fluence 1e26")
        >>> simulator = nbragg.Simulator(setup.replace(response=nbragg.DetectorResponse(gain=2, readout=3)))
        >>> linear = simulator.linearize(["beam.fluence", "response.gain"], of="counts")
        >>> found = linear.log_likelihood(linear.image)
        >>> list(found.gradient)
        ['beam.fluence', 'response.gain']
        """
        self._of_counts("log_likelihood")
        measured = self._image_array("data", data)
        if mask is not None and np.shape(mask) != measured.shape:
            raise InputError(f"mask has the shape {np.shape(mask)}; the image has {measured.shape}")
        value, found = self._counts.likelihood(measured, mask)
        _check_finite(found, f"the gradient by {', '.join(self.parameters)}")
        return LogLikelihood(value, dict(zip(self.parameters, found.tolist(), strict=True)))

    def _of_counts(self, what: str) -> None:
        if self.of != "counts":
            raise InputError(f'{what} is of counts: linearize(..., of="counts")')

    @property
    def _pixels(self) -> int:
        return self._scene.offsets[-1]

    def _image_array(self, name: str, given: Any) -> NDArray[np.float64]:
        return image_array(name, given, self._scene)


def _check_finite(found: NDArray[Any], what: str) -> None:
    if not np.isfinite(found).all():
        raise RenderError(f"{what} is infinite or NaN: check fluence, structure factors and sizes")


def _check_out(out: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float64, np.float32) or out.shape != shape:
        given = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be a float64 or float32 array of shape {shape}, not {given}")
    if not out.flags.writeable or not out.flags.c_contiguous:
        raise InputError("out must be writable and contiguous in C order")
