"""Plots of a result of `benchmarks.cpu`; needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checks import find

#: file name -> title
PLOTS = {
    "benchmark-ratio.png": "times the speed of the reference, by workload",
    "benchmark-sweep.png": "pixels per second by detector size",
    "benchmark-roofline.png": "flops per second against flops per byte, and the processor's limits",
}


def draw(document: dict[str, Any], folder: Path) -> None:
    """Write the plots into a folder; one without data is left out."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in zip(PLOTS, (_ratio, _sweep, _roofline), strict=True):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        plot(axes, document)
        axes.set_title(PLOTS[name])
        figure.savefig(folder / name, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _ratio(axes: Any, document: dict[str, Any]) -> None:
    records = [r for r in document["records"] if r.get("ratio") and r["threads"] == 1]
    keys = list(dict.fromkeys(r["workload"] for r in records))
    for shift, precision in ((-0.2, "double"), (0.2, "mixed")):
        for place, key in enumerate(keys):
            r = find(records, workload=key, precision=precision)
            if r is None:
                continue
            ratio = r["ratio"]
            low, high = ratio["median"] - ratio["low"], ratio["high"] - ratio["median"]
            axes.bar(
                place + shift, ratio["median"], 0.38, color="C0" if precision == "double" else "C1",
                yerr=[[max(low, 0)], [max(high, 0)]], label=precision if place == 0 else None,
            )  # fmt: skip
            if r["target"] is not None:
                axes.hlines(r["target"], place + shift - 0.19, place + shift + 0.19, color="black")
    axes.set_xticks(range(len(keys)), keys)
    axes.set_ylabel("reference time / ours, one thread (black: target)")
    if keys:
        axes.legend()


def _sweep(axes: Any, document: dict[str, Any]) -> None:
    point = {"crystal": "cubic", "N": 5, "oversample": 1, "wavelength_A": 1.0, "features": False}
    rows = [r for r in document["sweep"] if all(r[key] == value for key, value in point.items())]
    for name, threads in sorted({(r["implementation"], r["threads"]) for r in rows}):
        line = [r for r in rows if (r["implementation"], r["threads"]) == (name, threads)]
        axes.loglog(
            [r["shape"][0] for r in line], [r["pixels_per_s"] for r in line], "o-",
            label=f"{name}, {threads} thread{'s' if threads > 1 else ''}",
        )  # fmt: skip
    axes.set_xlabel("detector, pixels along each side")
    axes.set_ylabel("pixels/s")
    if rows:
        axes.legend()


def _roofline(axes: Any, document: dict[str, Any]) -> None:
    roof = document["roofline"]
    if not roof or not roof.get("rows"):
        return
    limits = roof["limits"][roof["isa"]]
    intensity = [0.1, 1, 10, 100]
    for color, precision, kind in (("C0", "double", "flops_double"), ("C1", "mixed", "flops_float")):
        roofline = [min(limits[kind], x * limits["l1_bytes"]) / 1e9 for x in intensity]
        axes.loglog(intensity, roofline, color=color, label=f"limit, {kind[6:]}")
        for row in roof["rows"]:
            if row["precision"] == precision:
                x = row["flops"] / row["l1_bytes"]
                axes.plot(x, row["flops_per_s"] / 1e9, "o", color=color)
                axes.annotate(row["workload"], (x, row["flops_per_s"] / 1e9), fontsize=7)
    axes.set_xlabel("flops per byte moved between registers and L1")
    axes.set_ylabel("10^9 flops/s, one thread")
    axes.legend()
