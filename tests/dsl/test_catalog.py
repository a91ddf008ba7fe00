"""The catalog: what is read from source text is what the objects are, fresh or from the cache."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mfc
from mfc.dsl import types
from mfc.dsl.annotations import KINDS
from mfc.dsl.catalog import Catalog, read_catalog, read_components
from mfc.dsl.component import REQUIRED, Component, Parameter, Reading, reading_from_json, reading_to_json
from mfc.dsl.ranges import Range
from mfc.dsl.read import decorators, read_file
from mfc.runtime import component

RUNTIME = os.path.join(next(iter(mfc.__path__)), "runtime")
FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MFC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def read(source: str) -> dict[str, Component]:
    """The components of a user's file that has no problems."""
    components, problems = read_components(textwrap.dedent(source), "/spec/mine.py", None)
    assert problems == []
    return {c.name: c for c in components}


def told(source: str) -> str:
    """The problems of a user's file as text."""
    _, problems = read_components(textwrap.dedent(source), "/spec/mine.py", None)
    lines = []
    for p in problems:
        lines.append(f"{p.code} {p.line}:{p.column}-{p.end} {p.message}")
        lines += [f"  help: {p.help}"] if p.help else []
    return "\n".join(lines)


# ── the built-in components ─────────────────────────────────────────────────────────────────────────────


def test_the_runtime_package_has_no_problems() -> None:
    catalog, problems = read_catalog(RUNTIME, "mfc.runtime")
    assert problems == {}
    assert len(catalog) > 50


def test_no_two_components_have_one_kind_and_name() -> None:
    seen: dict[tuple[str, str], str] = {}
    for folder, _, files in os.walk(RUNTIME):
        for file in files:
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                for c in read_file(Path(path).read_text(), path, "m").components:
                    assert seen.setdefault((c.kind, c.name), path) == path


