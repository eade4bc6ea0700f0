from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONSTANTS: dict[str, float]
SHAPES: dict[str, int]
CURVATURES: dict[str, int]
INTERPOLATIONS: dict[str, int]
WATER_MODES: dict[str, int]
SPECTRA: dict[str, int]
ABSORBERS: dict[str, int]
STOPS: dict[str, int]
BODIES: dict[str, int]
PRECISIONS: dict[str, int]
STATUS: dict[int, str]
F_KINDS: dict[int, str]
SIZES: dict[str, int]
SUMMARY_DTYPE: np.dtype[np.void]
TRACE_ROW_DTYPE: np.dtype[np.void]
RESPONSE_DTYPE: np.dtype[np.void]
TALLY_DTYPE: np.dtype[np.void]
SPOT_SIZE_DTYPE: np.dtype[np.void]

def isa_levels() -> list[tuple[str, bool]]: ...
def best_isa() -> str: ...
def compiler() -> tuple[str, str]: ...
def max_threads() -> int: ...
def has_openmp() -> bool: ...
def table_reach(table: NDArray[np.float64], origin: Sequence[int], metric: NDArray[np.float64]) -> float: ...
def mean_absorption(u: float) -> float: ...
def probe_math(
    function: str, x: NDArray[np.float64], single: bool = False, parameter: float = 1.0
) -> NDArray[np.float64]: ...
def pixel_list(mask: NDArray[np.uint8], roi: tuple[int, int, int, int]) -> NDArray[np.int32] | None: ...
def transmission(
    obstacles: Any,
    panel: int,
    source: int,
    incident: NDArray[np.float64],
    at: NDArray[np.float64],
    P: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def spot_slices(
    size: NDArray[np.void], distance: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float64]: ...

class SpotLight:
    def __init__(
        self,
        sizes: NDArray[np.void],
        axes: NDArray[np.float64],
        reciprocal: NDArray[np.float64],
        weights: NDArray[np.float64],
        parts: NDArray[np.int64],
        incident: NDArray[np.float64],
        wavelengths: NDArray[np.float64],
        source_weights: NDArray[np.float64],
        middle: NDArray[np.float64],
        dual: NDArray[np.float64],
    ) -> None: ...
    def set(
        self,
        zone: float,
        faint: float,
        polarization: float,
        polar_vector: NDArray[np.float64],
        nopolar: bool,
        spindle: NDArray[np.float64],
        osc: float,
    ) -> None: ...
    def near(
        self,
        rows: NDArray[np.float32],
        incident: NDArray[np.float64],
        wavelength: float,
        angle: float,
        bandwidth: float,
        least: float,
        slack: float,
        d_min: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
    def sum(
        self,
        hkl: NDArray[np.float64],
        limit: NDArray[np.float64],
        g: NDArray[np.float64],
        by_source: bool = False,
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64] | None,
    ]: ...

class RandomStream:
    def __init__(self, seed: int) -> None: ...
    def uniform(self) -> float: ...
    def gauss(self) -> float: ...
    def poisson(self, mean: float) -> float: ...
    def noise_image(
        self, photons: NDArray[np.float32], roi: Sequence[int], offset: float, most: int
    ) -> tuple[NDArray[np.int32], int]: ...

class EngineScene:
    def __init__(self, scene: Any) -> None: ...
    @property
    def pixels(self) -> int: ...
    @property
    def rendered(self) -> int: ...
    @property
    def listed(self) -> tuple[NDArray[np.int32] | None, ...]: ...
    def put_behind(
        self,
        transmission: NDArray[np.float64] | None,
        background: NDArray[np.float64] | None,
        fixed: NDArray[np.float64] | None,
        first: int = 0,
    ) -> None: ...
    def bounds(
        self, isa: str, *, tolerance: float = 0.0, spot_end: float = 0.0, always: bool = False
    ) -> tuple[bytes, list[tuple[float, float]], tuple[NDArray[np.float32], ...]] | None: ...
    def most_bytes(self, addresses: Sequence[int]) -> bytes: ...
    def device_bytes(self, kind: str, **addresses: int | Sequence[int]) -> bytes: ...

class PackedBackdrop:
    def __init__(self, backdrop: Any) -> None: ...
    def device_bytes(self, upload: Any) -> bytes: ...

class PackedDiffuse:
    def __init__(self, diffuse: Any) -> None: ...
    def device_bytes(self, upload: Any) -> bytes: ...

class SlopesJob:
    @property
    def progress(self) -> float: ...
    def cancel(self) -> None: ...

class DiffuseSlopesJob(SlopesJob):
    def __init__(
        self,
        scene: EngineScene,
        moving: Any,
        step: float,
        threads: int,
        rate: NDArray[np.float64],
        value: NDArray[np.float64] | None = None,
    ) -> None: ...
    def run(self) -> str: ...

class BackdropSlopesJob(SlopesJob):
    def __init__(
        self,
        scene: EngineScene,
        moving: Any,
        step: float,
        threads: int,
        rates: Sequence[NDArray[np.float64] | None],
        values: Sequence[NDArray[np.float64] | None] = (None, None, None),
    ) -> None: ...
    def run(self) -> str: ...

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
        *,
        tolerance: float = 0.0,
        spot_end: float = 0.0,
        rules: Any = None,
        always: bool = False,
    ) -> None: ...
    @property
    def progress(self) -> float: ...
    @property
    def summary(self) -> dict[str, Any]: ...
    @property
    def cut(self) -> tuple[int, int] | None: ...
    def cancel(self) -> None: ...
    def make_behind(
        self,
        backdrop: PackedBackdrop,
        transmission: NDArray[np.float64] | None,
        background: NDArray[np.float64] | None,
        fixed: NDArray[np.float64] | None,
        outside: NDArray[np.int64],
    ) -> str: ...
    def make_diffuse(self, diffuse: PackedDiffuse, image: NDArray[np.float64]) -> str: ...
    def run(self) -> str: ...

