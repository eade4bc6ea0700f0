"""Random rotations, missetting angles and mosaic domains (canonical 5.3, 5.6, 9.2, 11)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .._engine import RandomStream
from . import memory, numbers
from . import validate as check
from .vectors import FloatArray, axis_rotation

__all__ = [
    "RandomOrientations",
    "cap_rotation",
    "gaussian_rotation",
    "misset_angles",
    "mosaic_rotations",
    "random_misset",
    "random_orientations",
    "rotations_of_uniform",
    "uniform_rotation",
    "vector_rotation",
    "vector_rotations",
]

#: canonical 5.3: the cap of a random missetting, 90 degrees taken as radians
_RANDOM_MISSET_CAP = 90.0


def _cap_axis_angle(stream: RandomStream, cap: float) -> tuple[tuple[float, float, float], float]:
    """Axis and angle (rad) of a rotation in a cap, from three deviates (canonical 9.2)."""
    r1 = 2.0 * stream.uniform() - 1.0
    r2 = 2.0 * stream.uniform() - 1.0
    r3 = 2.0 * stream.uniform() - 1.0
    ring = math.sqrt(1.0 - r2 * r2)
    # float32 throughout, scalar by scalar: array powers may differ in the last place
    radius = np.float32(1.0 - r3 * r3) ** np.float32(1.0 / 3.0)
    angle: Any = float(np.float32(cap.real) * radius)
    if isinstance(cap, complex):  # the product steps with the cap: it moves as the true product does
        angle += 1j * cap.imag * float(radius)
    return (ring * math.sin(math.pi * r1), ring * math.cos(math.pi * r1), r2), angle


def cap_rotation(stream: RandomStream, cap: float) -> FloatArray:
    """A random rotation matrix in a cap of ``cap`` radians (canonical 9.2)."""
    axis, angle = _cap_axis_angle(stream, cap)
    return axis_rotation(axis, angle)


def _sphere_point(stream: RandomStream) -> tuple[float, float, float]:
    """A direction uniform on the sphere, from two deviates."""
    z = 2.0 * stream.uniform() - 1.0
    azimuth = 2.0 * math.pi * stream.uniform()
    ring = math.sqrt(1.0 - z * z)
    return ring * math.cos(azimuth), ring * math.sin(azimuth), z


def gaussian_rotation(stream: RandomStream, sigma: float) -> tuple[tuple[float, float, float], float]:
    """Axis and angle (rad) of an isotropic rotation, its angle Gaussian with ``sigma`` (canonical 11)."""
    return _sphere_point(stream), sigma * stream.gauss()


def uniform_rotation(stream: RandomStream) -> FloatArray:
    """A rotation matrix uniform on SO(3) (canonical 11).

    From a uniform unit quaternion: K. Shoemake, Graphics Gems III (1992), 124-132.
    """
    u1, u2, u3 = stream.uniform(), 2 * math.pi * stream.uniform(), 2 * math.pi * stream.uniform()
    small, large = math.sqrt(1.0 - u1), math.sqrt(u1)
    vector = np.array([small * math.sin(u2), small * math.cos(u2), large * math.sin(u3)])
    sine = float(np.linalg.norm(vector))
    axis = vector / sine if sine > 0 else np.array([0.0, 0.0, 1.0])
    return axis_rotation(axis, 2.0 * math.atan2(sine, large * math.cos(u3)))


def misset_angles(matrix: FloatArray) -> tuple[float, float, float]:
    """The x, y, z angles (rad) of a rotation matrix, for `geometry.rot_xyz` (canonical 5.3)."""
    m = [[float(x) for x in row] for row in matrix]
    if m[2][0] ** 2 < 1.0:
        return (
            math.atan2(m[2][1], m[2][2]),
            math.atan2(-m[2][0], math.hypot(m[2][1], m[2][2])),
            math.atan2(m[1][0], m[0][0]),
        )
    return math.pi, math.pi / 2, math.atan2(m[0][1], -m[1][1])


def vector_rotation(vector: npt.ArrayLike) -> FloatArray:
    """The matrix that rotates about a vector's direction by its length, radians; for a zero vector, none.

    Parameters
    ----------
    vector : array_like (3,)

    Returns
    -------
    ndarray (3, 3)
        I + s K + c K K with K the matrix of the cross product, s = sin(t)/t and c = (1 - cos(t))/t^2.
    """
    x, y, z = numbers.array(vector)
    square = x * x + y * y + z * z
    if abs(square) < 1e-8:  # the series is exact to rounding there, and needs no angle
        s, c = 1.0 - square / 6.0 + square * square / 120.0, 0.5 - square / 24.0 + square * square / 720.0
    else:
        angle = numbers.sqrt(square)
        half = numbers.sin(0.5 * angle) / angle
        s, c = numbers.sin(angle) / angle, 2.0 * half * half
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    result: FloatArray = np.eye(3) + s * cross + c * (cross @ cross)
    return result


def vector_rotations(vectors: FloatArray) -> FloatArray:
    """`vector_rotation` of each of many vectors, (n, 3) radians -> (n, 3, 3)."""
    w = numbers.array(vectors)
    square = (w * w).sum(axis=-1)
    small = np.abs(square) < 1e-8
    angle = np.sqrt(np.where(small, 1.0, square))
    half = np.sin(0.5 * angle) / angle
    s = np.where(small, 1.0 - square / 6.0 + square * square / 120.0, np.sin(angle) / angle)
    c = np.where(small, 0.5 - square / 24.0 + square * square / 720.0, 2.0 * half * half)
    cross = np.zeros((*square.shape, 3, 3), w.dtype)
    cross[..., 2, 1], cross[..., 0, 2], cross[..., 1, 0] = w[..., 0], w[..., 1], w[..., 2]
    cross -= cross.swapaxes(-1, -2).copy()
    result: FloatArray = np.eye(3) + s[..., np.newaxis, np.newaxis] * cross
    result += c[..., np.newaxis, np.newaxis] * (cross @ cross)
    return result


def random_misset(seed: int, *, uniform: bool) -> tuple[float, float, float]:
    """Missetting angles (rad) of a random orientation (canonical 5.3; ``uniform``: canonical 11)."""
    stream = RandomStream(seed)
    return misset_angles(uniform_rotation(stream) if uniform else cap_rotation(stream, _RANDOM_MISSET_CAP))


def mosaic_rotations(spread: float, domains: int, seed: int, *, gaussian: bool) -> FloatArray:
    """The domains' rotations (canonical 5.6; with ``gaussian`` the distribution of canonical 11).

    Parameters
    ----------
    spread : float
        Cap, or standard deviation of the angle with ``gaussian``; radians.
    domains : int
    seed : int
    gaussian : bool

    Returns
    -------
    ndarray (domains, 3, 3)
        The first is the identity.
    """
    memory.require(256 * domains, f"{domains} mosaic domains", "give fewer mosaic_domains (-mosaic_domains)")
    stream = RandomStream(seed)
    draw = gaussian_rotation if gaussian else _cap_axis_angle
    drawn = [draw(stream, spread) for _ in range(domains)]
    matrices = axis_rotation(np.array([axis for axis, _ in drawn]), np.array([angle for _, angle in drawn]))
    matrices[0] = np.eye(3)
    return matrices


def random_orientations(n: int, seed: int, first: int = 0) -> FloatArray:
    """Rotations uniform on SO(3), for the orientations of a batch.

    From uniform unit quaternions: K. Shoemake, Graphics Gems III (1992), 124-132.

    Parameters
    ----------
    n : int
    seed : int
        The same seed gives the same rotations; fewer of them are the first of more.
    first : int
        Rotations to pass over.

    Returns
    -------
    ndarray (n, 3, 3)

    Raises
    ------
    InputError
        For a negative or fractional number.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.random_orientations(1000, seed=1).shape
    (1000, 3, 3)
    """
    count = check.count("n", n, at_least=0)
    memory.require(256 * count, f"a list of {count} orientations", "draw fewer at a time, with other seeds")
    # the generator's own 64 bits, which every version of NumPy gives alike; 53 of them make a double
    generator = np.random.PCG64(check.seed("seed", seed) % 2**64)
    bits = generator.advance(3 * check.count("first", first, at_least=0)).random_raw(3 * count)
    return rotations_of_uniform((bits >> np.uint64(11)).reshape(count, 3) * 2.0**-53)


def rotations_of_uniform(u: FloatArray) -> FloatArray:
    """Uniform rotations (n, 3, 3) from numbers (n, 3) uniform in 0 to 1."""
    small, large = np.sqrt(1.0 - u[:, 0]), np.sqrt(u[:, 0])
    angles, more = 2.0 * math.pi * u[:, 1], 2.0 * math.pi * u[:, 2]
    x, y = small * np.sin(angles), small * np.cos(angles)
    z, w = large * np.sin(more), large * np.cos(more)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows), -1, 0))


class RandomOrientations:
    """The rotations of `random_orientations`, each made when it is asked for.

    Parameters
    ----------
    count : int
    seed : int
    """

    #: rotations made at a time while iterating
    _BLOCK = 4096

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = check.count("count", count), check.seed("seed", seed)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> FloatArray:
        if not -self.count <= i < self.count:
            raise IndexError(f"orientation {i} of {self.count}")
        matrix: FloatArray = random_orientations(1, self.seed, i % self.count)[0]
        return matrix

    def __iter__(self) -> Iterator[FloatArray]:
        for first in range(0, self.count, self._BLOCK):
            yield from random_orientations(min(self._BLOCK, self.count - first), self.seed, first)
