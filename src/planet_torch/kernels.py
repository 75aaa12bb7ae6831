"""Sweep the compiler's cache of what a killed process left there half written.

The linker writes a kernel in its place, and PyTorch loads whatever it finds there. So a
run that was killed as it compiled would stop each run after it with "file too short",
also the one that resumes it.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

LINKING = 10.0  # seconds; a kernel takes about one


def sweep(cache: Path | None = None) -> list[Path]:
    """Remove the kernels that are not whole, so that they are compiled again.

    One that was begun just now may be another process's, and is waited for.

    Args:
        cache: a directory of them; by default PyTorch's, `TORCHINDUCTOR_CACHE_DIR`.

    Returns:
        What was removed.
    """
    cut = [kernel for kernel in _kernels(cache) if not is_whole(kernel)]
    while any(_is_new(kernel) for kernel in cut):
        time.sleep(0.1)
        cut = [kernel for kernel in cut if not is_whole(kernel)]
    for kernel in cut:
        kernel.unlink(missing_ok=True)
    return cut


def is_whole(library: Path) -> bool:
    """Whether a shared library has all the bytes that its header speaks of.

    An ELF file of 64 bits ends with the table of its sections. Of those of other
    systems it is only seen that there is something. One that is gone lacks nothing.
    """
    try:
        size = library.stat().st_size
        with library.open("rb") as file:
            header = file.read(64)
    except FileNotFoundError:  # swept by another process
        return True
    if sys.platform != "linux":
        return size > 0
    if len(header) < 64 or not header.startswith(b"\x7fELF"):
        return False
    (table,) = struct.unpack_from("<Q", header, 40)
    length, sections = struct.unpack_from("<HH", header, 58)
    return bool(size >= table + length * sections)


def _is_new(kernel: Path) -> bool:
    try:
        return abs(time.time() - kernel.stat().st_mtime) < LINKING
    except FileNotFoundError:
        return False


def _kernels(cache: Path | None) -> list[Path]:
    if cache is None:
        from torch._inductor.runtime import runtime_utils

        cache = Path(runtime_utils.cache_dir())  # type: ignore[attr-defined]
    return sorted(cache.rglob("*.so"))
