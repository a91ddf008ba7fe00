"""What evaluations find out beside numbers: confusion matrices, greatest losses, tables of predictions, and test-time
augmentation; in specs and from Python."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import confusion_matrix

import mfc
from mfc.cli import main
from mfc.runtime.streams import Stream

SPEC = """
param size: int = 16
param count: int = 0

data digits: image -> category {
    source           = builtin("digits")
    split            = subset(stratified(valid = 0.2), train = 120, valid = 60)
    label            = parent()
    batch_transforms = [rotate(20, p = 1.0), brightness(0.3), normalize(digits_stats)]
    batch_size       = size
    workers          = count
}

data drawn: image -> category {
    source          = builtin("digits")
    split           = subset(stratified(valid = 0.2), train = 120, valid = 60)
    label           = parent()
    item_transforms = [random_resized_crop(8, min_scale = 0.6)]
    batch_size      = size
    workers         = count
}

data bare: image -> category {
    source = builtin("digits")
    split  = subset(random(valid = 0.2), train = 20, valid = 30)
}

model net { flatten()  linear(digits.classes) }
train fit(seed: int = 1) {
    data      = digits
    model     = net
    loss      = cross_entropy()
    optimizer = adam(lr = 1e-2)
    epochs    = 4
    seed      = seed
}
train crops { data = drawn  model = net  loss = cross_entropy()  optimizer = adam(lr = 1e-2)  epochs = 4 }

evaluate one {
    model       = fit()
    metrics     = [accuracy(), confusion_matrix()]
    top_losses  = 5
    predictions = csv("out.csv")
}
evaluate many {
    model       = [fit(1), fit(2), tta(fit(1))]
    metrics     = [confusion_matrix()]
    top_losses  = 2
    predictions = csv("all.csv", id = "name")
}
evaluate plain {
    model       = ensemble([fit(1), fit(2)])
    metrics     = [accuracy(), confusion_matrix()]
    top_losses  = 3
    predictions = csv("out.csv")
}
evaluate turned {
    model       = ensemble([tta(fit(1), n = 2, beta = 0.5), fit(2)])
    metrics     = [accuracy()]
    predictions = csv("out.csv")
}
evaluate beside  { model = [fit(1), tta(fit(2), n = 1)]  metrics = [accuracy()] }
evaluate tries   { model = tta(fit(1), n = 3)  metrics = [accuracy()]  predictions = csv("out.csv") }
evaluate losses { model = fit()  top_losses = 5 }
evaluate unknown { model = fit()  data = bare.all  predictions = csv("out.csv", label = "digit") }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("after")
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.run(folder / "spec.mfs")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def plainly(run: mfc.Run, name: str = "fit(1)") -> Any:
    learner = run[name].learner
    preds = learner.get_preds()
    assert preds.targets is not None
    return learner, preds, preds.targets


def test_the_confusion_matrix_of_an_evaluation(run: mfc.Run) -> None:
    _, preds, targets = plainly(run)
    expected = confusion_matrix(targets, preds.decoded, labels=range(10))
    found = run.evaluations["one"]
    assert np.array_equal(found.confusion_matrix().counts, expected)
    assert list(found.confusion_matrix().classes) == [str(i) for i in range(10)]
    assert found.result == {"accuracy": pytest.approx(np.trace(expected) / 60)}
    assert repr(found) == f"<Evaluation one: {found.result}>"
    written = json.loads((found.folder / "evaluation.json").read_text())
    assert written["tables"]["fit(seed=1)"]["confusion_matrix"]["counts"] == expected.tolist()
    assert np.array_equal(run["fit(1)"].confusion_matrix().counts, expected)
    train = run["fit(1)"].confusion_matrix("train")
    assert np.sum(train.counts) == 120


