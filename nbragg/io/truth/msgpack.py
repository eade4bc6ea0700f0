"""MessagePack (https://msgpack.org), as much of it as a table of numbers needs: writing only."""

from __future__ import annotations

import struct
from collections.abc import Mapping

__all__ = ["packed"]

Value = int | str | bytes | list["Value"] | Mapping["int | str", "Value"]


def packed(value: Value) -> bytes:
    """A value as MessagePack; whole numbers from 0 to 2^64 - 1, text, bytes, lists and mappings.

    Raises
    ------
    TypeError, OverflowError
        For anything else.
    """
    out: list[bytes] = []
    _pack(value, out)
    return b"".join(out)


def _pack(value: Value, out: list[bytes]) -> None:
    if isinstance(value, int):
        out.append(_whole(value))
    elif isinstance(value, str):
        data = value.encode()
        out += [_head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)), data]
    elif isinstance(value, bytes):
        out += [_head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)), value]
    elif isinstance(value, list):
        out.append(_head(len(value), 0x90, 16, (None, 0xDC, 0xDD)))
        for item in value:
            _pack(item, out)
    elif isinstance(value, Mapping):
        out.append(_head(len(value), 0x80, 16, (None, 0xDE, 0xDF)))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be packed")


def _whole(value: int) -> bytes:
    if value < 0 or value >= 2**64:
        raise OverflowError(f"{value} is not between 0 and 2^64 - 1")
    if value < 128:
        return struct.pack("B", value)
    for code, form, limit in ((0xCC, ">BB", 2**8), (0xCD, ">BH", 2**16), (0xCE, ">BI", 2**32)):
        if value < limit:
            return struct.pack(form, code, value)
    return struct.pack(">BQ", 0xCF, value)


def _head(length: int, small: int, below: int, codes: tuple[int | None, int, int]) -> bytes:
    """Type and length: in one byte where the length is small, else in 1, 2 or 4 more."""
    if length < below:
        return struct.pack("B", small | length)
    if codes[0] is not None and length < 2**8:
        return struct.pack(">BB", codes[0], length)
    if length < 2**16:
        return struct.pack(">BH", codes[1], length)
    return struct.pack(">BI", codes[2], length)
