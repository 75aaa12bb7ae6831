"""Where a result comes from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("planet-torch", "torch", "numpy", "gymnasium", "mujoco", "dm_control")


def provenance() -> dict[str, Any]:
    """Time, command, versions, commit and machine of this process."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "machine": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree, if the package runs from one.

    Installed somewhere inside another repository it is no part of it, and has none.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # fails if it is none
        return _git("describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    """What git says about the directory of this file."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    """The processor's name, where the system tells it, and its vector instructions.

    Machines in a cloud often have one name for processors of quite different speed.
    """
    vectors = torch.backends.cpu.get_cpu_capability()
    return ", ".join(part for part in (_processor_name(), vectors) if part)


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return next(names, platform.processor())