def test_the_greatest_losses_of_an_evaluation(run: mfc.Run) -> None:
    learner, preds, targets = plainly(run)
    outputs = torch.cat([learner.model(x) for x, _, _ in learner.dls.valid])
    losses = F.cross_entropy(outputs, targets, reduction="none").detach()
    order = losses.argsort(descending=True, stable=True)
    evaluated = [run.evaluations[name].top_losses() for name in ("one", "losses")]
    for found in (*evaluated, run["fit(1)"].top_losses(5)):
        for i, row in zip(order[:5].tolist(), found, strict=True):
            assert row.path == learner.dls.items.paths[int(preds.items[i])]
            assert row.label == row.path.split("/")[0] == str(int(targets[i]))
            assert row.prediction == preds.labels[i]
            assert row.probability == pytest.approx(float(preds.probabilities[i].max()), rel=1e-5)
            assert row.loss == pytest.approx(float(losses[i]), rel=1e-5)


def test_the_table_of_predictions(run: mfc.Run) -> None:
    learner, preds, targets = plainly(run)
    found = run.evaluations["one"]
    assert found.predictions is not None and found.predictions.parent == found.folder
    rows = rows_of(found.predictions)
    paths = [learner.dls.items.paths[i] for i in preds.items.tolist()]
    assert [row["path"] for row in rows] == paths == sorted(paths)
    assert [row["label"] for row in rows] == preds.labels
    assert [row["true"] for row in rows] == [str(i) for i in targets.tolist()]
    probabilities = np.array([[row[f"p({i})"] for i in range(10)] for row in rows], np.float32)
    assert np.array_equal(probabilities, preds.probabilities)
    losses = np.array([row["loss"] for row in rows], np.float32)
    right = preds.probabilities[torch.arange(60), targets]
    assert losses == pytest.approx(-right.log().numpy(), rel=1e-4)


def test_items_without_labels(run: mfc.Run) -> None:
    found = run.evaluations["unknown"]
    assert found.result == {} and found.predictions is not None
    rows = rows_of(found.predictions)
    assert len(rows) == 50 and list(rows[0]) == ["path", "digit", *(f"p({i})" for i in range(10))]
    with pytest.raises(KeyError, match="no confusion matrix"):
        found.confusion_matrix()


def test_several_models(run: mfc.Run) -> None:
    found = run.evaluations["many"]
    names = ["fit(seed=1)", "fit(seed=2)", "tta(fit(seed=1), n = 4, beta = 0.25)"]
    assert list(found.each) == names and found.result == {}
    with pytest.raises(KeyError, match="of several models, name one of"):
        found.confusion_matrix()
    with pytest.raises(KeyError, match=r"there are no top losses of `nix`: there are fit\(seed=1\)"):
        found.top_losses("nix")
    with pytest.raises(KeyError, match="there is no `nix`: there are one, many"):
        run.evaluations["nix"]
    with pytest.raises(mfc.RunError, match=r"R0218.*`test` is no part .*: these are train, valid, all"):
        run["fit(1)"].confusion_matrix("test")
    for seed in (1, 2):
        expected = run[f"fit({seed})"]
        assert found.confusion_matrix(names[seed - 1]) == expected.confusion_matrix()
        assert found.top_losses(names[seed - 1]) == expected.top_losses(2)
    assert found.predictions is not None
    rows = rows_of(found.predictions)
    assert [row["model"] for row in rows] == [name for name in names for _ in range(60)]
    pictures = {path.name for path in found.folder.glob("*.png")}
    assert pictures == {f"{what}-{i}.png" for what in ("confusion_matrix", "top_losses") for i in (1, 2, 3)}


def test_an_ensemble(run: mfc.Run) -> None:
    _, preds, targets = plainly(run)
    mean = (preds.probabilities + run["fit(2)"].learner.get_preds().probabilities) / 2
    found = run.evaluations["plain"]
    assert np.array_equal(
        found.confusion_matrix().counts, confusion_matrix(targets, mean.argmax(1), labels=range(10))
    )
    assert found.predictions is not None
    rows = rows_of(found.predictions)
    assert np.array([row["p(3)"] for row in rows], np.float32) == pytest.approx(mean[:, 3].numpy(), rel=1e-6)
    losses = -mean[torch.arange(60), targets].log()
    assert [row.loss for row in found.top_losses()] == pytest.approx(
        losses.sort(descending=True)[0][:3].tolist(), rel=1e-4
    )


