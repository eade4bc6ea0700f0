"""Write ``docs/cli.md`` from the option table: ``python -m nbragg.cli.docs docs/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .options import GROUPS, OPTIONS, USAGE, Option

__all__ = ["main", "markdown"]

_HEAD = f"""\
# Command line

<!-- Made from nbragg/cli/options.py by `python -m nbragg.cli.docs docs/cli.md`; do not edit. -->

```
{USAGE}
```

`python -m nbragg` is the same command.

- A `*` stands for any longer spelling, which is accepted too.
- Later options override earlier ones. The headers of `-mask` and then `-img` are read first, wherever they
  stand on the line, so options override them.
- Negative numbers are values. A word that is no option and no value is an error, as is an unknown option.
- `-geometry` and `-expt` files say where the detector is: beside them, options that would place it are
  refused, and those of beam, spindle and sensor win over the file. What neither says is asked for.
- Needed: a cell (`-cell`, `-mat`, `-expt`, or a file of `-hkl` that holds one), and structure factors
  (`-hkl`, an existing dump file, or a `-default_F` that is not 0).
- One command from data to image: `nanobragg -hkl model.pdb -detpixels 1000 -save image.cbf`.
- Counts of 0 or less, and negative steps and ranges of divergence, dispersion and rotation, count as not
  given (`-phisteps 0` is 1). Pixels, unit cells and lengths must be positive.
- A file of `-save` with whole numbers (`.cbf`) holds photons, times `-scale` where that is given.
- `-floatfile`, `-intfile`, `-pgmfile` and `-noisefile` each write one format, whatever the name; a suffix of
  another image format is refused.
- The physics is that of nanoBragg.c. Where one of its approximations changes the image, a warning says so
  once, with what `-physics exact` does instead.
- A dump file that lies in the folder is read when there is no `-hkl`; a warning tells its age.
  `-dump /dev/null` leaves it aside.
- The report goes to stdout; warnings, errors and the progress bar go to stderr.
- Exit status: 0 done; 1 the image could not be rendered; 2 bad input, nothing written; 130 interrupted.
- Files appear complete or not at all: an older file stays as it was until its successor is whole.
"""

_COLUMNS = "| option | values | unit | default | meaning |\n|---|---|---|---|---|"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    values = f"`{_cell(option.metavar)}`" if option.metavar else ""
    return f"| {names} | {values} | {_cell(option.unit)} | {_cell(option.default)} | {_cell(option.help)} |"


def markdown() -> str:
    """The text of ``docs/cli.md``."""
    parts = [_HEAD]
    for key, title in GROUPS:
        rows = "\n".join(_row(option) for option in OPTIONS if option.group == key)
        parts.append(f"## {title}\n\n{_COLUMNS}\n{rows}\n")
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the text to the file named, or to stdout."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) > 1 or (words and words[0].startswith("-")):
        print("usage: python -m nbragg.cli.docs [FILE]", file=sys.stderr)
        return 2
    if words:
        Path(words[0]).write_text(markdown(), encoding="utf-8")
    else:
        sys.stdout.write(markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
