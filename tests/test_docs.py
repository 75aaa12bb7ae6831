"""The pages say what is there: their references, links, commands and examples hold."""

import re
import subprocess
from dataclasses import asdict
from itertools import pairwise

import pytest

from scripts import ROOT, script

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
REFRESH = "run python docs/refresh_lines.py"

lines = script(DOCS / "refresh_lines.py")


def blocks(page, language):
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page):
    """The words of each `planet` command in the shell and indented blocks of a page."""
    indented = re.findall(r"^    (\w.*)$", page.read_text(), re.M)
    text = "\n".join([*blocks(page, "bash"), *indented]).replace("\\\n", " ")
    found = re.findall(r"^(?:\w+=\S+ )*planet ([^#|>\n]*)", text, re.M)
    return [command.split() for command in found]


def tagged(source):
    """The symbols in which a comment or docstring has one of the two tags."""
    spans = lines.symbols(source)
    found = set()
    for tag in re.finditer(r"\b([Aa]s[\s#]+reference|Differs)\b", source):
        line = source.count("\n", 0, tag.start()) + 1
        around = [
            (last - first, name)
            for name, (first, last) in spans.items()
            if first <= line <= last
        ]
        found.add(min(around, default=(0, "the file itself"))[1])
    return found


def section(page, heading):
    """What is below a heading of a page."""
    parts = re.split(r"^(#+ .*)$", page.read_text(), flags=re.M)
    return next(text for head, text in pairwise(parts) if head.endswith(heading))


def listed(page, heading):
    """The (path, symbol) pairs of the references below a heading of a page."""
    return {
        ((DOCS / match["path"]).resolve(), match["symbol"])
        for match in lines.REFERENCE.finditer(section(page, heading))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_references_to_the_code_are_true(page):
    missing = []
    text = page.read_text()
    today = lines.refreshed(text, page.parent, missing.append)
    assert missing == [], "rename or remove these, they are nowhere"
    assert text == today, REFRESH


def test_a_stale_line_is_set_right_and_a_symbol_that_is_gone_is_named(tmp_path):
    (tmp_path / "a.py").write_text("X = 1\n\n\nclass C:\n    y: int = 0\n")
    text = "[`a.py:9 C.y`](a.py#L9) [`a.py:1 X`](a.py#L1) [`a.py:1 Z`](a.py#L1)"
    missing = []
    today = lines.refreshed(text, tmp_path, missing.append)
    assert today == text.replace("a.py:9 C", "a.py:5 C").replace("#L9", "#L5")
    assert missing == ["[`a.py:1 Z`](a.py#L1)"]


def test_every_tag_in_the_code_is_in_the_list_of_them():
    """`As reference` and `Differs` mark the decisions that a reader must know of."""
    tags = {(path, name) for path in SOURCES for name in tagged(path.read_text())}
    page = listed(DOCS / "paper-to-code.md", "The two tags")
    assert {f"{path.name} {name}" for path, name in tags - page} == set()
    assert {f"{path.name} {name}" for path, name in page - tags} == set()


def test_every_option_that_cpu_changes_is_in_the_list_of_them():
    from planet_torch.presets import PRESETS

    paper, cpu = (asdict(PRESETS[name]) for name in ("paper", "cpu"))
    groups = [name for name, value in cpu.items() if isinstance(value, dict)]
    changed = {
        f"{group}.{option}"
        for group in groups
        for option, value in cpu[group].items()
        if value != paper[group][option]
    }
    page = section(DOCS / "paper-to-code.md", "What the preset `cpu` changes")
    assert set(re.findall(r"`(\w+\.\w+)`", page)) == changed


def test_a_tag_belongs_to_the_innermost_symbol():
    text = (
        "class C:\n    def f(self):\n        # As\n        # reference.\n        return"
    )
    assert tagged(text) == {"C.f"}


def test_the_design_names_every_file():
    page = (DOCS / "design.md").read_text()
    assert [path.name for path in SOURCES if path.name not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    paths = [t.partition("#")[0] for t in targets if not re.match(r"\w+:|#", t)]
    assert [path for path in paths if not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_python(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page):
    from planet_torch.cli import parse

    for name, *words in commands(page):
        if not {"--help", "--version"} & {name, *words}:
            parse(name, words)  # a ValueError says what is wrong


def test_commands_are_found_in_pages(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA=1 planet train x \\\n  --seed 1  # why\nls\n```\n"
        "\n    planet list\n"
    )
    assert commands(page) == [["train", "x", "--seed", "1"], ["list"]]


def test_the_environment_of_the_tutorial_can_be_learned(tmp_path, monkeypatch):
    from planet_torch import cli, video

    (factory,) = (b for b in blocks(DOCS / "tutorial.md", "python") if "def make" in b)
    (tmp_path / "balls.py").write_text(factory)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")  # faster than mp4
    run = tmp_path / "run"
    words = ["train", "balls:make", "--preset", "debug", "--run", str(run)]
    words += ["--env.action_repeat", "5", "--train.episodes", "3"]
    assert cli.main(words) == 0
    assert (run / "curve.png").exists()


def test_the_planner_of_the_tutorial_plans(tmp_path):
    (text,) = (b for b in blocks(DOCS / "tutorial.md", "python") if "(Planner)" in b)
    path = tmp_path / "gradient.py"
    path.write_text(text)
    script(path)  # ends with an assertion


def test_nothing_names_a_place_on_one_machine():
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(command, check=False, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git repository")
    place = re.compile(rb"(?<![\w.])/(?:tmp|work|root|home)(?![\w-])")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert [f.name for f in files if f.is_file() and place.search(f.read_bytes())] == []