def by_hand(run: mfc.Run, name: str, n: int, beta: float) -> torch.Tensor:
    """fastai's formula in a loop over single items, whose augmented forms the training's own pipelines make."""
    fit = run[name]
    learner = fit.learner
    learner.model.eval()
    dls = learner.dls
    plain, rounds = [], []
    for item in dls.items.valid:
        ids = torch.tensor([item])
        loader = dls.evaluation("valid")
        image = loader.dataset[(0, ids)].images
        plain.append(learner.model(loader.transform(image, ids, 0)))
        forms = []
        for number in range(n):
            drawn = dls.augmented("valid")
            image = drawn.dataset[(-1 - number, ids)].images
            forms.append(learner.model(drawn.transform(image, ids, -1 - number)).softmax(1))
        rounds.append(torch.stack(forms).mean(0))
    return ((1 - beta) * torch.cat(rounds) + beta * torch.cat(plain).softmax(1)).detach()


@pytest.mark.parametrize("name", ["fit(1)", "crops"])
def test_augmentation_is_the_loop_by_hand(run: mfc.Run, name: str) -> None:
    found = run[name].tta(n=3, beta=0.25)
    torch.testing.assert_close(found.probabilities, by_hand(run, name, 3, 0.25))
    assert torch.equal(found.decoded, found.probabilities.argmax(1))
    plain = run[name].learner.get_preds()
    assert not torch.allclose(found.probabilities, plain.probabilities, atol=1e-3)
    torch.testing.assert_close(run[name].tta(n=1, beta=1.0).probabilities, plain.probabilities)


def test_rounds_differ_from_each_other_and_from_the_training(run: mfc.Run) -> None:
    dls: Any = run["fit(1)"].learner.dls
    ids = torch.tensor(dls.items.train[:20])
    epochs = {
        epoch: dls.augmented("train").transform(dls.train.dataset[(0, ids)].images, ids, epoch)
        for epoch in range(-4, 4)
    }
    for one in epochs:
        for other in epochs:
            assert (one == other) == torch.equal(epochs[one], epochs[other])
    keys = {Stream(1, "fit", "rotate").at(epoch) for epoch in range(-100, 100)}
    assert len(keys) == 200


def test_augmentation_does_not_depend_on_batches_and_workers(run: mfc.Run, folder: Path) -> None:
    one = rows_of(predictions(run, "tries"))
    expected = run["fit(1)"].tta(n=3)
    assert np.array([[row[f"p({i})"] for i in range(10)] for row in one], np.float32) == pytest.approx(
        expected.probabilities.numpy(), rel=1e-6
    )
    job = mfc.compile(mfc.load(folder / "spec.mfs"))
    for name in ("fit(1)", "crops"):
        trained = job.run([name.partition("(")[0]])[name]
        dls: Any = trained.learner.dls
        dls.batch_size, dls.workers = 7, 1
        torch.testing.assert_close(
            trained.tta(n=2).probabilities, run[name].tta(n=2).probabilities, rtol=1e-5, atol=1e-6
        )


def predictions(run: mfc.Run, name: str) -> Path:
    found = run.evaluations[name].predictions
    assert found is not None
    return found


def test_an_ensemble_of_an_augmented_model(run: mfc.Run) -> None:
    mean = (
        run["fit(1)"].tta(n=2, beta=0.5).probabilities + run["fit(2)"].learner.get_preds().probabilities
    ) / 2
    rows = rows_of(predictions(run, "turned"))
    assert np.array([row["p(7)"] for row in rows], np.float32) == pytest.approx(mean[:, 7].numpy(), rel=1e-5)
    assert list(run.evaluations["turned"].each) == ["tta(fit(seed=1), n = 2, beta = 0.5)", "fit(seed=2)"]


