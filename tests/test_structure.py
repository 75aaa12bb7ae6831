"""The rules of the house that no other tool checks (docs/design.md)."""

import ast
import dataclasses
import fnmatch
import importlib
import re
import typing
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

ROOT = Path(__file__).parents[1]
PACKAGE = "planet_torch"

# A file imports only from layers below its own. "x.*" is a folder whose files may
# import each other.
LAYERS = [
    ["convolutions", "files", "sealed"],
    [
        *(
            "chunk",
            "cores",
            "episode_file",
            "kernels",
            "lock",
            "memory",
            "metrics",
            "nested",
            "networks",
        ),
        *("provenance", "published", "ranges", "signals", "statistics", "trials"),
        "worker",
        *("envs.ground", "envs.scene", "envs.wrappers"),
    ],
    [
        *(
            "checkpoint",
            "config",
            "critic",
            "dynamics",
            "optimiser",
            "planners",
            "replay",
        ),
        *("plots", "progress", "sinks", "watch"),
        *("envs.checked", "envs.raycast"),
    ],
    ["guard", "recurrent", "ssm", "world_model", "envs.gl"],
    ["envs.dm_control", "envs.isolate"],
    [
        "agent",
        "compilation",
        "drnn",
        "objectives",
        "prediction",
        "envs",
        "envs.simulator",
    ],
    ["batches", "overshooting", "value"],
    ["build_envs"],
    ["build_model"],
    ["build", "presets", "rollout", "video"],
    ["attempts", "simulated"],
    ["collector"],
    ["ahead"],
    ["run"],
    ["recover", "resume"],
    ["doctor", "listing", "trainer"],
    ["estimate", "training"],
    ["benchmark.*"],
    ["report"],
    ["experiments.*", "export"],
    ["commands.*"],
    ["commands"],
    ["cli"],
    ["__init__", "__main__"],
]
LAYER = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
BUILD = LAYER["build_envs"]

Sources = dict[str, str]  # the text of each file by its name: "envs.raycast" -> "..."


def sources() -> Sources:
    """The package's files; a folder's `__init__` goes by the folder's name."""
    folder = ROOT / "src" / PACKAGE
    names = {
        path: ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in sorted(folder.rglob("*.py"))
    }
    return {
        name.removesuffix(".__init__"): path.read_text() for path, name in names.items()
    }


def room(name: str) -> str | None:
    """The entry of LAYERS that a file belongs to, None if it has no place."""
    folder = name.partition(".")[0]
    return next((r for r in (name, f"{folder}.*") if r in LAYER), None)


def imported(text: str, known: set[str]) -> set[str]:
    """The package's files that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            # The version is a fact about the package, not a part of it.
            modules.discard(f"{PACKAGE}.__version__")
            found |= {
                name
                if name.removeprefix(f"{PACKAGE}.") in known
                else name.rpartition(".")[0]
                for name in modules
            }
    inside = {name for name in found if name.split(".")[0] == PACKAGE}
    return {
        "__init__" if name == PACKAGE else name.removeprefix(f"{PACKAGE}.")
        for name in inside
    }


def upward(files: Sources) -> list[str]:
    """The imports that do not point down, between files that have a place."""
    return [
        f"{name} imports {target}"
        for name, text in files.items()
        for target in sorted(imported(text, set(files)))
        for above, below in [(room(name), room(target))]
        if above and below and above != below and LAYER[below] >= LAYER[above]
    ]


def long_functions(files: Sources, limit: int) -> list[str]:
    """The functions with more lines than the limit, their docstrings left out."""
    found = []
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                found += [f"{name}.{node.name}"] * (lines > limit)
    return found


def opens_pickles(text: str) -> list[str]:
    """What in a source could run code that is hidden in a file."""
    modules = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in modules]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] * ((node.module or "").split(".")[0] in modules)
        elif isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if call == "torch.load":
                found.append(call)
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{call} with allow_pickle")
    return found


def leaves(config: type, prefix: str = "") -> list[str]:
    """The dotted names of a config's options."""
    names = []
    for name, kind in typing.get_type_hints(config).items():
        groups = [
            k for k in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(k)
        ]
        for group in groups:
            names += leaves(group, f"{prefix}{name}.")
        names += [] if groups else [f"{prefix}{name}"]
    return names


def options_read(text: str) -> set[str]:
    """The attributes that a source reads; "group.*" for a call(**asdict(x.group))."""
    read = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()):
                read.add(name)
            case ast.keyword(
                arg=None,
                value=ast.Call(
                    func=ast.Name(id="asdict"), args=[ast.Attribute(attr=group)]
                ),
            ):
                read.add(f"{group}.*")
    return read


