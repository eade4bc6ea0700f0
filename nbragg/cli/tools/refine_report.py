"""What ``nbragg refine`` prints of what it found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .uncertain import direction, table, writer

if TYPE_CHECKING:
    from ...refinement.joint import Line
    from ...refinement.result import Refinement

__all__ = ["report", "step_line"]

#: with more images their numbers are summed up
_MOST = 5
_HEADS = ("parameter", "unit", "start", "value", "change", "sigma")


def step_line(line: Line, names: Sequence[str]) -> str:
    """What a step has come to, of all images or of one, which are called so."""
    image = f"{names[line.image - 1]}, " if line.image and len(names) > 1 else ""
    place = f"turn {line.turn} of amplitudes" if line.turn else f"stage {line.stage} of {line.stages}"
    return (
        f"{image}{place}, step {line.step}: -ln L {line.cost:.3f}, the next step would gain {line.gain:.3g}"
    )


def report(found: Refinement, names: Sequence[str]) -> Iterator[str]:
    """Lines: tables of images, which are called so, chi square, directions that are not determined."""
    images = len(found.setups)
    shared = [name for name in found.parameters if name in found.shared]
    own = [name for name in found.parameters if name not in found.shared]
    if images == 1:
        yield from table(_HEADS, _rows(found, 0, (*shared, *own)))
    else:
        if shared:
            yield f"shared by {images} images"
            yield from table(_HEADS, _rows(found, 0, shared, background=False))
            yield ""
        if images <= _MOST:
            for k in range(images):
                chi = float(np.nanmean(found.residual(k) ** 2))
                yield f"{names[k]}: chi square of all pixels {chi:.4f}"
                yield from table(_HEADS, _rows(found, k, own))
                yield ""
        else:
            yield f"of {images} images"
            yield from _summary(found, own)
            yield ""
    yield f"chi_square  {found.chi_square:.4f}"
    yield from _amplitudes(found)
    yield from _undetermined(found)
    yield from _left_out(found, names)


def _left_out(found: Refinement, names: Sequence[str]) -> Iterator[str]:
    """Pixels of images; of many images the first few."""
    said = [
        f"{name}: pixels left out: {text}" for name, text in zip(names, found.left_out, strict=True) if text
    ]
    yield from said[:_MOST]
    if len(said) > _MOST:
        yield f"and of {len(said) - _MOST} images more"


def _rows(
    found: Refinement, k: int, names: tuple[str, ...] | list[str], *, background: bool = True
) -> Iterator[tuple[str, ...]]:
    for name in names:
        i = found.parameters.index(name)
        start, value, sigma = (float(x[k, i]) for x in (found.start, found.values, found.sigma))
        yield _row(name, found.units[i], start, value, sigma)
    if background and found.background[k]:
        sigmas = found.information(k).sigma
        for name, value in found.background[k].items():
            yield _row(name, "photons", None, value, sigmas[name])


def _row(name: str, unit: str, start: float | None, value: float, sigma: float) -> tuple[str, ...]:
    write = writer(value, sigma)
    spread = write(sigma) if math.isfinite(sigma) else "undetermined"
    if start is None:
        return (name, unit, "", write(value), "", spread)
    return (name, unit, write(start), write(value), write(value - start), spread)


def _summary(found: Refinement, names: list[str]) -> Iterator[str]:
    """Of many images: how far each parameter went, and how well it is known."""
    rows = []
    for name in names:
        i = found.parameters.index(name)
        values, sigma = found.values[:, i], found.sigma[:, i]
        change = values - found.start[:, i]
        typical = float(np.median(sigma))
        write = writer(float(values.mean()), typical)
        spread = write(typical) if math.isfinite(typical) else "undetermined"
        rows.append(
            (
                name,
                found.units[i],
                write(float(values.mean())),
                write(float(values.std())),
                write(float(np.sqrt((change**2).mean()))),
                spread,
            )
        )
    for name in found.background[0]:
        values = np.array([one[name] for one in found.background])
        write = writer(float(values.mean()), float(values.std()) or math.inf)
        rows.append((name, "photons", write(float(values.mean())), write(float(values.std())), "", ""))
    chi = found.chi_squares
    rows.append(("chi square", "", f"{chi.mean():.4f}", f"{chi.std():.4f}", "", ""))
    heads = ("parameter", "unit", "mean value", "spread", "rms change", "median sigma")
    yield from table(heads, rows)


def _amplitudes(found: Refinement) -> Iterator[str]:
    """How many, and how well they are known."""
    known = found.amplitudes
    if known is None:
        return
    seen = np.isfinite(known.sigma) & (known.F > 0)
    yield f"amplitudes  {int(seen.sum())} of {len(known.F)} reflections seen, {known.space_group}"
    if seen.any():
        parts = known.sigma[seen] / known.F[seen]
        yield (
            f"            sigma {100 * float(np.median(parts)):.3g} % of the amplitude (median), "
            f"{int((parts < 0.1).sum())} below 10 %"
        )


def _undetermined(found: Refinement) -> Iterator[str]:
    """Each direction once, with the images that have it."""
    seen: dict[str, list[int]] = {}
    for k in range(len(found.setups)):
        for _, parts in found.information(k).undetermined:
            names = " ".join(sorted(parts))
            if names not in seen:
                seen[names] = []
                yield f"undetermined, left as it was: {direction(parts)}"
            seen[names].append(k)
