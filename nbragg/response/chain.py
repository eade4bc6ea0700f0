"""The chain of csrc/nb_response.h on a device: pixels in, pixels out.  All devices give the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base.errors import RenderError
from ..engine.backend import parse, resolve
from ..engine.cpu import choose_isa, run_job, thread_count
from ..engine.options import RenderOptions

if TYPE_CHECKING:
    from ..engine.cuda_engine import Runtime

__all__ = ["Chain", "CpuChain", "CudaChain", "Exposed", "Tally", "chain_on"]

#: pixels that a GPU works on at a time: some hundred MB
_PIXELS_AT_ONCE = 2**24


class Exposed(NamedTuple):
    """Some pixels on their way through parts of the chain; see nb_exposed of csrc/nb_response.h."""

    parts: int  #: a sum of `_engine.CHAIN_PARTS`
    first: int  #: number of the first pixel, over all panels
    source: NDArray[Any]  #: float32 or float64, C-contiguous
    target: NDArray[Any]  #: as large; filled
    marks: NDArray[np.uint8] | None  #: sums of `_engine.MARKS`
    stage: NDArray[np.uint8] | None  #: as large; filled with the stages of the gain


class Tally(NamedTuple):
    """What the chain noticed."""

    overloads: int = 0
    underloads: int = 0
    worst: float = 0.0  #: largest size of a number of photons below 0; not finite: of one that is not finite

    def plus(self, overloads: int, underloads: int, worst_bits: int) -> Tally:
        """With another part of the pixels; sizes are compared by their bits, as C does."""
        mine = int(np.float64(self.worst).view(np.uint64))
        worst = float(np.uint64(max(mine, worst_bits)).view(np.float64))
        return Tally(self.overloads + overloads, self.underloads + underloads, worst)


class Chain(Protocol):
    """A detector on a device."""

    tally: Tally

    def respond(self, exposed: Exposed) -> None:
        """Fill the target and add to the tally."""


def chain_on(options: RenderOptions, record: NDArray[Any]) -> Chain:
    """The chain of a detector, `chain_record`, on the device of the options.

    Raises
    ------
    DeviceError
        With "cuda" where there is none; the message says what is missing.
    """
    kind, index = parse(options.device)
    if kind == "cpu" or resolve(options.device) == "cpu":
        return CpuChain(options, record)
    from ..engine.cuda import open_runtime

    return CudaChain(open_runtime(index), record)


#: so many pixels are done in some 20 ms
_SOON = 2**20


class CpuChain:
    """See `Chain`."""

    def __init__(self, options: RenderOptions, record: NDArray[Any]) -> None:
        self._threads, self._isa = thread_count(options), choose_isa()
        self._record = record
        self.tally = Tally()

    def respond(self, exposed: Exposed) -> None:
        """Fill the target and add to the tally; Ctrl-C stops the engine first.

        Raises
        ------
        RenderError
            When the engine runs out of memory.
        """
        job = _engine.ResponseJob(
            self._record,
            exposed.source,
            exposed.target,
            exposed.parts,
            exposed.first,
            self._threads,
            self._isa,
            exposed.marks,
            exposed.stage,
        )
        if self._threads == 1 and exposed.source.size <= _SOON:
            status = job.run()  # over before Ctrl-C would be missed
            if status != "ok":
                raise RenderError(f"the engine stopped: {status}")
        else:
            run_job(job)
        found = job.tally
        self.tally = self.tally.plus(found["overloads"], found["underloads"], found["worst"])


class CudaChain:
    """See `Chain`: the pixels go to the device and come back."""

    def __init__(self, runtime: Runtime, record: NDArray[Any]) -> None:
        self._runtime, self._record = runtime, record
        self.tally = Tally()

    def respond(self, exposed: Exposed) -> None:
        """Fill the target and add to the tally.

        Raises
        ------
        DeviceError
            When the device fails.
        MemoryLimitError
            When it has too little memory.
        """
        from ..engine.cuda import translated

        source, target = exposed.source.reshape(-1), exposed.target.reshape(-1)
        marks = None if exposed.marks is None else exposed.marks.reshape(-1)
        stage = None if exposed.stage is None else exposed.stage.reshape(-1)
        with translated(self._runtime.profile.name), self._runtime.lane(0):
            tally = self._runtime.upload(np.zeros(1, _engine.TALLY_DTYPE).view(np.uint64))
            for begin in range(0, source.size, _PIXELS_AT_ONCE):
                part = slice(begin, begin + _PIXELS_AT_ONCE)
                self._launch(
                    exposed._replace(
                        first=exposed.first + begin,
                        source=source[part],
                        target=target[part],
                        marks=None if marks is None else marks[part],
                        stage=None if stage is None else stage[part],
                    ),
                    tally,
                )
            found = self._read(tally, np.uint64)
        self.tally = self.tally.plus(*(int(n) for n in found))

    def _launch(self, exposed: Exposed, tally: Any) -> None:
        from ..engine.cuda_kernel import RESPONSE

        runtime, count = self._runtime, exposed.source.size
        types = _engine.PIXEL_TYPES
        source = runtime.upload(exposed.source)
        target = runtime.empty((count,), exposed.target.dtype)
        marks = None if exposed.marks is None else runtime.upload(exposed.marks)
        stage = None if exposed.stage is None else runtime.empty((count,), np.uint8)

        def address(array: Any) -> Any:
            return np.uint64(0 if array is None else runtime.address(array))

        from_type, to_type = (np.int64(types[a.dtype.name]) for a in (exposed.source, exposed.target))
        arguments = [
            self._record, np.int64(exposed.first), np.int64(count), address(source), from_type,
            address(marks), address(target), to_type, address(stage), np.int64(exposed.parts), address(tally),
        ]  # fmt: skip
        grid = (-(-count // runtime.threads), 1, 1)
        runtime.launch(RESPONSE, "nb_respond_pixels", grid, arguments)
        exposed.target[...] = self._read(target, exposed.target.dtype)
        if exposed.stage is not None:
            exposed.stage[...] = self._read(stage, np.uint8)

    def _read(self, array: Any, dtype: Any) -> NDArray[Any]:
        host = self._runtime.host_array(array.shape, dtype)
        self._runtime.download(array, host)
        self._runtime.wait(self._runtime.mark())
        return host
