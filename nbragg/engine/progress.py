"""What a queue reports while it waits for an image."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from .options import Progress, RenderOptions

__all__ = ["reporting"]


@contextlib.contextmanager
def reporting(options: RenderOptions) -> Iterator[Progress | None]:
    """The function to be told the fraction done, or None; with ``progress=True`` it draws a bar on stderr."""
    if options.progress is not True:
        yield options.progress or None
        return
    from tqdm import tqdm

    layout = "{l_bar}{bar}| [{elapsed}<{remaining}]"
    with tqdm(total=1.0, desc="rendering", bar_format=layout, leave=False, file=sys.stderr) as bar:

        def report(fraction: float) -> None:
            bar.update(fraction - bar.n)

        yield report
