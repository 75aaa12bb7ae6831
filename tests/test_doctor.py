"""What works on this machine: each part is tried alone, and its failure is told."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import get_args

import pytest

from planet_torch import doctor
from planet_torch.cli import main
from planet_torch.doctor import PROBES, Part, Probe, disk, tried

ROOT = Path(__file__).parents[1]


def test_a_program_that_ends_well_says_its_last_line():
    assert tried("print('warming up')\nprint('quick')", 60.0) == (True, "quick")


@pytest.mark.parametrize(
    ("program", "seconds", "what"),
    [
        ("import a_library_that_is_not", 60.0, "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('no screen\\nHelp: none')", 60.0, "Help: none"),
        ("import os; os.abort()", 60.0, "kills its process: SIGABRT"),
        ("while True: pass", 1.0, "no answer in 1 s: it hangs"),
        ("import sys; sys.exit(3)", 60.0, "says nothing"),
    ],
)
def test_a_part_that_fails_says_how(program, seconds, what):
    works, said = tried(program, seconds)
    assert not works
    assert what in said


def test_what_is_printed_while_exiting_does_not_hide_the_error():
    said = (
        "Traceback (most recent call last):\n  File ...\nRuntimeError: no EGL: none\n"
        "Without a screen it needs: this\nException ignored in: <function a>\n"
        "AttributeError: 'NoneType'\n"
    )
    assert doctor._error(said) == "RuntimeError: no EGL: none"


def test_every_part_is_tried():
    assert {*PROBES, "disk"} == set(get_args(Part))


def test_every_extra_is_a_part():
    """Those of pyproject.toml, whatever is installed."""
    text = (ROOT / "pyproject.toml").read_text()
    (section,) = re.findall(r"optional-dependencies\]\n(.*?)\n\[", text, re.S)
    extras = set(re.findall(r"^(\w+) = ", section, re.M))
    assert extras
    assert extras <= set(get_args(Part))


def test_the_parts_that_every_machine_has_work():
    for part in ("bf16", "raycast"):
        works, what = tried(PROBES[part].program, 100.0)
        assert works, (part, what)
        assert re.search(r"\d", what)


def test_what_is_absent_here_is_told_with_the_command_that_brings_it():
    for part, module in (("wandb", "wandb"), ("gym", "pygame")):
        works, what = tried(PROBES[part].program, 100.0)
        assert works == (importlib.util.find_spec(module) is not None), what
        if works:
            assert re.fullmatch(rf"{module} \d+\.[\d.]+\w*", what)
        else:
            assert PROBES[part].mend == f"pip install 'planet-torch[{part}]'"


@pytest.mark.skipif(sys.platform != "linux", reason="EGL")
def test_a_renderer_without_its_library_is_told(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    works, what = tried(PROBES["gl"].program, 100.0)
    assert not works
    assert "renderer 'gl' cannot start OpenGL by MUJOCO_GL=nothing" in what


def test_the_disk_is_that_of_the_nearest_directory(tmp_path):
    found = disk(tmp_path / "deep" / "runs")
    assert found.works
    assert f"free in {tmp_path}, " in found.what
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_FREE", 2**60)
    assert not disk(tmp_path).works


def test_a_place_that_cannot_be_written_is_told():
    found = disk(Path("/proc"))
    assert not found.works
    assert "choose another place" in found.mend


PARTS = {
    "torch": Probe("print('1.0')", "reinstall it"),
    "gl": Probe("raise OSError('no screen')", "buy a screen"),
}


def test_the_exit_status_says_whether_all_that_is_needed_works(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(doctor, "PROBES", PARTS)
    words = ["doctor", "--run", str(tmp_path)]
    assert main([*words, "--need", "torch", "disk"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^works   torch +1\.0$", said, re.M)
    assert re.search(r"^absent  gl +OSError: no screen\n +buy a screen$", said, re.M)
    assert said.endswith("all that is needed works\n")
    assert main([*words, "--need", "torch", "gl"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^BROKEN  gl ", said, re.M)
    assert said.endswith("needed but broken: gl\n")


def test_a_program_can_read_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(doctor, "PROBES", PARTS)
    words = ["doctor", "--run", str(tmp_path), "--json", "--need"]
    assert main([*words, "gl"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [part["part"] for part in said["parts"]] == ["torch", "gl", "disk"]
    assert said["needed but broken"] == ["gl"]
    assert main([*words, "torch"]) == 0
