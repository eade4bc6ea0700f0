"""What image headers with fixed axes can say of a geometry, and what they cannot (SMV, miniCBF).

Their readers put the detector perpendicular to the beam, fast along the rotation axis and slow so that
fast x slow points along the beam: in imgCIF's frame, fast +x, slow -y, beam -z, rotation axis +x.
"""

from __future__ import annotations

import math

import numpy as np

from ...base.errors import InputError
from ...base.vectors import FloatArray
from .formats import that_can
from .metadata import ImageMetadata, imgcif_frame

__all__ = ["deviations", "require_fixed_axes"]

#: cosines and sines that differ by less are rounding
_ROUNDING = 1e-9


def deviations(metadata: ImageMetadata) -> list[str]:
    """What of a geometry such a header cannot say, in words; empty where it can say all."""
    m = metadata
    if m.panels:
        return [f"it has {len(m.panels)} panels"]
    if m.curved:
        return ["it is curved"]
    frame = imgcif_frame(m)
    fast, slow, spindle = (frame @ np.asarray(v) for v in (m.fast, m.slow, m.spindle))
    normal = np.cross(fast, slow)
    found = []
    across = math.hypot(normal[0], normal[1])
    if across > _ROUNDING:
        found.append(f"its normal is {math.degrees(math.asin(min(across, 1.0))):.4g} degrees off the beam")
    if normal[2] > 0:
        found.append("its fast and slow axes are mirrored: fast x slow points to the source")
    along = abs(float(spindle[2]))
    if along > _ROUNDING:
        angle = math.degrees(math.acos(min(along, 1.0)))
        found.append(f"the rotation axis is at {angle:.4g} degrees to the beam")
    if not found and _angle(fast, np.array([1.0, 0.0, 0.0])) > _ROUNDING:
        angle = math.degrees(_angle(fast, np.array([1.0, 0.0, 0.0])))
        found.append(f"its fast axis is at {angle:.4g} degrees to the rotation axis")
    return found


def _angle(one: FloatArray, other: FloatArray) -> float:
    return math.atan2(float(np.linalg.norm(np.cross(one, other))), float(one @ other))


def require_fixed_axes(metadata: ImageMetadata, name: str) -> None:
    """Refuse a geometry that a header of this kind would tell wrongly.

    Parameters
    ----------
    metadata : ImageMetadata
    name : str
        The format, for the message.

    Raises
    ------
    InputError
    """
    found = deviations(metadata)
    if found:
        able = that_can(lambda entry: entry.geometry and entry.any_axes)
        raise InputError(
            f"{name} headers have the detector perpendicular to the beam with fast along the rotation axis, "
            f"and programs would read this one wrongly: {'; '.join(found)}. Write {able}"
            + (', or give header="nanobragg" for the reference program\'s header' if name == "smv" else "")
        )