def unread(options: list[str], texts: list[str]) -> list[str]:
    """The options that no source reads, neither by name nor with their group."""
    read = set().union(*map(options_read, texts))
    parts = {option: option.split(".") for option in options}
    return [
        option
        for option, (*groups, name) in parts.items()
        if name not in read and not {f"{group}.*" for group in groups} & read
    ]


def test_every_file_has_its_place():
    homeless = [name for name in sources() if room(name) is None]
    assert not homeless, (
        f"{homeless}: say in LAYERS above and in docs/design.md in which layer "
        "these files are"
    )


def test_every_place_has_a_file():
    rooms = [room for rooms in LAYERS for room in rooms]
    files = sources()
    assert [r for r in rooms if not fnmatch.filter(files, r)] == []


def test_imports_point_down():
    assert upward(sources()) == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("chunk", "from planet_torch.replay import Replay"),
        ("chunk", "def f():\n    import planet_torch.replay"),
        ("dynamics", "from planet_torch import replay"),
        ("cli", "import planet_torch"),
    ],
)
def test_an_import_that_points_up_is_found(source, text):
    assert len(upward({"replay": "", source: text})) == 1


def test_an_import_that_points_down_is_allowed():
    text = "from planet_torch import __version__, chunk\nimport numpy"
    files = {"chunk": "", "envs": "", "replay": text}
    assert upward(files) == []
    assert upward({**files, "envs": "from planet_torch.replay import Replay"}) == []


def test_files_and_functions_stay_short():
    lines = {name: len(text.splitlines()) for name, text in sources().items()}
    assert [name for name, count in lines.items() if count >= 350] == []
    assert long_functions(sources(), limit=50) == []


def test_a_long_function_is_found():
    text = 'def f():\n    """Two lines."""\n    x = 1\n    y = 2'
    assert long_functions({"a": text}, limit=1) == ["a.f"]
    assert long_functions({"a": text}, limit=2) == []


def test_no_pickle_is_opened():
    scripts = {str(p): p.read_text() for p in (ROOT / "benchmarks").rglob("*.py")}
    found = {name: opens_pickles(t) for name, t in {**sources(), **scripts}.items()}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_an_opened_pickle_is_found(text):
    assert len(opens_pickles(text)) == 1


def test_a_load_that_runs_no_code_is_allowed():
    assert opens_pickles("np.load(p)") == []


def test_config_stops_at_the_builders():
    """Below them everything takes plain arguments, and so serves as a library."""
    files = sources()
    users = {n for n, text in files.items() if "config" in imported(text, set(files))}
    assert [name for name in users if LAYER[room(name)] < BUILD] == []


def test_no_variant_is_known_where_episodes_are_made_and_learned_from():
    """Models, objectives, planners and collectors are chosen by the builders alone."""
    config = importlib.import_module(f"{PACKAGE}.config").Config
    paths = [leaf.split(".") for leaf in leaves(config)]
    variants = {p[-1] for p in paths if p[0] in ("model", "objective", "planner")}
    files = sources()
    for name in ("trainer", "attempts", "rollout"):
        read = options_read(files[name]) & {*variants, "collection", "parallel"}
        assert read == set(), f"{name} asks which variant it runs"


def test_every_option_is_read():
    config = importlib.import_module(f"{PACKAGE}.config").Config
    builders = [t for n, t in sources().items() if LAYER.get(room(n), 0) >= BUILD]
    assert unread(leaves(config), builders) == []


def test_an_unread_option_is_found():
    options = ["task", "env.camera", "planner.horizon", "planner.elites"]
    text = "make(config.task, **asdict(config.env))\nCEM(config.planner.horizon)"
    assert unread(options, [text]) == ["planner.elites"]


def test_leaves_are_found_in_groups_and_unions():
    inner = dataclasses.make_dataclass("Inner", [("a", int)])
    outer = dataclasses.make_dataclass("Outer", [("b", int), ("inner", inner | None)])
    assert leaves(outer) == ["b", "inner.a"]


def test_annotated_shapes_are_checked_here():
    """Else every annotation would be a comment that nobody reads."""
    episode = importlib.import_module(f"{PACKAGE}.chunk").Episode
    rows = np.zeros(3, np.float32)
    with pytest.raises(TypeCheckError):
        episode(rows[:, None], rows[:, None], np.zeros(4, np.float32))


def test_the_version_is_said_alike_everywhere():
    version = importlib.import_module(PACKAGE).__version__
    citation = (ROOT / "CITATION.cff").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]
    assert re.findall(r"^## \[(\d.*?)\]", changelog, re.MULTILINE)[0] == version
