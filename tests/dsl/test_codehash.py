"""The code hash: what is reached counts; what is not, comments, docstrings and layout do not."""

from __future__ import annotations

import ast
import os
import random
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.codehash import CodeIndex
from mfc.dsl.ir import Call
from mfc.runtime.build import build
from tests.tracing import executed

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)

FILES = {
    "main.py": '''
        """A user's components."""
        import math
        import helpers
        import pack.inner
        import pack.deep.leaf as leaf
        from typing import TYPE_CHECKING
        from helpers import scale as factor, unused
        from pack import exported
        from pack.stars import *
        if TYPE_CHECKING:
            from helpers import only_for_types

        SIZE = 3
        LEFT, RIGHT = 1, 2
        TABLE = {"a": SIZE}

        def decorate(f):
            return f

        class Base:
            """A base."""
            def step(self):
                return helpers.step(self)

        @decorate
        class comp(Base):
            """A component."""
            size: int = LEFT
            def __call__(self, x: "only_for_types"):
                # a comment
                def inner():
                    from pack.lazy import late
                    return late(x)
                y = inner() + factor(TABLE["a"]) + exported() + starred()
                return y + pack.inner.low() + leaf.green(x)

        def idle():
            return comp

        def uses_globals():
            return globals()["idle"]()

        def whole_module():
            return run(helpers)
    ''',
    "helpers.py": """
        import math
        FACTOR = 2
        def scale(x): return x * FACTOR
        def step(x): return mutual(x)
        def mutual(x): return step(x) if x else 0
        def unused(): return 0
        def only_for_types(): return 0
        registry = {}
        registry["scale"] = 1
    """,
    "pack/__init__.py": "from .inner import low as exported\n",
    "pack/inner.py": "def low(): return base()\ndef base(): return 1\ndef other(): return 2\n",
    "pack/deep/leaf.py": "from .. import inner\ndef green(x): return inner.base()\n",
    "pack/stars.py": "from pack.more import *\nfrom math import *\n",
    "pack/more.py": "def starred(): return 1\ndef not_used(): return 2\n",
    "pack/lazy.py": "try:\n    import fast\nexcept ImportError:\n    fast = None\ndef late(x): return fast\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFC_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def edit(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert text.count(old) == 1
    (project / name).write_text(text.replace(old, new))


def test_what_a_component_reaches(project: Path) -> None:
    found = CodeIndex().reached([f"{project}/main.py:comp"])
    assert sorted((os.path.relpath(path, project), name) for path, name in found) == [
        ("helpers.py", "<module>"),
        ("helpers.py", "FACTOR"),
        ("helpers.py", "mutual"),
        ("helpers.py", "registry"),
        ("helpers.py", "scale"),
        ("helpers.py", "step"),
        ("main.py", "<module>"),
        ("main.py", "Base"),
        ("main.py", "LEFT"),
        ("main.py", "RIGHT"),
        ("main.py", "SIZE"),
        ("main.py", "TABLE"),
        ("main.py", "comp"),
        ("main.py", "decorate"),
        ("pack/__init__.py", "<module>"),
        ("pack/deep/leaf.py", "<module>"),
        ("pack/deep/leaf.py", "green"),
        ("pack/inner.py", "<module>"),
        ("pack/inner.py", "base"),
        ("pack/inner.py", "low"),
        ("pack/lazy.py", "<module>"),
        ("pack/lazy.py", "late"),
        ("pack/more.py", "<module>"),
        ("pack/more.py", "starred"),
    ]


EDITS: list[tuple[str, str, str, bool]] = [
    ("main.py", "# a comment", "# another", False),
    ("main.py", '"""A component."""', '"""Another text."""', False),
    ("main.py", '"""A user\'s components."""', "", False),
    ("main.py", "SIZE = 3\n", "\n\nSIZE  =  3  # rows\n", False),
    ("main.py", "return comp", "return None", False),
    ("main.py", "import math\n", "import math, os\n", False),
    ("main.py", "SIZE = 3", "SIZE = 4", True),
    ("main.py", "LEFT, RIGHT = 1, 2", "LEFT, RIGHT = 1, 3", True),
    ("main.py", "def decorate(f):\n    return f", "def decorate(f):\n    return [f]", True),
    ("main.py", "return helpers.step(self)", "return helpers.step(0)", True),
    ("main.py", "size: int = LEFT", "size: float = LEFT", True),
    ("main.py", "from helpers import scale as factor, unused", "from helpers import step as factor", True),
    ("main.py", "from pack import exported", "from math import exp as exported", True),
    ("helpers.py", "FACTOR = 2", "FACTOR = True", True),
    ("helpers.py", "step(x) if x else 0", "step(x) if x else 1", True),
    ("helpers.py", "def unused(): return 0", "def unused(): return 1", False),
    ("helpers.py", "def only_for_types(): return 0", "def only_for_types(): return 1", False),
    ("helpers.py", 'registry["scale"] = 1', 'registry["scale"] = 2', True),
    ("helpers.py", "def unused(): return 0\n", "", False),
    ("pack/__init__.py", "low as exported", "other as exported", True),
    ("pack/inner.py", "def base(): return 1", "def base(): return 3", True),
    ("pack/inner.py", "def other(): return 2", "def other(): return 3", False),
    ("pack/deep/leaf.py", "inner.base()", "inner.other()", True),
    ("pack/more.py", "def starred(): return 1", "def starred(): return 2", True),
    ("pack/more.py", "def not_used(): return 2", "def not_used(): return 3", False),
    ("pack/lazy.py", "fast = None", "fast = 0", True),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"), EDITS, ids=[f"{e[0]}: {e[1][:30]}" for e in EDITS]
)
def test_edits(project: Path, name: str, old: str, new: str, changes: bool) -> None:
    before = CodeIndex().hash([f"{project}/main.py:comp"])
    edit(project, name, old, new)
    assert (CodeIndex().hash([f"{project}/main.py:comp"]) != before) == changes


def test_the_folder_does_not_count(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = CodeIndex().hash([f"{project}/main.py:comp"])
    elsewhere = tmp_path_factory.mktemp("other") / "moved"
    project.rename(elsewhere)
    assert CodeIndex().hash([f"{elsewhere}/main.py:comp"]) == here


def test_globals_and_modules_as_values_reach_everything_in_them(project: Path) -> None:
    names = {name for _, name in CodeIndex().reached([f"{project}/main.py:uses_globals"])}
    assert {"comp", "idle", "whole_module", "unused"} <= names
    names = {
        name for path, name in CodeIndex().reached([f"{project}/main.py:whole_module"]) if "helpers" in path
    }
    assert {"unused", "only_for_types", "registry"} <= names


@pytest.mark.parametrize(
    ("imported", "decorator", "word", "changes"),
    [
        ("import mfc", "mfc.layer", "parameters", False),
        ("from mfc import architecture as net", "net", "parameters", False),
        ("from mfc.runtime.component import layer", "layer", "parameters", False),
        ("import mfc", "mfc.layer", "shape", True),
        ("import mfc", "mfc.loss", "parameters", True),
        ("from other import layer", "layer", "parameters", True),
    ],
)
def test_a_count_rule_does_not_count(
    tmp_path: Path, imported: str, decorator: str, word: str, changes: bool
) -> None:
    """No run reads it; what looks like one may be anything."""
    file, found = tmp_path / "layers.py", set()
    for rule in ("", f'{word}="c"', f'{word}="2*c"'):
        file.write_text(f"{imported}\n@{decorator}({rule})\ndef half(): ...\n")
        found.add(CodeIndex().hash([f"{file}:half"]))
    assert len(found) == (3 if changes else 1)


def test_several_targets(project: Path) -> None:
    targets = [f"{project}/main.py:comp", f"{project}/helpers.py:unused"]
    assert CodeIndex().reached(targets) == CodeIndex().reached(targets[:1]) | CodeIndex().reached(targets[1:])
    assert CodeIndex().hash(targets) == CodeIndex().hash(reversed(targets)) != CodeIndex().hash(targets[:1])


def test_a_target_that_is_not_there(project: Path) -> None:
    for target in (
        f"{project}/main.py:nothing",
        f"{project}/no.py:a",
        "mfc.runtime.nothing:a",
        "mfc.runtime.streams:b",
    ):
        with pytest.raises(LookupError):
            CodeIndex().hash([target])


def test_the_names_of_the_face_lead_to_the_decorators(project: Path) -> None:
    (project / "own.py").write_text("import mfc\n@mfc.curve\ndef a(): return mfc.In\n")
    found = {(os.path.basename(path), name) for path, name in CodeIndex().reached([f"{project}/own.py:a"])}
    assert {("component.py", "curve"), ("component.py", "_marks"), ("component.py", "In")} <= found
    assert ("component.py", "layer") not in found


def test_a_file_that_is_not_python_is_one_piece(project: Path) -> None:
    (project / "own.py").write_text("import helpers\ndef a(): return helpers.scale(1)\n")
    before = CodeIndex().hash([f"{project}/own.py:a"])
    (project / "helpers.py").write_text("def scale(:\n")
    broken = CodeIndex().hash([f"{project}/own.py:a"])
    (project / "helpers.py").write_text("def scale((:\n")
    assert len({before, broken, CodeIndex().hash([f"{project}/own.py:a"])}) >= 2


def test_what_is_skipped_is_not_followed(project: Path) -> None:
    target = f"{project}/main.py:comp"
    index = CodeIndex(skip=["helpers", "pack.deep", "main:LEFT"])
    found = {(os.path.relpath(path, project), name) for path, name in index.reached([target])}
    everything = {(os.path.relpath(path, project), name) for path, name in CodeIndex().reached([target])}
    assert {path for path, _ in everything - found} == {"helpers.py", "pack/deep/leaf.py", "main.py"}
    assert {name for path, name in everything - found if path == "main.py"} == {"LEFT", "RIGHT"}
    assert not any(path in ("helpers.py", "pack/deep/leaf.py") for path, _ in found)
    before = index.hash([target])
    edit(project, "helpers.py", "FACTOR = 2", "FACTOR = 3")
    assert CodeIndex(skip=["helpers", "pack.deep", "main:LEFT"]).hash([target]) == before
    assert ("helpers.py", "scale") in {
        (os.path.relpath(path, project), name)
        for path, name in CodeIndex(skip=["helpers"]).reached([f"{project}/helpers.py:scale"])
    }


def test_an_index_sees_files_as_they_were_when_it_looked(project: Path) -> None:
    target = f"{project}/main.py:comp"
    index = CodeIndex()
    before = index.hash([target])
    edit(project, "main.py", "SIZE = 3", "SIZE = 4")
    assert index.hash([target]) == before != CodeIndex().hash([target])


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────

SOURCE = textwrap.dedent(FILES["main.py"])


def with_docstrings(source: str, texts: list[str]) -> str:
    """The source with other docstrings and a `pass` in its bodies, laid out anew and without comments."""
    tree = ast.parse(source)
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)]
    for body, text in zip(bodies, texts):
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body.pop(0)
        body.insert(0, ast.Expr(ast.Constant(text)))
        body.append(ast.Pass())
    return ast.unparse(ast.fix_missing_locations(tree))


