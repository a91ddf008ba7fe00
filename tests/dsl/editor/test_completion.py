"""What is offered where something is typed, beside the cases with marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mfc.dsl.editor.completion import Completion, complete, documentation
from mfc.dsl.editor.document import Document
from mfc.spec import DiskFiles
from tests.dsl.editor.documents import of_text


class Texts(DiskFiles):
    """Files of some texts, in the folder of the document."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__([Path("/spec")])
        self.texts = {f"/spec/{name}": text for name, text in texts.items()}

    def list_for_import(self, folder: str) -> list[str]:
        return [path.rpartition("/")[2] for path in self.texts] if folder == "/spec" else []

    def list_for_data(self, folder: str) -> list[str]:
        return FOLDERS.get(folder, [])

    def read(self, path: str) -> str:
        return self.texts[path] if path in self.texts else super().read(path)


FOLDERS = {
    "/spec/": ["pets/", "labels.csv", ".hidden", 'a"b'],
    "/spec/pets/": ["train/", "valid/", "a.jpg"],
    "~/": ["data/"],
    "/": ["data/"],
}


def at_mark(text: str, files: Mapping[str, str] = {}, document: Document | None = None) -> list[Completion]:
    before, after = text.split("▮")
    document = document or of_text(before + after)
    return complete(document, len(before), Texts(files), before + after)


def labels(found: list[Completion]) -> list[str]:
    return [item.label for item in found]


FILES = {
    "parts.mfs": "## Two layers\nblock pair(nf, ks = 3) { conv2d(nf, ks)  relu() }\nlet width = 3\n",
    "main.mfs": "block itself() { relu() }\n",
    "layers.py": 'import mfc\n@mfc.layer(shape="... -> ...")\nclass twofold:\n    "Scales."\n',
    "notes.txt": "",
}


def test_names_of_other_files_come_with_their_import() -> None:
    text = "## About\n\n## A model\nmodel net { ▮ }\n"
    (pair,) = [item for item in at_mark(text, FILES) if item.label == "pair"]
    assert (pair.text, pair.snippet) == ("pair(${1:nf})", True)
    (edit,) = pair.edits
    before = text.replace("▮", "")
    assert before[: edit.span.start] + edit.text + before[edit.span.end :] == (
        '## About\n\nimport "parts.mfs" (pair)\n\n## A model\nmodel net {  }\n'
    )
    assert "Two layers" in documentation(of_text(before), pair)
    assert "itself" not in labels(at_mark(text, FILES)), "a file does not import itself"


def test_components_of_python_files_come_with_their_use() -> None:
    files = FILES | {"more.py": 'import mfc\n@mfc.metric\ndef poly(preds: int = 3):\n    "Some."\n'}
    for text, label, expected in (
        ('use "layers.py" (twofold)\nmodel net { ▮ }\n', "twofold", []),
        ("model net { ▮ }\n", "twofold", ['use "layers.py" (twofold)']),
        ("model net { ▮ }\n", "poly", []),
        ("train fit { metrics = [▮] }\n", "poly", ['use "more.py" (poly)']),
        ("train fit { metrics = ▮ }\n", "poly", ['use "more.py" (poly)']),
        ("train fit { loss = ▮ }\n", "poly", []),
    ):
        found = [item for item in at_mark(text, files) if item.label == label]
        assert [edit.text.strip() for item in found for edit in item.edits] == expected, text


def test_an_import_that_is_there_is_added_to() -> None:
    for written, expected in (
        ('import "parts.mfs" (width)', 'import "parts.mfs" (width, pair)'),
        ('import "parts.mfs" (width,)', 'import "parts.mfs" (width, pair,)'),
        ('import "parts.mfs" ()', 'import "parts.mfs" (pair)'),
        ('import "parts.mfs"', 'import "parts.mfs" (pair)'),
        ('import "parts.mfs" (  # small\n    width\n)', 'import "parts.mfs" (pair,  # small\n    width\n)'),
        ('import "parts.mfs" (\n    width  # (1)\n)', 'import "parts.mfs" (pair,\n    width  # (1)\n)'),
        (
            'use "layers.py" (twofold  # 2 *\n)  # ours',
            'use "layers.py" (twofold  # 2 *\n)  # ours\nimport "parts.mfs" (pair)',
        ),
        ('use "layers.py" (twofold)', 'use "layers.py" (twofold)\nimport "parts.mfs" (pair)'),
        ("language 1", 'language 1\n\nimport "parts.mfs" (pair)'),
    ):
        text = f"{written}\nmodel net {{ ▮ }}\n"
        (pair,) = [item for item in at_mark(text, FILES) if item.label == "pair"]
        (edit,) = pair.edits
        before = text.replace("▮", "")
        after = before[: edit.span.start] + edit.text + before[edit.span.end :]
        assert after == f"{expected}\nmodel net {{  }}\n"