def test_what_is_read_is_what_the_objects_are() -> None:
    catalog, _ = read_catalog(RUNTIME, "mfc.runtime")
    for info in catalog:
        module, _, name = info.target.partition(":")
        found = getattr(importlib.import_module(module), name)
        facts = _lists(found.__mfc_facts__)
        assert (found.__mfc_kind__, facts, inspect.cleandoc(found.__doc__)) == (
            info.kind,
            info.facts,
            info.doc,
        )
        real = inspect.signature(found).parameters.values()
        plain = [p for p in real if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        assert [(p.name, p.default is p.empty, p.kind is p.KEYWORD_ONLY) for p in plain] == [
            (p.name, p.required, p.keyword_only) for p in info.parameters
        ]
        for p, ours in zip(plain, info.parameters):
            assert ours.required or ours.default == _lists(p.default)
        assert (info.rest is not None) == any(p.kind is p.VAR_POSITIONAL for p in real)
        assert (info.others is not None) == any(p.kind is p.VAR_KEYWORD for p in real)
        line = Path(info.file).read_text().splitlines()[info.line - 1]
        assert line[info.column :].startswith(name)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value


def test_decorators_and_kinds_are_those_of_the_runtime() -> None:
    assert KINDS == component.KINDS
    for name, decorator in decorators().items():
        real = inspect.signature(getattr(component, name)).parameters
        expected = {p.name: p.default for p in real.values() if p.name != "component"}
        assert {k: REQUIRED if d is REQUIRED else d for k, (_, d) in decorator.facts.items()} == {
            k: REQUIRED if d is inspect.Parameter.empty else _lists(d) for k, d in expected.items()
        }
    assert set(decorators()) == {kind for kind in KINDS if hasattr(component, kind)}


def test_constants_are_read() -> None:
    mean, std = read_catalog(RUNTIME, "mfc.runtime")[0].constants["cifar_stats"]
    assert len(mean) == len(std) == 3


# ── a user's components ─────────────────────────────────────────────────────────────────────────────────


def test_a_class_component() -> None:
    found = read(
        '''
        import mfc
        from mfc.runtime.component import Range

        @mfc.layer(shape="b c h w -> b nf h w")
        class film(nn.Module):
            """Scales what comes in.

            More on it.
            """

            def __init__(self, c: mfc.In, nf: int, ks: Annotated[int, Range(1, 9)] = 3, *, bias: bool = True):
                ...

            def forward(self, x, condition, mask=None):
                ...
        '''
    )["film"]
    assert (found.kind, found.target, found.file) == ("layer", "/spec/mine.py:film", "/spec/mine.py")
    assert (found.line, found.column) == (6, 6)
    assert found.summary == "Scales what comes in."
    assert found.doc == "Scales what comes in.\n\nMore on it."
    assert found.signature() == "film(nf: int, ks: int in 1..9 = 3, bias: bool = true)"
    assert [p.is_in for p in found.parameters] == [True, False, False, False]
    assert found.passes == {"condition": True, "mask": False}
    assert found.facts == {
        "shape": "b c h w -> b nf h w", "table": "", "splits": "", "parameters": "", "ids": False,
    }  # fmt: skip


def test_a_decorator_with_facts_that_may_stand_without_a_call() -> None:
    found = read(
        """
        import mfc

        @mfc.labeler
        def a(): "A."
        @mfc.splitter(reads_column=True)
        def b(): "B."
        """
    )
    assert [c.facts["reads_column"] for c in found.values()] == [False, True]
    assert found["a"].facts["gives"] == "label"  # what the decorator leaves out has its default
    _, problems = read_components(
        'import mfc\n@mfc.labeler(True)\ndef a(): "A."\n@mfc.source\ndef b(): "B."\n', "/spec/mine.py", None
    )
    assert [(p.code, p.line) for p in problems] == [("E0704", 2), ("E0704", 4)]


def test_ways_of_writing_a_decorator() -> None:
    found = read(
        """
        import mfc
        import mfc.runtime.component as parts
        from mfc import curve as bow
        from mfc.runtime import component
        from mfc.runtime.component import curve
        from elsewhere import loss, metric as curved

        @curve
        def a(): "A."
        @component.curve
        def b(): "B."
        @mfc.curve
        def c(): "C."
        @parts.curve
        def d(): "D."
        @bow
        def e(): "E."
        @mfc.runtime.component.curve
        def f(): "F."
        @mfc.callback()
        def g(): "G."
        @functools.cache
        @mfc.splitter
        def h(): "H."
        @loss
        def not_ours(): ...
        @curved
        def nor_this(): ...
        @unknown.layer()
        def nor_that(): ...
        """
    )
    assert {name: c.kind for name, c in found.items()} == dict.fromkeys("abcdef", "curve") | {
        "g": "callback",
        "h": "splitter",
    }


def test_dataclasses_and_base_classes() -> None:
    found = read(
        """
        from dataclasses import KW_ONLY, dataclass, field
        from typing import ClassVar
        import mfc

        class Base:
            def __init__(self, p: float = 0.5): ...

        @dataclass
        class Sized:
            size: int
            method: Literal["crop", "pad"] = "crop"

        @mfc.item_transform("c h w -> c h w")
        class inherits(Base):
            "From its base."

        @mfc.item_transform("c h w -> c h w", random=True, on=("image", "mask"))
        @dataclass(frozen=True)
        class sized(Sized):
            "Fields of its base, then its own."
            count: ClassVar[int] = 3
            stats: list[float] = field(default_factory=list)
            cache: dict = field(init=False, default=None)
            _: KW_ONLY
            name: str = field(default="x")
        """
    )
    assert found["inherits"].signature() == "inherits(p: float = 0.5)"
    assert found["sized"].signature() == (
        'sized(size: int, method: choice(crop, pad) = "crop", stats: list(float) = [], name: string = "x")'
    )
    assert found["sized"].parameters[-1].keyword_only
    facts = {"shape": "c h w -> c h w", "random": True, "on": ["image", "mask"], "part": ""}
    assert found["sized"].facts == facts


def test_annotations_defaults_and_variadic_parameters() -> None:
    found = read(
        """
        from __future__ import annotations
        import mfc
        from pathlib import Path as File

        Share = Annotated[float, Range(0, 1)]
        MEAN = (0.1, 0.2)

        @mfc.callback(observes=True)
        def watch(
            *losses: mfc.Loss,
            a: Share = 1 / 2,
            b: "int | None" = -1 + 2**3,
            c: list[Annotated[int, Range(lo=1)]] = (1, 2),
            d: Optional[pathlib.Path] = None,
            e: Union[int, Literal["all", 3]] = "all",
            f: Annotated[float | None, Range(above=0)] = None,
            g: list[float] = MEAN,
            h: Literal[True, None] = True,
            i: Train | Data,
            **curves: float | mfc.Curve,
        ):
            "Watches."
        """
    )["watch"]
    assert found.signature() == (
        "watch(...: loss, a: float in 0..1 = 0.5, b: int or none = 7, c: list(int at least 1) = [1, 2], "
        'd: path or none = none, e: int or choice(all, 3) = "all", f: float above 0 or none = none, '
        "g: list(float) = [0.1, 0.2], h: choice(true) or none = true, i: train or data block, "
        "NAME = float or curve)"
    )


def test_marks_of_lists_and_of_parameters_beside_each_other() -> None:
    found = read(
        """
        from __future__ import annotations
        import mfc

        @mfc.curve
        def steps(
            at: Annotated[list[Annotated[float, Range(0, 1)]], mfc.Length(at_least=1), mfc.Sum(1)],
            values: Annotated[list[float], AsManyAs("at")],
            three: Annotated[list[float] | None, Length(3)] = None,
            lr: Annotated[float | None, Range(above=0), mfc.Without("three")] = None,
        ):
            "Steps."
        """
    )["steps"]
    at, values, three, lr = found.parameters
    share = types.Number(False, Range(0, 1))
    assert at.type == types.ListOf(share, Range(1), 1)
    assert three.type == types.optional(types.ListOf(types.FLOAT, Range(3, 3)))
    assert (values.as_many_as, values.without, lr.as_many_as, lr.without) == ("at", "", "", "three")


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ("Annotated[int, Length(3)]", "`a` of `odd`: `Length(3)` needs a list, not `int`"),
        ("Annotated[list[int], Length(f())]", "can't be read: its bounds have to be numbers"),
        ("Annotated[list[int], Sum(1, 2)]", "can't be read: it has at most one number"),
        ('Annotated[list[int], AsManyAs("b")]', "the annotation of `a` names `b`, which is no parameter"),
        ('Annotated[int, Without("a")] | None', "has to stand around the whole annotation"),
    ],
)
def test_marks_that_can_not_be_read(annotation: str, said: str) -> None:
    source = f'import mfc\n@mfc.curve\ndef odd(a: {annotation}): "Odd."\n'
    problems = read_file(source, "/own.py", None).problems
    assert [p.code for p in problems] == ["E0702"] and said in problems[0].message