@FIXED
@given(st.lists(st.text(max_size=20), min_size=9, max_size=9))
def test_docstrings_and_layout_do_not_count(project: Path, texts: list[str]) -> None:
    target = f"{project}/main.py:comp"
    (project / "main.py").write_text(SOURCE)
    before = CodeIndex().hash([target])
    (project / "main.py").write_text(with_docstrings(SOURCE, texts), encoding="utf-8")
    assert CodeIndex().hash([target]) == before


@FIXED
@given(
    st.sets(st.integers(0, SOURCE.count("\n")), max_size=9),
    st.sampled_from(["", "\t", "    # a remark", "# é"]),
)
def test_comments_and_empty_lines_do_not_count(project: Path, places: set[int], line: str) -> None:
    target = f"{project}/main.py:comp"
    (project / "main.py").write_text(SOURCE)
    before = CodeIndex().hash([target])
    lines = SOURCE.split("\n")
    for at in sorted(places, reverse=True):
        lines.insert(at, line)
    (project / "main.py").write_text("\n".join(lines))
    assert CodeIndex().hash([target]) == before


CONSTANTS = st.sampled_from(
    ["1", "1.0", "True", "'1'", "b'1'", "None", "...", "-1", "1j", "(1,)", "[1]", "{1}", "x", "x.y"]
)


