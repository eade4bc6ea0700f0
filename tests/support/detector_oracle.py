"""What a detector writes, slowly and from the equations (beyond 13, 14), for arrays of whole images.

Nothing here is shared with the package: the generator works on 64-bit integers, normal deviates are SciPy's
inverse, logarithms and factorials NumPy's and SciPy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, lambertw, ndtri

Array = npt.NDArray[Any]

FLICKER, COUNTING, CHARGE, PATTERN, READOUT, DEAD, HOT, DEAD_TIME, SWITCH = range(1, 10)
LOW = np.uint64(0xFFFFFFFF)


def philox(counter: Array, key: tuple[int, int]) -> Array:
    """Ten rounds on counters of shape (4, n)."""
    c = counter.astype(np.uint64)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high0, high1 = p0 >> np.uint64(32), p1 >> np.uint64(32)
        c = np.stack([high1 ^ c[1] ^ np.uint64(k0), p1 & LOW, high0 ^ c[3] ^ np.uint64(k1), p0 & LOW])
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c


def uniforms(seed: int, image: int, stage: int, pixels: Array, draw: int = 0) -> tuple[Array, Array]:
    """The two uniform deviates of a block, for each pixel."""
    n = np.asarray(pixels, np.uint64).ravel()
    last = stage * 2**24 + (image // 2**32) % 2**24
    same = [np.full_like(n, value) for value in (draw, image % 2**32, last)]
    w = philox(np.stack([n, *same]), (seed % 2**32, seed // 2**32))

    def unit(high: Array, low: Array) -> Array:
        whole = ((high << np.uint64(32)) | low) >> np.uint64(12)
        u: Array = (whole.astype(np.float64) + 0.5) * 2.0**-52
        return u

    return unit(w[0], w[1]), unit(w[2], w[3])


def normal(seed: int, image: int, stage: int, pixels: Array, draw: int = 0) -> Array:
    z: Array = ndtri(uniforms(seed, image, stage, pixels, draw)[0])
    return z


def poisson(m: Array, seed: int, image: int, stage: int, pixels: Array, draw: int = 0) -> Array:
    """One deviate a pixel, each by the rules of 13.2."""
    m, pixels = np.broadcast_arrays(np.asarray(m, float), np.asarray(pixels, np.uint64))
    k = np.zeros(m.shape)
    u, _ = uniforms(seed, image, stage, pixels, draw)
    for i in np.flatnonzero((m > 0) & (m < 10)):
        k[i] = _inverted(u[i], math.exp(-m[i]), lambda n, mean=m[i]: mean / n)
    big = m > 1e9
    k[big] = np.floor(m[big] + np.sqrt(m[big]) * ndtri(u[big]) + 0.5)
    waiting = np.flatnonzero((m >= 10) & ~big)
    while waiting.size:
        M = m[waiting]
        u, v = uniforms(seed, image, stage, pixels[waiting], draw)
        b = 0.931 + 2.53 * np.sqrt(M)
        a = -0.059 + 0.02483 * b
        U = u - 0.5
        s = 0.5 - np.abs(U)
        n = np.floor((2 * a / s + b) * U + M + 0.43)
        k[waiting] = n
        done = (s >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2))
        reject = (n < 0) | ((s < 0.013) & (v > s))
        n = np.maximum(n, 0)
        left = np.log(v) + np.log(1.1239 + 1.1328 / (b - 3.4)) - np.log(a / s**2 + b)
        done |= ~reject & (left <= n * np.log(M) - M - gammaln(n + 1))
        waiting, draw = waiting[~done], draw + 1
    return k


def _inverted(u: float, first: float, ratio: Any, most: float = math.inf) -> int:
    k, p, total = 0, first, first
    while u > total and k < most:
        k += 1
        p *= ratio(k)
        total += p
        if p < 1e-18 * total:
            break
    return k


def binomial(n: Array, p: Array, seed: int, image: int, stage: int, pixels: Array, draw: int = 0) -> Array:
    """One deviate a pixel: inversion, or Hoermann's BTRS; of the complement where p > 1/2."""
    n, p, pixels = np.broadcast_arrays(
        np.asarray(n, float), np.asarray(p, float), np.asarray(pixels, np.uint64)
    )
    less = np.where(p > 0.5, 1 - p, p)
    k = np.zeros(n.shape)
    u, _ = uniforms(seed, image, stage, pixels, draw)
    some = (n > 0) & (less > 0)
    for i in np.flatnonzero(some & (n * less < 10)):
        N, q = n[i], less[i]
        none = math.exp(N * math.log1p(-q))
        k[i] = _inverted(u[i], none, lambda j, N=N, q=q: (N - j + 1) / j * q / (1 - q), N)
    waiting = np.flatnonzero(some & (n * less >= 10))
    while waiting.size:
        N, q = n[waiting], less[waiting]
        u, v = uniforms(seed, image, stage, pixels[waiting], draw)
        width = np.sqrt(N * q * (1 - q))
        b = 1.15 + 2.53 * width
        a = -0.0873 + 0.0248 * b + 0.01 * q
        U = u - 0.5
        s = 0.5 - np.abs(U)
        found = np.floor((2 * a / s + b) * U + N * q + 0.5)
        k[waiting] = found
        done = (s >= 0.07) & (v <= 0.92 - 4.2 / b)
        possible = (found >= 0) & (found <= N)
        found, mode = np.clip(found, 0, N), np.floor((N + 1) * q)
        h = gammaln(mode + 1) + gammaln(N - mode + 1) - gammaln(found + 1) - gammaln(N - found + 1)
        left = np.log(v * (2.83 + 5.1 / b) * width / (a / s**2 + b))
        done |= possible & (left <= h + (found - mode) * np.log(q / (1 - q)))
        waiting, draw = waiting[~done], draw + 1
    return np.where(p > 0.5, n - k, k)


