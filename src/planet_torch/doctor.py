"""What works on this machine. Each part is tried in a process of its own.

A broken driver may kill or stop the process that loads it, so none is loaded here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from textwrap import dedent
from typing import Literal

from planet_torch.files import in_bytes, nearest

Part = Literal[
    "torch",
    "bf16",
    "compile",
    "disk",
    "dmc",
    "raycast",
    "gl",
    "gym",
    "video",
    "tensorboard",
    "wandb",
]
DISK_BYTES = 32 * 2**20  # written to measure the speed
LEAST_FREE = 2**30

_PICTURES = """
    import time
    from planet_torch.envs import make
    env = make("dmc/cartpole-balance", renderer="{0}")
    picture, _ = env.reset(seed=0)
    assert picture.std() > 5, "the picture is empty"
    start = time.perf_counter()
    for _ in range(20):
        env.render()
    each = (time.perf_counter() - start) / 20
    print(f"draws, {{1000 * each:.1f}} ms a picture of 64 x 64")
"""
_IMPORT = """
    from importlib import metadata
    import {0}
    print("{1}", metadata.version("{1}"))
"""


@dataclass(frozen=True)
class Probe:
    """A short program that tries a part, and what to do if it fails."""

    program: str
    mend: str


def _extra(extra: str, module: str, package: str) -> Probe:
    return Probe(
        _IMPORT.format(module, package), f"pip install 'planet-torch[{extra}]'"
    )


_DMC = "pip install 'planet-torch[dmc]'"
if sys.version_info >= (3, 13):
    _DMC += " && pip install --no-deps dm_control"

PROBES: dict[Part, Probe] = {
    "torch": Probe(
        """
        import os, torch
        square = torch.eye(64) @ torch.eye(64)
        assert square.sum() == 64
        cpu = torch.backends.cpu.get_cpu_capability()
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        gpus += ["mps"] * torch.backends.mps.is_available()
        print(
            f"{torch.__version__}, {cpu}, {torch.get_num_threads()} threads on "
            f"{os.cpu_count()} cores, {', '.join(gpus) or 'no GPU'}"
        )
        """,
        "pip install --force-reinstall torch",
    ),
    "bf16": Probe(
        """
        import time, torch
        def seconds(kind, device="cuda" if torch.cuda.is_available() else "cpu"):
            square = torch.ones(512, 512, dtype=kind, device=device)
            def once(start):
                (square @ square).sum().item()
                return time.perf_counter() - start
            return min(once(time.perf_counter()) for _ in range(20))
        ratio = seconds(torch.float32) / seconds(torch.bfloat16)
        print(f"a product of matrices is {ratio:.1f} times as fast as in float32")
        """,
        "stay with float32: this build of torch cannot compute in bfloat16",
    ),
    "compile": Probe(
        """
        import torch
        from planet_torch.kernels import sweep
        sweep()
        twice = torch.compile(lambda x: (x.sin() + x.cos()).relu())
        x = torch.linspace(0, 1, 100)
        assert torch.allclose(twice(x), x.sin() + x.cos())
        print("torch.compile and its C++ compiler work")
        """,
        "apt-get install g++ python3-dev, or set CXX to a C++ compiler",
    ),
    "dmc": Probe(_IMPORT.format("dm_control.rl.control", "dm_control"), _DMC),
    "raycast": Probe(_PICTURES.format("raycast"), _DMC),
    "gl": Probe(
        _PICTURES.format("gl"),
        "apt-get install libegl1 libgl1-mesa-dri && export MUJOCO_GL=egl; or do "
        "without: --env.renderer raycast",
    ),
    "gym": Probe(  # of pygame or pygame-ce, which is the same module
        """
        import os
        os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
        import pygame
        print("pygame", pygame.version.ver)
        """,
        "pip install 'planet-torch[gym]'",
    ),
    "video": Probe(
        """
        import subprocess
        import imageio_ffmpeg
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([ffmpeg, "-version"], check=True, capture_output=True)
        print("imageio-ffmpeg", imageio_ffmpeg.__version__, "writes mp4")
        """,
        "pip install 'planet-torch[video]' (without it, videos are GIFs)",
    ),
    "tensorboard": _extra("tensorboard", "tensorboard", "tensorboard"),
    "wandb": _extra("wandb", "wandb", "wandb"),
}


@dataclass(frozen=True)
class Finding:
    """What came out of trying a part.

    Attributes:
        part: its name.
        works: whether it does.
        what: its version or speed, or what is wrong.
        mend: the command that mends it; empty where nothing is wrong.
    """

    part: Part
    works: bool
    what: str
    mend: str = ""


def examine(directory: Path, seconds: float = 120.0) -> list[Finding]:
    """Try every part.

    Args:
        directory: where runs go, whose disk is tried.
        seconds: after which a part that gives no answer counts as broken.
    """
    findings = []
    for part, probe in PROBES.items():
        works, what = tried(probe.program, seconds)
        findings.append(Finding(part, works, what, "" if works else probe.mend))
    return [*findings, disk(directory)]


def disk(directory: Path) -> Finding:
    """How much room there is where runs go, and how fast it is written to."""
    try:
        place = nearest(directory)
        free = shutil.disk_usage(place).free
        with NamedTemporaryFile(dir=place, prefix=".planet-doctor-") as file:
            start = time.perf_counter()
            file.write(os.urandom(DISK_BYTES))
            file.flush()
            os.fsync(file.fileno())
            speed = DISK_BYTES / (time.perf_counter() - start)
    except OSError as error:
        return Finding("disk", False, str(error), "choose another place")
    what = f"{in_bytes(free)} free in {place}, {in_bytes(speed)}/s to write"
    if free < LEAST_FREE:
        return Finding(
            "disk", False, what, "make room, or choose another place with --run"
        )
    return Finding("disk", True, what)


def tried(program: str, seconds: float) -> tuple[bool, str]:
    """Whether a program ends well in the Python that runs this, and what it says."""
    words = [sys.executable, "-c", dedent(program)]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {seconds:g} s: it hangs"
    if done.returncode < 0:
        return False, f"kills its process: {signal.Signals(-done.returncode).name}"
    if done.returncode > 0:
        return False, _error(done.stderr)
    return True, done.stdout.strip().rpartition("\n")[2]


def _error(said: str) -> str:
    """The error at the end of a traceback, without what follows while exiting."""
    lines = said.partition("Exception ignored")[0].strip().splitlines()
    errors = [line for line in lines if re.match(r"[\w.]+: ", line)]
    return (errors or lines or ["says nothing"])[-1]