def test_files_that_import_this_one_are_not_offered() -> None:
    files = {
        "user.mfs": 'import "between.mfs" (a)\nblock of_user { relu() }\n',
        "between.mfs": 'import "main.mfs" (b)\nimport "user.mfs" (of_user)\nblock a { b() }\n',
        "apart.mfs": 'import "nowhere.mfs" (c)\nblock of_apart { relu() }\n',
    }
    assert labels(at_mark('import "▮"', files)) == ["apart.mfs", "std/"]
    offered = labels(at_mark("model net { ▮ }", files))
    assert "of_apart" in offered and not {"of_user", "a"} & {*offered}


def test_files_and_what_they_declare() -> None:
    assert labels(at_mark('import "▮', FILES)) == ["parts.mfs", "std/"]
    assert [item.text for item in at_mark('import "▮', FILES)] == ['parts.mfs"', "std/"]
    assert [item.text for item in at_mark('use "la▮"', FILES)] == ["layers.py"]
    assert labels(at_mark('import "parts.mfs" (▮)', FILES)) == ["pair", "width"]
    assert labels(at_mark('import "parts.mfs" (▮, width)', FILES)) == ["pair"]
    assert labels(at_mark('use "layers.py" (▮', FILES)) == ["twofold"]
    assert labels(at_mark('import "nowhere.mfs" (▮)', FILES)) == []


def test_a_text_may_be_ahead_of_its_document() -> None:
    old = of_text("let width = 3\n")
    found = at_mark("let width = 3\n\n\nmodel net(deep) {\n    conv2d(▮", document=old)
    assert labels(found)[:3] == ["deep", "width", "nf ="]


def test_what_would_go_in_a_circle_is_not_offered() -> None:
    text = "let a = ▮\nlet b = a\nlet c = 2\nblock again(n) { if n > 0 { again(n - 1) } }\n"
    assert {"a", "b"} & set(labels(at_mark(text))) == set()
    assert "c" in labels(at_mark(text))
    assert "again" in labels(at_mark("block again(n) { if n > 0 { ▮ } }"))
    assert "again" not in labels(at_mark("block again { ▮ }"))


def test_choices_that_are_names_of_something_else_are_written_as_strings() -> None:
    text = "let stop = 3\ndata pets: image -> category { on_error = ▮ }\n"
    assert {item.label: item.text for item in at_mark(text) if item.kind == "choice"} == {
        "skip": "skip",
        "stop": '"stop"',
    }


def test_choices_within_quotes() -> None:
    data = "data d: image -> category { source = builtin(▮) }"
    for written, text in (
        ('"▮"', "digits"),
        ('"di▮"', "digits"),
        ('"▮gits"', "digits"),
        ('"▮', 'digits"'),
        ('r"▮"', "digits"),
    ):
        marked = data.replace("▮", written)
        (item,) = at_mark(marked)
        assert (item.label, item.text) == ("digits", text)
        without = marked.replace("▮", "")
        inserted = without[: item.span.start] + item.text + without[item.span.end :]
        assert '"digits")' in inserted
    assert at_mark(data.replace("▮", '"digits▮ "')) == [], "what follows is no part of a choice"
    assert at_mark('param name: string = "▮"\n') == []


def test_a_logarithmic_scale_is_the_first_that_a_domain_is_offered() -> None:
    assert at_mark("param lr: float = 1e-3 in ▮\n")[0].label == "log"


def test_what_does_not_fit_the_target_comes_last() -> None:
    text = 'data d: image -> category {{ source = builtin("digits") }}\ntrain fit {{\n    data = d\n    {} = ▮\n}}\n'
    for field, fits, not_so in (("loss", "focal", "dice"), ("metrics", "top_k_accuracy", "iou")):
        found = labels(at_mark(text.format(field)))
        assert found.index(fits) < found.index("if") < found.index(not_so)


def test_fields_stand_below_each_other() -> None:
    text = "train fit {\n    data      = pets\n    ▮\n}\n"
    assert next(item.text for item in at_mark(text) if item.label == "loss") == "loss      = $1"
    text = "train fit {\n    data = pets\n    ▮\n}\n"
    assert next(item.text for item in at_mark(text) if item.label == "loss") == "loss = $1"
    assert next(item.text for item in at_mark(text) if item.label == "epochs") == "epochs = $1"