def behind_pixel(
    scene: EngineScene, backdrop: PackedBackdrop, panel: int, fast: int, slow: int, isa: str
) -> NDArray[np.float64]: ...
def diffuse_pixel(
    scene: EngineScene, diffuse: PackedDiffuse, panel: int, fast: int, slow: int, isa: str
) -> float: ...
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
WARP: int
TILE: tuple[int, int]
PART_DTYPE: np.dtype[np.void]

# derivatives
COLUMNS: dict[str, int]
WANTS: dict[str, int]
ASKS: dict[str, int]
FACTOR_SOURCES: dict[str, int]
WORDS: int
REQUEST_DTYPE: np.dtype[np.void]
QUESTIONS_DTYPE: np.dtype[np.void]
SWEEP_DTYPE: np.dtype[np.void]

class Rates:
    def __init__(
        self, start: NDArray[np.int64], column: NDArray[np.int32], value: NDArray[np.float64]
    ) -> None: ...
    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]: ...

Asked = tuple[int, int, int, Rates | None, Rates | None, Rates | None]

class GradientJob:
    def __init__(
        self,
        scene: EngineScene,
        asked: Sequence[Asked],
        asks: int,
        *,
        precision: str,
        threads: int,
        isa: str,
        cut: tuple[int, int] | None = None,
    ) -> None: ...
    @property
    def layout(self) -> tuple[int, int, tuple[int, ...], int]: ...
    def sum_columns(
        self,
        given: NDArray[np.float64],
        norm: float,
        sums: NDArray[np.float64],
        orientations: Sequence[NDArray[np.float64] | None] | None = None,
        tables: Sequence[NDArray[np.float64] | None] | None = None,
    ) -> None: ...
    def make_rows(
        self,
        rows: int,
        terms: Rates,
        panel_terms: Sequence[Rates],
        factors: int = 0,
        slots: Sequence[NDArray[np.int32] | None] | None = None,
        shares: Sequence[NDArray[np.float64] | None] | None = None,
    ) -> None: ...
    def store(self, image: NDArray[np.floating[Any]], place: NDArray[np.int32]) -> None: ...
    def square(
        self,
        residual: NDArray[np.float64],
        weights: NDArray[np.float64],
        H: NDArray[np.float64],
        b: NDArray[np.float64],
    ) -> None: ...
    @property
    def progress(self) -> float: ...
    def cancel(self) -> None: ...
    def run(self) -> str: ...

# ---- detectors: _engine_response.pxi ----

STAGES: dict[str, int]
DEVIATES: dict[str, int]
EXACT_FUNCTIONS: dict[str, int]
CHAIN_PARTS: dict[str, int]
COUNTING: dict[str, int]
PIXEL_TYPES: dict[str, int]
MARKS: dict[str, int]
MOST_STAGES: int

def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]: ...
def exact_math(function: str, x: NDArray[np.float64]) -> NDArray[np.float64]: ...
def deviates(
    kind: str,
    seed: int,
    image: int,
    stage: int,
    pixels: NDArray[np.uint64],
    a: float | NDArray[np.float64] = 0.0,
    b: float | NDArray[np.float64] = 0.0,
    draw: int = 0,
) -> NDArray[np.float64]: ...
def flicker(seed: int, image: int, rms: float) -> float: ...

class ResponseJob:
    def __init__(
        self,
        response: NDArray[np.void],
        source: NDArray[np.float32] | NDArray[np.float64],
        target: NDArray[Any],
        parts: int,
        first: int,
        threads: int,
        isa: str,
        marks: NDArray[np.uint8] | None = None,
        stage: NDArray[np.uint8] | None = None,
    ) -> None: ...
    @property
    def tally(self) -> dict[str, int]: ...
    def cancel(self) -> None: ...
    def run(self) -> str: ...
