"""Freed memory, kept for the next tensor."""

from __future__ import annotations

import ctypes
import sys

# The numbers of these parameters in malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Have the C library reuse the memory of large tensors, where it is GNU's.

    Otherwise each tensor above some hundred KiB is mapped anew by the system, which
    fills its pages with zeros when they are first touched: in the updates of the preset
    ``cpu`` that takes longer than what is then computed in them. The process keeps as
    much memory as it has needed at once. No result depends on it.

    Returns:
        Whether the library took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):  # another C library, such as musl
        return False
    taken = library.mallopt(_MMAP_THRESHOLD, 2**30)
    return bool(taken and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1))
