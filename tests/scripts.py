"""Scripts outside the package, as modules."""

import importlib.util
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def script(path):
    """A script as a module, which can import its neighbours and be imported by none."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "path", [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module
