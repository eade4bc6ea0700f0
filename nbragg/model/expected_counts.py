"""What a detector writes on average, how much that scatters, and how likely pixels are: beyond 14.6."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.vectors import FloatArray

if TYPE_CHECKING:
    from ..response.expected.likelihood import Likelihood
    from ..response.expected.moments import Moments
    from .response import DetectorResponse

__all__ = ["ExpectedCounts"]


class ExpectedCounts:
    """The part of `DetectorResponse` that is told about expected photons."""

    @property
    def _response(self) -> DetectorResponse:
        return cast("DetectorResponse", self)

    def spread(
        self,
        image: npt.ArrayLike,
        *,
        pixel_um: float | tuple[float, float] | None = None,
        transpose: bool = False,
    ) -> FloatArray:
        """An image of expected photons as point spread and shared charge leave it.

        Parameters
        ----------
        image : array_like, (slow, fast) or (panel, slow, fast)
            Photons; light does not cross from panel to panel, and what leaves one is lost.
        pixel_um : float or (fast, slow), optional
            Pixel edges, micrometre; needed where something spreads.
        transpose : bool
            The transposed operator, which takes derivatives by the spread image to those by ``image``.

        Returns
        -------
        ndarray of float64, shaped as ``image``

        Raises
        ------
        InputError
            For another shape, and without ``pixel_um``.
        MissingPackageError
            Without scipy.

        Examples
        --------
        >>> import nbragg, numpy as np
        >>> spot = np.zeros((65, 65)); spot[32, 32] = 1000
        >>> phosphor = nbragg.DetectorResponse(psf="fiber", psf_fwhm_um=100)
        >>> round(float(phosphor.spread(spot, pixel_um=100).max()), 3)
        241.312
        """
        from ..response.expected.moments import images_of
        from ..response.expected.psf import spread_through

        photons = images_of("image", image)
        if photons.ndim == 2:
            return spread_through(photons, self._response, pixel_um, transpose=transpose)
        return np.stack([self.spread(panel, pixel_um=pixel_um, transpose=transpose) for panel in photons])

    def spread_slope(
        self, image: npt.ArrayLike, *, pixel_um: float | tuple[float, float] | None = None
    ) -> FloatArray:
        """Derivative of `spread` by ``psf_fwhm_um``, per micrometre.

        Parameters
        ----------
        image, pixel_um
            As of `spread`.

        Returns
        -------
        ndarray of float64, shaped as ``image``

        Raises
        ------
        InputError, MissingPackageError
            As `spread`.

        Examples
        --------
        >>> import nbragg, numpy as np
        >>> spot = np.zeros((65, 65)); spot[32, 32] = 1000
        >>> phosphor = nbragg.DetectorResponse(psf="fiber", psf_fwhm_um=100)
        >>> round(float(phosphor.spread_slope(spot, pixel_um=100)[32, 32]), 3)
        -3.195
        """
        from ..response.expected.moments import images_of
        from ..response.expected.psf import slope_through

        photons = images_of("image", image)
        if photons.ndim == 2:
            return slope_through(photons, self._response, pixel_um)
        return np.stack([self.spread_slope(panel, pixel_um=pixel_um) for panel in photons])

    def moments(
        self,
        m: npt.ArrayLike,
        *,
        pixel_um: float | tuple[float, float] | None = None,
        energy_eV: float | None = None,
        exposure_s: float | None = None,
    ) -> Moments:
        """Mean and variance of what is written, before it is clipped.

        For pixels that are neither dead nor hot, to second order in ``flicker`` and ``calibration`` (with a
        dead time, to first order in how they move the rate; with ``rate_correction``, to first order in the
        noise, and as if rounding were at random, which where the correction is below half a count leaves the
        mean as it was measured).  With g the gain, K the point spread and the
        sharing of charge after counting, K^2 its square at each distance, phi = fano pair_energy_eV / energy,
        f the flicker and c the calibration as gain::

            mean = g (K * m) + adc
            variance = g^2 [(1 + c^2) V + c^2 (K * m)^2] + readout^2 + 1/12
            V = (1 + phi) K^2 * m + f^2 (K * m)^2

        The last 1/12 is rounding.  Where the pattern of the calibration is known and applied, or the scale of
        each image is refined, take the moments of ``response.replace(calibration=0)`` or ``flicker=0``.

        Parameters
        ----------
        m : array_like, (slow, fast) or (panel, slow, fast)
            Expected photons absorbed.
        pixel_um : float or (fast, slow), optional
            Pixel edges, micrometre; needed where light or charge spreads.
        energy_eV : float, optional
            Mean energy of a photon, eV; needed by ``fano`` and ``gain_per_keV``.
        exposure_s : float, optional
            s; needed by ``dead_time_ns``.

        Returns
        -------
        Moments
            ``mean``, ADU or counts, and ``variance``, shaped as ``m``.

        Raises
        ------
        InputError
            For negative photons, gain stages, and what is missing of the above.
        MissingPackageError
            Where something spreads and scipy is not installed.

        Examples
        --------
        >>> import nbragg
        >>> ccd = nbragg.DetectorResponse(gain=2, readout=3)
        >>> mean, variance = ccd.moments([[0.0, 100.0]])
        >>> mean.tolist(), variance.round(3).tolist()
        ([[40.0, 240.0]], [[9.083, 409.083]])
        """
        from ..response.expected import moments as expected

        return expected.moments(self._response, m, expected.Conditions(pixel_um, energy_eV, exposure_s))

    def moment_slopes(
        self,
        m: npt.ArrayLike,
        name: str,
        *,
        pixel_um: float | tuple[float, float] | None = None,
        energy_eV: float | None = None,
        exposure_s: float | None = None,
    ) -> Moments:
        """Exact derivatives of `moments` by a field of the response.

        Parameters
        ----------
        m : array_like
            As of `moments`.
        name : str
            "scale", "flicker", "calibration", "psf_fwhm_um", "charge_sigma_um", "fano", "gain", "readout" or
            "adc"; of counting detectors "scale", "flicker", "calibration", "psf_fwhm_um" or "dead_time_ns".
        pixel_um, energy_eV, exposure_s
            As of `moments`.

        Returns
        -------
        Moments
            Per unit of the field.

        Raises
        ------
        InputError
            For another name, and as `moments`.

        Examples
        --------
        >>> import nbragg
        >>> ccd = nbragg.DetectorResponse(gain=2, readout=3)
        >>> slopes = ccd.moment_slopes([[0.0, 100.0]], "readout")
        >>> slopes.mean.tolist(), slopes.variance.tolist()
        ([[0.0, 0.0]], [[6.0, 6.0]])
        """
        from ..response.expected import moments as expected

        return expected.moment_slopes(
            self._response, m, name, expected.Conditions(pixel_um, energy_eV, exposure_s)
        )

    def covariance(
        self,
        m: npt.ArrayLike,
        step: tuple[int, int],
        *,
        pixel_um: float | tuple[float, float] | None = None,
        energy_eV: float | None = None,
    ) -> FloatArray:
        """Covariance of each pixel of an integrating detector with one beside it.

        Pixels have it in common that light of one place spreads to both, and the flicker::

            g^2 [(1 + phi) sum_k K(j - k) K(j + step - k) m_k + f^2 (K * m)_j (K * m)_(j + step)]

        Parameters
        ----------
        m : array_like
            As of `moments`.
        step : (slow, fast)
            Whole numbers of at least 0.
        pixel_um, energy_eV
            As of `moments`.

        Returns
        -------
        ndarray
            ADU^2, for the pixels that have such a neighbour: by ``step`` smaller than the image.

        Raises
        ------
        InputError
            For counting detectors, and as `moments`.

        Examples
        --------
        >>> import nbragg, numpy as np
        >>> phosphor = nbragg.DetectorResponse(psf="gauss", psf_fwhm_um=100)
        >>> phosphor.covariance(np.full((9, 9), 100.0), (0, 1), pixel_um=100).shape
        (9, 8)
        """
        from ..response.expected import moments as expected

        return expected.covariance(self._response, m, step, expected.Conditions(pixel_um, energy_eV))

    def log_likelihood(
        self,
        data: npt.ArrayLike,
        m: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        floor: float = 1e-3,
        pixel_um: float | tuple[float, float] | None = None,
        energy_eV: float | None = None,
        exposure_s: float | None = None,
    ) -> float:
        """Natural logarithm of the likelihood of measured pixels, where m photons are expected.

        Poisson where the counting of photons is all the noise there is (no ``readout``, nothing that spreads
        counts, no ``flicker``, ``calibration``, ``fano`` or dead time, and at least one ADU a photon); else
        Gaussian, with the mean and variance of `moments`, pixels taken as independent.

        Parameters
        ----------
        data : array_like
            Pixels as the detector writes them, ADU or counts, of the shape of ``m``.
        m : array_like
            As of `moments`.
        mask : array_like, optional
            Pixels that are 0 are left out: gaps, dead, hot and overloaded ones.
        floor : float
            Fewer expected photons than this count as so many where their logarithm is taken or they divide.
        pixel_um, energy_eV, exposure_s
            As of `moments`.

        Raises
        ------
        InputError
            For shapes that differ, counts below 0 of a Poisson distribution, and as `moments`.

        Examples
        --------
        >>> import nbragg
        >>> counter = nbragg.DetectorResponse(kind="counting")
        >>> round(counter.log_likelihood([[3, 0]], [[2.0, 0.5]]), 6)
        -2.212318
        """
        return self.likelihood(
            data,
            m,
            mask=mask,
            floor=floor,
            pixel_um=pixel_um,
            energy_eV=energy_eV,
            exposure_s=exposure_s,
        ).value

    def likelihood(
        self,
        data: npt.ArrayLike,
        m: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        floor: float = 1e-3,
        pixel_um: float | tuple[float, float] | None = None,
        energy_eV: float | None = None,
        exposure_s: float | None = None,
    ) -> Likelihood:
        """`log_likelihood` with its derivatives by photons and by fields of the response.

        Parameters
        ----------
        data, m, mask, floor, pixel_um, energy_eV, exposure_s
            As of `log_likelihood`.

        Returns
        -------
        Likelihood
            ``value``; ``residual``, the derivative by each pixel's photons; ``weight``, the Fisher weight of
            each pixel; ``fisher(direction)``; ``slope(name)`` and ``information(names)``, derivatives by and
            information on fields of the response.

        Raises
        ------
        InputError
            As `log_likelihood`.

        Examples
        --------
        >>> import nbragg
        >>> counter = nbragg.DetectorResponse(kind="counting")
        >>> found = counter.likelihood([[3, 0]], [[2.0, 0.5]])
        >>> found.residual.tolist(), found.weight.tolist()
        ([[0.5, -1.0]], [[0.5, 2.0]])
        """
        from ..response.expected import moments as expected
        from ..response.expected.likelihood import likelihood

        on = expected.Conditions(pixel_um, energy_eV, exposure_s)
        return likelihood(self._response, data, m, on, mask, check.number("floor", floor, at_least=0))