def test_problems_of_a_users_file() -> None:
    source = """
    import mfc

    @mfc.layer(shape="b c -> b d")
    class é(nn.Module):
        def __init__(self, é, n: dict[str, int], k: Annotated[str, Range(1)], q: int = f(), r: float = "a"):
            pass

    @mfc.layer
    def plain(): "Not called."

    @mfc.loss(3, colour="red")
    def odd(): "Wrong arguments."

    @mfc.layer(shape="b c h w -> b c conv(h) conv(w")
    def open(): "A rule that can't be read."

    @mfc.layer(shape="b c h w -> b c conv(h) w")
    class window:
        "No ks, no dim n."
        def __init__(self, n: mfc.In): ...

    @mfc.layer(shape="b c ->")
    def nothing(): "Gives nothing."

    @mfc.metric(shape="b c", targets=("categry", "value"), better="most")
    def words(): "Words that there are none of."
    """
    annotations = (
        "annotations are int, float, bool, str, Path, None, unions, list[T], Literal[...], "
        "Annotated[T, Range(lo, hi)], In and kinds such as Loss"
    )
    assert told(source).splitlines() == [
        "E0706 4:17-29 `d` in the shape rule is neither a dim nor a parameter",
        "  help: its parameters are k, n, q, r, é",
        "W0705 5:6-7 `é` has no docstring",
        "  help: its first line is what editors and the reference show",
        "E0702 6:23-24 `é` of `é` has no annotation",
        "  help: say what it takes, such as `é: int`",
        "E0702 6:29-43 `n` of `é`: the annotation `dict[str, int]` can't be read",
        f"  help: {annotations}",
        "E0702 6:63-71 `k` of `é`: a range needs a number, not `string`",
        f"  help: {annotations}",
        "E0703 6:83-86 the default of `q` of `é` can't be read",
        "  help: write a number, a text, True, False, None or a list of them",
        'E0703 6:99-102 the default of `r` of `é` must be a number, not "a"',
        "E0704 9:1-10 `@layer` of `plain` is not called",
        "  help: write `@layer(shape=...)`",
        "E0704 12:1-26 `@loss` of `odd` needs `targets`",
        "E0704 12:10-11 `shape` of `@loss` must be a string, not 3",
        "E0704 12:20-25 `@loss` has no argument `colour`",
        "E0706 15:47-48 the shape rule can't be read: expected `)`, found the end",
        "E0706 18:17-43 the shape rule computes a window, and there is no parameter `ks`",
        "E0706 18:17-43 `n` is filled from what comes in, and the shape rule has no such dim",
        "  help: name a dim of the input `n`",
        "E0706 23:24-25 the shape rule can't be read: expected a dim, found the end",
        "E0704 26:33-53 `targets` has no `categry`",
        "  help: did you mean `category`?",
        "E0704 26:62-68 `better` has no `most`",
        "  help: it takes higher, lower",
    ]