def test_nothing_is_offered_in_comments_strings_and_numbers() -> None:
    for text in (
        "# a▮",
        "## ▮",
        'let a = "b▮"',
        'let a = "b▮',
        "let a = 3▮",
        "let a = 'b▮",
        "let ▮",
        "block f(▮",
    ):
        assert at_mark(text) == [], text


def after(text: str, label: str) -> str:
    """The text after something that is offered at its mark was taken."""
    (found,) = [item for item in at_mark(text) if item.label == label]
    written = text.replace("▮", "")
    return written[: found.span.start] + found.text + written[found.span.end :]


DATA = "data pets: image -> category {{ source = {} }}"


def test_paths_go_on_to_what_lies_in_folders() -> None:
    for written, expected in {
        'image_files("▮")': ["pets/"],
        'image_files(folder = "▮")': ["pets/"],
        'image_files("▮': ["pets/"],
        'image_files("pets/▮")': ["train/", "valid/"],
        'image_files("pets/tr▮/x y.z")': ["train/", "valid/"],
        'image_files("~/▮")': ["data/"],
        'image_files("/▮")': ["data/"],
        'image_files("nowhere/▮")': [],
        'image_table("▮", "pets")': ["labels.csv", "pets/"],
        'image_table("x.csv", folder = "▮")': ["pets/"],
        'image_table("x.csv", "pets", items = "▮")': [],
    }.items():
        assert labels(at_mark(DATA.format(written))) == expected, written
    assert labels(at_mark('param root: path = "▮"')) == ["labels.csv", "pets/"]
    assert labels(at_mark('param root: path = ".h▮"')) == [".hidden", "labels.csv", "pets/"]
    assert labels(at_mark('param root: string = "▮"')) == []


def test_a_path_is_taken_with_its_end() -> None:
    image_files = DATA.format('image_files("pets/t▮r/x")')
    assert after(image_files, "train/") == DATA.format('image_files("pets/train/x")')
    for written, expected in {
        'image_files("p▮x/{split}/y")': 'image_files("pets/{split}/y")',
        'image_files("p▮x,(y)")': 'image_files("pets")',
        'image_files(r"p▮")': 'image_files(r"pets")',
        'image_files("p▮, extensions = [".png"])': 'image_files("pets, extensions = [".png"])',
    }.items():
        assert after(DATA.format(written), "pets/") == DATA.format(expected)
    table = DATA.format('image_table("la▮, "pets")')
    assert after(table, "labels.csv") == DATA.format('image_table("labels.csv", "pets")')
    assert after('param table: path = "la▮', "labels.csv") == 'param table: path = "labels.csv"'
    assert after('param table: path = "▮"', "labels.csv") == 'param table: path = "labels.csv"'
    assert after('param table: path = "▮', "pets/") == 'param table: path = "pets'


MODEL = "model net { group body { group stem { relu() }  relu() }  group head { linear(2) } }\n"


def test_groups_of_the_model_are_offered_where_a_string_names_one() -> None:
    train = "train fit {{ model = net  weights = [only({}, kaiming())] }}\n"
    for written in ('"▮"', '"h▮"', '"body.s▮"', '"▮'):
        assert labels(at_mark(MODEL + train.format(written))) == ["body", "body.stem", "head"], written
    assert after(MODEL + train.format('"body.s▮"'), "body.stem") == MODEL + train.format('"body.stem"')
    assert after(MODEL + train.format("▮"), "head") == MODEL + train.format('"head"')
    long = "b" * 60
    model = MODEL.replace("body", long)
    assert after(model + train.format('"▮"'), f"{long}.stem") == model + train.format(f'"{long}.stem"')
    late = MODEL + 'train fit { weights = [only("▮", kaiming())]  model = net }'
    assert labels(at_mark(late)) == ["body", "body.stem", "head"]


def test_what_a_callback_monitors_is_a_column() -> None:
    for written in ('[save_best("▮")]', '[early_stopping(monitor = "▮")]', "[save_best(▮)]", '[save_best("▮'):
        text = f"train fit {{\n    metrics = [accuracy(), accuracy()]\n    callbacks = {written}\n}}\n"
        found = [item.label for item in at_mark(text) if item.detail == "column of the history"]
        assert found == ["train_loss", "valid_loss", "accuracy", "accuracy_2"], written
    assert not [i for i in at_mark('train fit { callbacks = [csv_logger("▮")] }') if "column" in i.detail]
