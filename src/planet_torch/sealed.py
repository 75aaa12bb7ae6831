"""Safetensors files with a header and a checksum of all that is in them.

Whoever reads one gets what was written or a ValueError, also from a stranger's file: no
code is run, nothing is allocated beyond the size of the file, and no bit of it may
differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = 2
LIMIT = 2**32  # bytes; a larger file is neither written nor opened
# What reading a malformed file may raise. An OSError is no fault of the file.
MALFORMED = (
    *(SafetensorError, ValueError, TypeError, LookupError, AttributeError),
    *(RecursionError, MemoryError, OverflowError),
)


class Sealed(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: by their names.
        header: plain values.
        checksum: of both.
    """

    arrays: dict[str, np.ndarray]
    header: dict[str, Any]
    checksum: str


def seal(
    kind: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]
) -> tuple[bytes, str]:
    """The content of a file, and its checksum. Equal values are equal bytes.

    Args:
        kind: of file, for example "episode"; to be read as nothing else.
        arrays: by their names.
        header: what JSON can hold.

    Raises:
        ValueError: if it is more than a file may have.
    """
    # Contiguous, since safetensors stores the bytes as they lie in memory.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    checksum = checksum_of(arrays, header)
    text = json.dumps({"format": FORMAT, "checksum": checksum, **header})
    # One key, since safetensors stores several in an order that changes from process to
    # process.
    content = save(arrays, metadata={kind: text})
    if len(content) > LIMIT:
        raise ValueError(f"{len(content)} bytes are more than a file may have: {LIMIT}")
    return content, checksum


def unseal(path: Path, kind: str) -> Sealed:
    """The content of a file.

    Raises:
        ValueError: if it is not what `seal` made of this kind.
    """
    try:
        check_file(path)
        with safe_open(path, framework="numpy") as file:  # compares header and size
            header = header_of(file.metadata(), kind)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except MALFORMED as error:
        raise ValueError(str(error) or type(error).__name__) from error
    kept = {k: v for k, v in header.items() if k not in ("format", "checksum")}
    checksum = checksum_of(arrays, kept)
    if header.get("checksum") != checksum:
        raise ValueError("its checksum does not fit its content")
    return Sealed(arrays, kept, checksum)


def check_file(path: Path) -> None:
    """Raise ValueError if something is no file to be opened at all."""
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no regular file")
    if path.stat().st_size > LIMIT:
        raise ValueError(f"it has {path.stat().st_size} bytes, more than {LIMIT}")


def header_of(metadata: dict[str, str] | None, kind: str) -> dict[str, Any]:
    """What the metadata of a file says; a ValueError if it is of another kind."""
    header = json.loads((metadata or {}).get(kind, "{}"))
    if header.get("format") != FORMAT:
        raise ValueError(f"its format is {header.get('format')}, not {FORMAT}")
    return dict(header)


def checksum_of(arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """SHA-256 of a header and of arrays with their names, dtypes and shapes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