def test_count_rules_that_do_not_fit() -> None:
    source = """
    import mfc
    from mfc import Layer, Encoder, In

    @mfc.layer(shape="b c -> b c", parameters="c*(nf")
    class open: "Not closed."

    @mfc.layer(shape="b c -> b c", parameters="c*d + prod(...)")
    class other:
        "No d, and no dims without a name."
        def __init__(self, c: In, n: int): ...

    @mfc.layer("b c h -> b c conv(h)", parameters="p*c + sum(n...) + n.m")
    class odd:
        "A share is no integer, a number no list."
        def __init__(self, p: float, n: int): ...

    @mfc.architecture(shape="b t -> b vocab t", parameters="encoder + encoder.size + vocab")
    class fine:
        "Counts what its encoder has."
        def __init__(self, encoder: Encoder, vocab: In): ...

    @mfc.encoder(parameters="vocab*size + pool(size)")
    class words:
        "Has no kernel."
        def __init__(self, size: int): ...
    """
    assert told(source).splitlines() == [
        "E0706 5:48-49 the count rule can't be read: expected `)`, found the end",
        "E0706 8:42-59 `d` in the count rule is neither a dim nor a parameter",
        "  help: its parameters are n",
        "E0706 8:42-59 `...` in the count rule stands for dims of what comes in, which the shape rule does not have",
        "E0706 13:11-33 the shape rule computes a window, and there is no parameter `ks`",
        "E0706 13:46-69 `p` in the count rule has to be an integer, and is a number",
        "E0706 13:46-69 `n` in the count rule has to be a list of integers, and is an integer",
        "E0706 13:46-69 `n` in the count rule has to be a component, and is an integer",
        "E0706 23:24-49 the count rule computes a window, and there is no parameter `ks`",
    ]


def test_shape_rules_compute_with_integers() -> None:
    source = """
    import mfc

    @mfc.layer(shape="b c -> b p sizes... where flag and n > 0")
    class odd:
        "None of these can be computed with."
        def __init__(self, p: float, sizes: list[str], flag: int, n: int | None): ...
    """
    assert told(source).splitlines() == [
        "E0706 4:17-59 `p` in the shape rule has to be an integer, and is a number",
        "E0706 4:17-59 `sizes` in the shape rule has to be a list of integers, and is a list of strings",
        "E0706 4:17-59 `flag` in the shape rule has to be true or false, and is an integer",
    ]


def test_a_file_that_is_not_python() -> None:
    assert told("import mfc\n\n@mfc.layer(shape='b c -> b c'\nclass a:\n    pass\n") == (
        "E0701 3:10-11 this is not valid Python: '(' was never closed"
    )
    assert told("x = 1\n\0") == "E0701 1:0-1 the file holds a null byte"
    assert told("x = " + "(" * 5000).startswith("E0701 1:")
    assert told("x" * 1_000_001) == "E0701 1:0-1 the file is longer than 1,000,000 characters"
    deep = "import mfc\n@mfc.curve\ndef a(x: " + " | ".join(["int"] * 900) + "): 'A.'\n"
    assert "`x` of `a`: the annotation is nested too deeply" in told(deep)


def test_nothing_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    write = f"open({str(marker)!r}, 'w')"
    source = f"{write}\nimport mfc\n@mfc.curve\ndef a(x: int = {write}): 'A.'\n"
    read_components(source, str(tmp_path / "mine.py"), None)
    assert not marker.exists()


# ── the catalog ─────────────────────────────────────────────────────────────────────────────────────────


def test_names_and_kinds() -> None:
    found = read("import mfc\n@mfc.curve\ndef flip(): 'A.'\n@mfc.splitter\ndef cut(): 'B.'\n")
    other = read("import mfc\n@mfc.callback()\ndef flip(): 'C.'\n")
    catalog = Catalog([*found.values(), *other.values()], {"stats": [1]})
    assert catalog.kinds_of("flip") == ("curve", "callback")
    assert catalog.kinds_of("nothing") == ()
    assert [c.doc for c in catalog.named("flip")] == ["A.", "C."]
    assert [c.doc for c in catalog.named("flip", ("callback", "loss"))] == ["C."]
    assert catalog.names("curve") == ["flip"]
    assert catalog.all_names() == ["cut", "flip"]
    assert catalog.lookup("splitter", "cut") is found["cut"]
    assert catalog.lookup("curve", "cut") is None


# ── the cache ───────────────────────────────────────────────────────────────────────────────────────────