@FIXED
@given(CONSTANTS, CONSTANTS)
def test_different_code_has_different_hashes(project: Path, a: str, b: str) -> None:
    hashes = []
    for value in (a, b):
        (project / "own.py").write_text(f"def f(x):\n    return {value}\n")
        hashes.append(CodeIndex().hash([f"{project}/own.py:f"]))
    assert (hashes[0] == hashes[1]) == (a == b)


@FIXED
@given(st.lists(st.tuples(st.sampled_from(sorted(FILES)), st.integers(0, 3)), max_size=5))
def test_cached_is_what_a_fresh_look_gives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    project = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    kept = tmp_path_factory.mktemp("kept")
    for i, (name, number) in enumerate(steps):
        (project / name).write_text(
            textwrap.dedent(FILES[name]).replace("1", str(number)).replace("0", str(number))
        )
        if i % 2:
            os.utime(project / name, ns=(10**18 + i, 10**18 + i))
        hashes = []
        for folder in (kept, kept / str(i)):
            os.environ["MFC_CACHE"] = str(folder)
            hashes.append(CodeIndex().hash([f"{project}/main.py:comp"]))
        assert hashes[0] == hashes[1]


# ── what runs is what was reached ───────────────────────────────────────────────────────────────────────


def test_what_item_transforms_run_was_reached() -> None:
    image = Image.new("RGB", (40, 30), (200, 10, 10))
    for info in builtin_catalog():
        args = {p.name: {"size": 16}.get(p.name) for p in info.parameters if p.required}
        if info.kind != "item_transform" or None in args.values():
            continue

        call = Call(info.kind, info.name, info.target, args)

        def run(call: Call = call) -> None:
            transform = build(call)
            forms = [transform, transform.evaluation() if hasattr(transform, "evaluation") else None]
            for form in filter(None, forms):
                form(image, random.Random(1))

        ran = executed(run)
        assert any(name == info.name for _, name in ran)
        assert ran <= CodeIndex().reached(["mfc.runtime.build:build", info.target]), info.name
