"""What runs again after an edit: a table of edits with the stages that they make stale, in `outputs/reruns.out`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import mfc
from tests.conftest import Golden

OUTPUTS = Path(__file__).parent / "outputs"

SPEC = """
param epochs: int = 1

data pets: image -> category {
    source           = image_files("pets")
    split            = random(valid = 0.5, seed = 1)
    label            = parent()
    item_transforms  = [resize(8)]
    batch_transforms = [flip(), rotate(10), normalize(imagenet_stats)]
    batch_size       = 4
}

block stem(nf) {
    conv2d(nf)
    relu()
}

model net(nf) {
    group body { stem(nf) }
    group head {
        adaptive_avg_pool(1)
        flatten()
        linear(pets.classes)
    }
}

train fit {
    data      = pets
    model     = net(nf = 4)
    loss      = cross_entropy()
    optimizer = adam(wd = 0.01)
    schedule  = one_cycle(lr = 1e-3)
    metrics   = [accuracy()]
    epochs    = epochs
}

train tuned {
    data    = pets
    model   = net(nf = 4)
    loss    = cross_entropy()
    weights = fit.body
    phase head { freeze_to = -1  epochs = 1 }
    phase all  { epochs = 1  schedule = one_cycle(lr = 1e-3) }
}
"""

EDITS: dict[str, tuple[str, str]] = {
    "nothing": ("", ""),
    "a comment": ("train fit {", "## Documented\ntrain fit {  # and noted"),
    "the order of fields": (
        "    data      = pets\n    model     = net(nf = 4)",
        "    model     = net(nf = 4)\n    data      = pets",
    ),
    "a metric more": ("metrics   = [accuracy()]", "metrics   = [accuracy(), top_k_accuracy(2)]"),
    "workers": ("batch_size       = 4", "batch_size       = 4\n    workers          = 2"),
    "a default that is written out": (
        "one_cycle(lr = 1e-3)\n    metrics",
        "one_cycle(lr = 1e-3, div = 25)\n    metrics",
    ),
    "a block renamed": ("stem(nf)", "base(nf)"),
    "the learning rate": ("one_cycle(lr = 1e-3)\n    metrics", "one_cycle(lr = 3e-3)\n    metrics"),
    "weight decay": ("adam(wd = 0.01)", "adam(wd = 0.1)"),
    "epochs": ("epochs: int = 1", "epochs: int = 2"),
    "the loss": ("loss      = cross_entropy()", "loss      = cross_entropy(label_smoothing = 0.1)"),
    "a layer's argument": ("conv2d(nf)", "conv2d(nf, ks = 5)"),
    "a batch transform's argument": ("rotate(10)", "rotate(20)"),
    "the batch size": ("batch_size       = 4", "batch_size       = 2"),
    "the size of items": ("resize(8)", "resize(12)"),
    "the split's seed": ("seed = 1", "seed = 2"),
    "the labeler": ("parent()", 'regex("^(...)")'),
    "the last phase": ("epochs = 1  schedule", "epochs = 2  schedule"),
    "the first phase": ("freeze_to = -1  epochs = 1", "freeze_to = -1  epochs = 2"),
    "a phase more": ("    phase all ", "    phase more { epochs = 1 }\n    phase all "),
    "a train renamed": ("train tuned", "train retuned"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where everything was run once."""
    folder = tmp_path_factory.mktemp("reruns")
    for label, place in (("cat", 0), ("dog", 1)):
        (folder / "pets" / label).mkdir(parents=True)
        for number in range(12):
            colour = (40 + 100 * place, 10 * number, 7)
            Image.new("RGB", (10, 12), colour).save(folder / "pets" / label / f"{number}.png")
    (folder / "spec.mfs").write_text(SPEC)
    mfc.compile(mfc.load(folder / "spec.mfs")).run(device="cpu", progress=False)
    return folder


def stale(folder: Path, spec: str) -> str:
    """The stages that would run, and why."""
    (folder / "spec.mfs").write_text(spec)
    statuses = mfc.compile(mfc.load(folder / "spec.mfs")).status()
    lines = [
        f"    {s.stage.name}: {s.state}: {'; '.join(s.reasons)}" for s in statuses if s.state != "up to date"
    ]
    return "\n".join(lines) or "    nothing"


def test_edits_of_a_spec(folder: Path, golden: Golden) -> None:
    rows = []
    for edit, (old, new) in EDITS.items():
        assert old in SPEC, edit
        rows.append(f"{edit}\n{stale(folder, SPEC.replace(old, new) if old else SPEC)}")
    golden(OUTPUTS / "reruns.out", "\n".join(rows) + "\n")


def touch(image: Path) -> None:
    os.utime(image, ns=(1, 1))


def write_again(image: Path) -> None:
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content)


def move(image: Path) -> None:
    """The whole folder to another place, and a link in its stead."""
    pets = image.parent.parent
    pets.rename(pets.with_name("elsewhere"))
    pets.symlink_to(pets.with_name("elsewhere"))


@pytest.mark.parametrize("change", [touch, write_again, move])
def test_equal_data_retrains_nothing(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder / "pets" / "cat" / "3.png")
    assert stale(folder, SPEC) == "    nothing"


def test_other_pixels_run_everything_after_them(folder: Path) -> None:
    image = folder / "pets" / "cat" / "3.png"
    before = image.read_bytes()
    Image.new("RGB", (10, 12), "red").save(image)
    assert [line.split(":")[0].strip() for line in stale(folder, SPEC).splitlines()] == [
        "pets.files", "pets.items", "pets.packed", "fit", "tuned.head", "tuned.all",
    ]  # fmt: skip
    image.write_bytes(before)
    assert stale(folder, SPEC) == "    nothing"


def test_a_result_that_comes_out_the_same_stops_there(folder: Path) -> None:
    """A splitter that is written differently and divides the items in the same way retrains nothing."""
    valid = ["cat/0.png", "cat/5.png", "dog/3.png"]
    (folder / "valid.txt").write_text("\n".join(valid))
    first = SPEC.replace("random(valid = 0.5, seed = 1)", 'file_list("valid.txt")')
    (folder / "spec.mfs").write_text(first)
    mfc.compile(mfc.load(folder / "spec.mfs")).run(["fit"], device="cpu", progress=False)
    second = first.replace('file_list("valid.txt")', r'matching("(cat/[05]|dog/3)\\.png")')
    (folder / "spec.mfs").write_text(second)
    run = mfc.compile(mfc.load(folder / "spec.mfs")).run(["fit"], device="cpu", progress=False)
    assert run.ran == ["pets.items"]
