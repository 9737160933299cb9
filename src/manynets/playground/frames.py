"""Binary messages: the length of a JSON header, the header, and arrays of float32 numbers.

    uint32 length | header, padded with blanks to a multiple of 4 | float32 of the first array | ...

The header's "arrays" lists the name and the shape of each. Numbers are little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.runs import plain_json


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return header and arrays as one message.

    >>> header, arrays = unpack(pack({"kind": "frame"}, {"output": np.ones((2, 2))}))
    >>> header["kind"], arrays["output"].shape
    ('frame', (2, 2))
    """
    listed = [[name, list(array.shape)] for name, array in arrays.items()]
    text = json.dumps({**plain_json(header), "arrays": listed}, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    with np.errstate(over="ignore"):
        parts = [np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays.values()]
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return header and arrays of a message."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    arrays, at = {}, 4 + length
    for name, shape in header.pop("arrays"):
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(message, dtype="<f4", count=count, offset=at).reshape(shape)
        at += 4 * count
    return header, arrays