def test_what_is_printed(run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder / "spec.mfs"), "--target", "one"]) == 0
    shown = capsys.readouterr().out
    found = run.evaluations["one"]
    assert "  confusion_matrix, a row a true class, a column a predicted one:\n" in shown
    assert "       0  1  2  3  4  5  6  7  8  9\n" in shown
    first = found.confusion_matrix().most_confused()[0]
    assert f"    confused most: {first.true} as {first.predicted}: {first.count}, " in shown
    assert "  greatest losses:\n     loss  prediction  probability  label\n" in shown
    assert all(row.path in shown for row in found.top_losses())
    assert main(["run", str(folder / "spec.mfs"), "--target", "beside"]) == 0
    alone = ", ".join(f"{of['accuracy']:.4g}" for of in run.evaluations["beside"].each.values())
    assert f" over 2 models; accuracy of each {alone}\n" in capsys.readouterr().out
    assert "  predictions in out.csv\n" in shown
    assert main(["run", str(folder / "spec.mfs"), "--target", "many", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["evaluated"]["many"]
    assert len(printed["top_losses"]["fit(seed=2)"]) == 2
    assert printed["tables"]["fit(seed=1)"]["confusion_matrix"]["classes"][3] == "3"
    with Image.open(found.folder / "top_losses.png") as picture:
        assert picture.width > 300


def test_what_is_found_out_again(run: mfc.Run, folder: Path) -> None:
    for old, new, expected in (
        ("tta(fit(1), n = 3)", "tta(fit(1), n = 4)", ["tries"]),
        ('label = "digit"', 'label = "tag"', ["unknown"]),
        ("top_losses  = 5", "top_losses  = 6", ["one"]),
    ):
        assert old in SPEC
        (folder / "changed.mfs").write_text(SPEC.replace(old, new))
        job = mfc.Job(mfc.load(folder / "changed.mfs"), folder / ".mfc")
        assert [s.stage.name for s in job.status() if s.state != "up to date"] == expected


def test_nothing_to_do_imports_no_torch(run: mfc.Run, folder: Path) -> None:
    program = (
        f"import sys; from mfc.cli import main; assert main(['run', {str(folder / 'spec.mfs')!r}]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_what_can_not_be_asked(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for i in range(6):
            image = Image.effect_noise((8, 8), 50 + i)
            content = image if name == "images" else image.point(lambda v: int(v > 128))  # type: ignore[operator]
            content.save(tmp_path / name / f"{i}.png")
    (tmp_path / "spec.mfs").write_text("""
data noise: image -> mask {
    source           = image_files("images", channels = 1)
    split            = random(valid = 0.4)
    label            = mask_file("{stem}.png", folder = "masks")
    vocab            = ["dark", "bright"]
    item_transforms  = [resize(8)]
    batch_transforms = [rotate(10)]
}
data width: image -> value {
    source          = image_files("images", channels = 1)
    split           = random(valid = 0.4)
    label           = stem()
    item_transforms = [resize(8)]
}
model pixels { conv2d(noise.classes) }
model number { flatten()  linear(1) }
train segment { data = noise  model = pixels  loss = cross_entropy()  epochs = 1 }
train count   { data = width  model = number  loss = mse()  epochs = 1 }
evaluate worst  { model = segment  data = noise.all  metrics = [confusion_matrix()]  top_losses = 4 }
evaluate values { model = count    data = width.all  metrics = [mae()]  top_losses = 4  predictions = csv("out.csv") }
""")
    run = mfc.run(tmp_path / "spec.mfs")
    worst = run.evaluations["worst"].top_losses()
    assert len(worst) == 4 and worst == run["segment"].top_losses(4, "all")
    assert worst[0].loss >= worst[3].loss and worst[0].label is None
    assert np.sum(run.evaluations["worst"].confusion_matrix().counts) == 6 * 64
    assert {"confusion_matrix.png", "top_losses.png"} <= {
        p.name for p in run.evaluations["worst"].folder.iterdir()
    }
    rows = rows_of(predictions(run, "values"))
    assert [row["true"] for row in rows] == [f"{i}.0" for i in range(6)] and list(rows[0]) == [
        "path",
        "label",
        "true",
        "loss",
    ]
    for row in rows:
        assert float(row["loss"]) == pytest.approx((float(row["label"]) - float(row["true"])) ** 2, rel=1e-4)
    for asked, said in (
        (lambda: run["segment"].tta(), "for images with an answer for the whole of each"),
        (
            lambda: run["count"].confusion_matrix(),
            "was trained for value, and no such model confuses classes",
        ),
        (lambda: run["count"].tta(n=0), "n below 1"),
    ):
        with pytest.raises(mfc.RunError, match=said) as caught:
            asked()
        assert caught.value.code == "R0218"
