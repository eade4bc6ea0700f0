"""Spectra and their sources from the equations of beyond 13, 15.1 to 15.3 and 15.5, in plain NumPy."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

Array = npt.NDArray[np.float64]

HC = 12398.42  # eV angstrom (canonical 1)
MASK = 0xFFFFFFFF


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Ten rounds of Philox4x32 (beyond 13.1)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return tuple(c)


def uniforms(seed: int, image: int, pixel: int, draw: int, stage: int = 20) -> tuple[float, float]:
    """The two uniform deviates of a block (beyond 13.2)."""
    w = philox((pixel, draw, image & MASK, (stage << 24) | (image >> 32)), (seed & MASK, (seed >> 32) & MASK))
    a, b = ((((w[i] << 32) | w[i + 1]) >> 12) + 0.5 for i in (0, 2))
    return a * 2.0**-52, b * 2.0**-52


def binned(density_integral: Any, low: float, high: float, n: int) -> tuple[Array, Array]:
    """Middles of n equal bins, and what an integral says of them, with the sum 1."""
    edges = np.linspace(low, high, n + 1)
    weights = np.diff(density_integral(edges))
    return 0.5 * (edges[1:] + edges[:-1]), weights / weights.sum()


def peak(x: Array, centre: float, sigma: float) -> Array:
    """Integral of a Gaussian of area 1 up to x."""
    return np.asarray(0.5 * (1 + erf((x - centre) / (sigma * np.sqrt(2)))))


def sase(
    energy: float, band: float, spike: float, spikes: int, n: int, jitter: float, seed: int, image: int
) -> tuple[Array, Array]:
    """One shot (beyond 15.2): spikes at k0 (1 + (u - 1/2) bandwidth)."""
    drawn = [uniforms(seed, image, j, 0) for j in range(spikes)]
    z = statistics.NormalDist().inv_cdf(uniforms(seed, image, 0, 1)[0])
    k0 = energy * (1 + jitter * z)
    centres = np.array([k0 * (1 + (u - 0.5) * band) for u, _ in drawn])
    areas = np.array([v for _, v in drawn])
    sigma = spike * k0

    def integral(x: Array) -> Array:
        return np.asarray(sum(a * peak(x, c, sigma) for c, a in zip(centres, areas, strict=True)))

    return binned(integral, centres.min() - 5 * sigma, centres.max() + 5 * sigma, n)


def product(
    directions: Array, shares: Array, energies: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Sources, directions outer: incident, wavelength (m), weight of mean 1, channel (1/m)."""
    incident, wavelength, weight, channel = [], [], [], []
    k = energies / HC * 1e10
    for d, p in zip(directions, shares / shares.sum(), strict=True):
        for i, (E, w) in enumerate(zip(energies, weights / weights.sum(), strict=True)):
            incident.append(d)
            wavelength.append(HC / E * 1e-10)
            weight.append(len(directions) * len(energies) * p * w)
            below = (k[i] - k[i - 1]) / 2 if i > 0 else (k[1] - k[0]) / 2
            above = (k[i + 1] - k[i]) / 2 if i + 1 < len(k) else (k[-1] - k[-2]) / 2
            channel.append((k[i] - below, k[i] + above))
    return np.array(incident), np.array(wavelength), np.array(weight), np.array(channel)


def rms(energies: Array, weights: Array) -> float:
    mean = np.average(energies, weights=weights)
    return float(np.sqrt(np.average((energies - mean) ** 2, weights=weights)))
