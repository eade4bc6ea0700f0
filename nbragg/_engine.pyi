from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONSTANTS: dict[str, float]
SHAPES: dict[str, int]
CURVATURES: dict[str, int]
INTERPOLATIONS: dict[str, int]
WATER_MODES: dict[str, int]
PRECISIONS: dict[str, int]
STATUS: dict[int, str]
F_KINDS: dict[int, str]
SIZES: dict[str, int]
SUMMARY_DTYPE: np.dtype[np.void]
TRACE_ROW_DTYPE: np.dtype[np.void]

def isa_levels() -> list[tuple[str, bool]]: ...
def best_isa() -> str: ...
def compiler() -> tuple[str, str]: ...
def max_threads() -> int: ...
def has_openmp() -> bool: ...
def table_reach(table: NDArray[np.float64], origin: Sequence[int], metric: NDArray[np.float64]) -> float: ...
def probe_math(
    function: str, x: NDArray[np.float64], single: bool = False, parameter: float = 1.0
) -> NDArray[np.float64]: ...
def pixel_list(mask: NDArray[np.uint8], roi: tuple[int, int, int, int]) -> NDArray[np.int32] | None: ...

class RandomStream:
    def __init__(self, seed: int) -> None: ...
    def uniform(self) -> float: ...
    def gauss(self) -> float: ...
    def poisson(self, mean: float) -> float: ...
    def noise_image(
        self, photons: NDArray[np.float32], roi: Sequence[int], offset: float
    ) -> tuple[NDArray[np.uint16], int]: ...

class EngineScene:
    def __init__(self, scene: Any) -> None: ...
    @property
    def pixels(self) -> int: ...
    @property
    def rendered(self) -> int: ...
    @property
    def listed(self) -> tuple[NDArray[np.int32] | None, ...]: ...
    def device_bytes(self, kind: str, **addresses: int | Sequence[int]) -> bytes: ...

class Job:
    image: NDArray[np.float32]
    image64: NDArray[np.float64] | None
    def __init__(
        self,
        scene: EngineScene,
        image: NDArray[np.float32],
        precision: str,
        threads: int,
        isa: str,
        image64: NDArray[np.float64] | None = None,
    ) -> None: ...
    @property
    def progress(self) -> float: ...
    @property
    def summary(self) -> dict[str, Any]: ...
    def cancel(self) -> None: ...
    def run(self) -> str: ...

def trace_length(scene: EngineScene, panel: int = 0) -> int: ...
def trace_pixel(
    scene: EngineScene,
    panel: int,
    fast: int,
    slow: int,
    interpolate: bool,
    isa: str,
    rows: NDArray[np.void],
) -> dict[str, float]: ...

# what the CUDA kernels and Python share
INDEX_ARITHMETICS: dict[str, int]
TABLE_KINDS: dict[str, int]
POINT: int
PER_THREAD: int
PART_DTYPE: np.dtype[np.void]