PIECES = [
    "import mfc\n@mfc.curve\ndef one(a: int = 1): 'One.'\n",
    "import mfc\n@mfc.curve\ndef one(a: int = 2): 'One.'\n",
    "import mfc\n@mfc.curve\ndef two(a: list[float] | None = None): 'Two é.'\nstats = ((0.5, 1), 2)\n",
    "import mfc\n@mfc.curve\ndef bad(a): 'Bad.'\n",
    "x = (\n",
    "",
]


@FIXED
@given(
    st.lists(
        st.tuples(st.sampled_from(["a.py", "b.py", "sub/c.py"]), st.sampled_from([None, *PIECES])), max_size=6
    )
)
def test_cached_is_what_a_fresh_read_gives(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Any]
) -> None:
    package = tmp_path_factory.mktemp("package")
    (package / "sub").mkdir()
    kept, fresh = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("fresh")
    for i, (name, text) in enumerate(edits):
        if text is None:
            (package / name).unlink(missing_ok=True)
        else:
            (package / name).write_text(text)
            if i % 2:  # as if written long ago: the cache trusts its time
                os.utime(package / name, ns=(10**18 + i, 10**18 + i))
        read = []
        for folder in (kept, fresh / str(i)):
            os.environ["MFC_CACHE"] = str(folder)
            catalog, problems = read_catalog(str(package), "pack")
            read.append((catalog.components, catalog.constants, problems))
        assert read[0] == read[1]


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    file = tmp_path / "p" / "a.py"
    file.write_text(PIECES[0])
    os.utime(file, ns=(10**18, 10**18))
    first = read_catalog(str(tmp_path / "p"), "p")[0]
    monkeypatch.setattr("mfc.dsl.read.read_file", lambda *_: pytest.fail("read again"))
    assert read_catalog(str(tmp_path / "p"), "p")[0].components == first.components
    file.touch()  # the content is the same
    assert read_catalog(str(tmp_path / "p"), "p")[0].components == first.components


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "other", "entries": {}}', "\xff"])
def test_a_damaged_cache_is_made_anew(cache: Path, content: str) -> None:
    expected = read_catalog(RUNTIME, "mfc.runtime")[0].components
    (file,) = cache.glob("catalog-*.json")
    good = json.loads(file.read_text())
    file.write_bytes(content.encode("latin-1"))
    assert read_catalog(RUNTIME, "mfc.runtime")[0].components == expected
    assert json.loads(file.read_text())["entries"].keys() == good["entries"].keys()


def test_it_works_without_a_folder_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFC_CACHE", "/dev/null/nowhere")
    assert read_catalog(RUNTIME, "mfc.runtime")[0].lookup("loss", "cross_entropy") is not None


def test_the_cache_is_plain_ascii(cache: Path) -> None:
    read_catalog(RUNTIME, "mfc.runtime")
    assert [f.name.partition("-")[0] for f in cache.iterdir()] == ["catalog"]
    assert all(f.read_bytes().isascii() for f in cache.iterdir())


def test_a_cached_catalog_is_loaded_without_parsing(cache: Path) -> None:
    code = (
        "import sys; from mfc.dsl.catalog import builtin_catalog; assert len(builtin_catalog()) > 50\n"
        "print([m for m in ('mfc.dsl.read', 'mfc.runtime', 'torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert run[0] == "['mfc.dsl.read']"
    assert run[1] == "[]"


plain_types = st.sampled_from(
    [types.ANY, types.INT, types.FLOAT, types.BOOL, types.STRING, types.PATH, types.NONE]
)
some_types = st.recursive(
    plain_types
    | st.builds(
        types.Number,
        st.booleans(),
        st.builds(Range, *[st.none() | st.integers() | st.floats(0, 1)] * 4),
    )
    | st.lists(st.text(max_size=3) | st.integers() | st.booleans(), min_size=1, max_size=3).map(
        lambda v: types.Choice(tuple(v))
    )
    | st.sampled_from(KINDS).map(types.Kind),
    lambda inner: (
        st.builds(
            types.ListOf,
            inner,
            st.builds(Range, *[st.none() | st.integers(0)] * 2),
            st.none() | st.floats(0, 1),
        )
        | st.lists(inner, min_size=2, max_size=3).map(types.union)
    ),
    max_leaves=5,
)


@given(some_types, st.none() | some_types)
def test_a_reading_survives_json(of: types.Type, others: types.Type | None) -> None:
    parameters = (Parameter("a", of), Parameter("b", of, [1, "é"], True, True, "a", "c"))
    info = Component(
        "loss", "a", "m:a", "Doc é.", parameters, "/f", 1, 0, {"on": ["x"]}, others, of, {"m": True}
    )
    reading = Reading((info,), {"stats": [0.5]}, ())
    assert reading_from_json(json.loads(json.dumps(reading_to_json(reading)))) == reading