# ---- the chain ---------------------------------------------------------------------------------------------


class Detector:
    """One panel's way through the chain of a response; ``spread``: what light does, by stage.

    Parameters
    ----------
    response : DetectorResponse
    seed, image, exposure_s, energy_eV
        As of `nbragg.detect`.
    first : int
        Number of the first pixel.
    """

    def __init__(
        self,
        response: Any,
        seed: int,
        image: int = 0,
        exposure_s: float = 1.0,
        energy_eV: float = 1000.0,
        first: int = 0,
        spread: Any = None,
    ) -> None:
        self.r, self.seed, self.image = response, seed % 2**64, image
        self.T, self.E, self.first = exposure_s, energy_eV, first
        self.spread = spread or (lambda image, stage: image)

    def z(self, stage: int, draw: int = 0, seed: int | None = None) -> Array:
        at = (self.seed, self.image) if seed is None else (seed, 0)
        return normal(*at, stage, self.pixels, draw).reshape(self.shape)

    def u(self, stage: int, seed: int) -> Array:
        return uniforms(seed, 0, stage, self.pixels)[0].reshape(self.shape)

    def __call__(
        self, photons: Array, gap: Any = False, hidden: Any = False
    ) -> tuple[Array, int, int, Array | None]:
        """Pixels, overloads, underloads and stages of the gain."""
        r, self.shape = self.r, photons.shape
        self.pixels = self.first + np.arange(photons.size, dtype=np.uint64)
        gap, hidden = np.broadcast_to(gap, self.shape), np.broadcast_to(hidden, self.shape)
        m = r.scale * np.where(gap, 0.0, photons.astype(float))
        m = np.maximum(m, 0.0)
        if r.flicker:
            m = m * max(0.0, 1 + r.flicker * float(normal(self.seed, self.image, FLICKER, np.zeros(1))[0]))
        pattern = 1.0
        if r.calibration:
            pattern = np.maximum(0.0, 1 + r.calibration * self.z(PATTERN, seed=r.calib_seed))
        if r.resolved_calibration_as == "loss":
            m = m * pattern
            pattern = 1.0
        m = np.where(gap, 0.0, self.spread(m, "before"))
        dead = self.u(DEAD, r.dead_seed) < r.dead_fraction
        if r.dead_map is not None:
            dead = dead | r.dead_map.reshape(self.shape)
        hot = (self.u(HOT, r.hot_seed) < r.hot_fraction) & ~dead
        finish = self._count if r.kind == "counting" else self._integrate
        pixels, over, under, stages = finish(m, pattern, dead, hot, gap)
        flagged = dead & r.flag_dead
        pixels = np.where(flagged, r.resolved_mask_value, pixels)
        out = gap | hidden
        pixels = np.where(out, r.resolved_gap_value, pixels)
        seen = ~(out | flagged)
        if stages is not None:
            stages = np.where(out, 0, stages)
        return pixels.astype(r.pixel_dtype), int((over & seen).sum()), int((under & seen).sum()), stages

    def _digits(self, adu: Array) -> tuple[Array, Array, Array]:
        r = self.r
        bits = r.resolved_bits
        if not bits:
            no = np.zeros(adu.shape, bool)
            return adu, no, no
        low, high = r.levels
        whole = np.floor(adu + 0.5)
        top = high if r.overflow == "wrap" else r.resolved_saturation
        over, under = whole > top, whole < low
        if r.overflow == "clip":
            return np.clip(whole, low, top), over, under
        return (whole - low) % (high - low + 1) + low, over, under

    def _integrate(self, m: Array, pattern: Any, dead: Array, hot: Array, gap: Array) -> tuple[Any, ...]:
        r = self.r
        n = poisson(m.ravel(), self.seed, self.image, COUNTING, self.pixels).reshape(self.shape)
        if r.fano:
            n = n + np.sqrt(n * r.fano * r.pair_energy_eV / self.E) * self.z(CHARGE)
        s = np.where(dead, 0.0, self.spread(n, "after") * pattern)
        keV = self.E / 1000
        stages = None
        if r.gain_stages:
            energy = s * keV
            stages = np.full(self.shape, len(r.gain_stages) - 1)
            for i in reversed(range(len(r.gain_stages) - 1)):
                stage = r.gain_stages[i]
                point = stage.switch_keV + stage.switch_spread_keV * self.z(SWITCH, i, r.calib_seed)
                stages = np.where(energy <= point, i, stages)
            g, p, noise = (
                np.array([getattr(stage, name) for stage in r.gain_stages])[stages]
                for name in ("gain_adu_per_keV", "pedestal_adu", "readout_adu")
            )
            adu = p + g * energy + noise * self.z(READOUT)
        else:
            gain = r.gain * (keV if r.gain_per_keV else 1)
            adu = gain * s + r.resolved_adc + r.readout * self.z(READOUT)
        adu = np.where(hot, np.maximum(adu, r.resolved_hot_adu), adu)
        digits, over, under = self._digits(adu)
        if stages is not None and r.raw:
            digits = digits % 2**14 + np.array([0, 1, 3])[stages] * 2**14
        elif stages is not None:
            digits = (digits - p) / (g * keV)
        return digits, over, under, stages

    def _count(self, m: Array, pattern: Any, dead: Array, hot: Array, gap: Array) -> tuple[Any, ...]:
        r = self.r
        total, over = np.zeros(self.shape), np.zeros(self.shape, bool)
        for f in range(r.frames):
            n = self._frame(m.ravel() / r.frames, f * 65536).reshape(self.shape)
            digits, above, _ = self._digits(n)
            total, over = total + digits, over | above
        if r.frames > 1 and r.resolved_bits:
            most = 2 ** (31 if r.signed else 32) - 1
            over |= total > most
            total = np.minimum(total, most)
        total = np.where(hot, np.maximum(total, r.resolved_hot_adu), total)
        # a dead pixel overflows nothing
        return np.where(dead, 0.0, total), over & ~dead, np.zeros(self.shape, bool), None

    def _frame(self, m: Array, draw: int) -> Array:
        r = self.r
        at = (self.seed, self.image, DEAD_TIME)
        if r.pulsed is not None:
            pulses = r.pulsed // r.frames
            return binomial(pulses, -np.expm1(-m / pulses), *at, self.pixels, draw)
        if not r.dead_time_ns:
            return poisson(m, self.seed, self.image, COUNTING, self.pixels, draw)
        T, tau = self.T / r.frames, r.dead_time_ns * 1e-9
        x = m * tau / T
        if r.retrigger:
            N = np.floor(T / tau * (1 + x) / (2 + x) + 0.5)
            p = 1 - (1 + x) ** -2.0
            n = binomial(N, p, *at, self.pixels, draw)
            return n / (1 - n * tau / T) if r.rate_correction else n
        mean = m * np.exp(-x)
        n = mean + np.sqrt(mean * (1 - 2 * x * np.exp(-x))) * normal(*at, self.pixels, draw)
        n = np.where(m > 0, np.maximum(np.floor(n + 0.5), 0.0), 0.0)
        if r.rate_correction:
            y = n * tau / T
            n = T / tau * np.where(y < 1 / math.e, -lambertw(-np.minimum(y, 0.3678794)).real, 1.0)
        return n


def events(m: float, tau_over_T: float, exposures: int, *, paralysable: bool, seed: int) -> Array:
    """Counts of exposures in which photons arrive one by one, at random: m on average, and a dead time."""
    rng = np.random.default_rng(seed)
    waits: Array = rng.exponential(1 / m, (exposures, int(m + 8 * math.sqrt(m) + 10)))
    counted: Array
    if paralysable:
        times = np.cumsum(waits, axis=1)
        counted = (np.diff(times, axis=1, prepend=-1.0) > tau_over_T) & (times < 1)
    else:
        waits[:, 1:] += tau_over_T
        counted = np.cumsum(waits, axis=1) < 1
    return np.asarray(np.count_nonzero(counted, axis=1))
