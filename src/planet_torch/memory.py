"""The memory of this process: kept when freed, and the most there was."""

from __future__ import annotations

import ctypes
import resource
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
    # -1 is never. An update of paper size frees more than the largest number there is.
    return bool(taken and library.mallopt(_TRIM_THRESHOLD, -1))


def peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # kilobytes elsewhere
