"""Fine-tuning through the whole compiler: bodies handed over, frozen groups, heads, bodies of the user's own."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import mfc
from mfc.runtime.errors import RunError
from mfc.runtime.optim.rates import rate_for, spread

SPECS = Path(mfc.__file__).parent / "specs"

DATA = """
data digits: image -> category {
    source           = builtin("digits")
    split            = subset(random(valid = 0.5), train = 96, valid = 64)
    label            = parent()
    batch_transforms = [CROP normalize(digits_stats)]
    batch_size       = 32
}
"""


def run(file: Path, targets: tuple[str, ...] = (), **settings: Any) -> tuple[mfc.Run, str]:
    """A run and what it said."""
    said = io.StringIO()
    job = mfc.compile(mfc.load(file, **settings))
    return job.run(targets, device="cpu", progress=False, stream=said), said.getvalue()


def messages(spec: Path) -> list[tuple[str, str]]:
    return [(d.code, d.label) for d in mfc.load(spec).diagnostics]


# ── our own body ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def transferred(tmp_path_factory) -> tuple[mfc.Run, str]:
    folder = tmp_path_factory.mktemp("transfer")
    shutil.copytree(SPECS / "std", folder / "std")
    shutil.copy(SPECS / "transfer_digits.mfs", folder)
    return run(folder / "transfer_digits.mfs", ("finetune",), pretrain_epochs=3, epochs=2)


def test_a_body_trains_on_with_another_head(transferred):
    result, said = transferred
    assert "finetune.head: body: 24 tensors from the trained model; fresh: head\n" in said
    assert "finetune.all: body" not in said  # goes on from the phase before
    assert result["finetune"].learner.model(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    assert result["pretrain"].result["accuracy"] > 0.8


def test_only_norms_change_in_a_frozen_body(transferred):
    """fastai's `freeze` with `train_bn=True`: of a frozen body, the batch norms' weights and statistics change, and
    nothing else does."""
    result, _ = transferred
    before, after = (load_file(result[name].weights) for name in ("pretrain", "finetune.head"))
    body = [name for name in before if name.startswith("body.")]
    norms = [name for name in body if "batchnorm" in name]
    assert len(norms) == 20
    for name in body:
        assert torch.equal(before[name], after[name]) != (name in norms), name
    unfrozen = load_file(result["finetune.all"].weights)
    assert not any(torch.equal(after[name], unfrozen[name]) for name in body)


def test_rates_between_groups_are_fastais():
    # fastai 2.8: opt.set_hyper("lr", slice(1e-5, 1e-3)) for three groups, and slice(2e-3) for two
    assert [rate_for(spread(1e-5, 1e-3), g, 3) for g in range(3)] == pytest.approx([1e-5, 1e-4, 1e-3])
    assert [rate_for(spread(2e-4, 2e-3), g, 2) for g in range(2)] == pytest.approx([2e-4, 2e-3])


def test_a_body_goes_to_images_of_another_size(tmp_path):
    (tmp_path / "net.mfs").write_text(
        (DATA + DATA.replace("digits:", "small:"))
        .replace("[CROP", "[", 1)
        .replace("CROP", "random_crop(6, padding = 1),")
        + """
model net(classes) {
    group body {
        conv2d(8, stride = 2)
        batchnorm()
    }
    group head {
        adaptive_concat_pool()
        flatten()
        linear(classes)
    }
}
train first {
    data   = digits
    model  = net(digits.classes)
    loss   = cross_entropy()
    epochs = 1
}
train second {
    data    = small
    model   = net(small.classes)
    loss    = cross_entropy()
    weights = [kaiming(), first.body]
    phase head { freeze_to = -1  epochs = 1 }
}
"""
    )
    result, _ = run(tmp_path / "net.mfs")
    first, second = (load_file(result[name].weights) for name in ("first", "second.head"))
    assert torch.equal(first["body.conv2d.weight"], second["body.conv2d.weight"])
    assert second["head.linear.weight"].shape == (10, 16)


# ── heads ───────────────────────────────────────────────────────────────────────────────────────────────────

# fastai 2.8: the layers of create_head(16, 10, ...)
HEADS = {
    "": "bn 32 0.1, drop 0.25, lin 32 512 False, relu, bn 512 0.1, drop 0.5, lin 512 10 False",
    "lin_ftrs = []": "bn 32 0.1, drop 0.5, lin 32 10 False",
    "lin_ftrs = [64, 32], ps = 0.4": "bn 32 0.1, drop 0.2, lin 32 64 False, relu, bn 64 0.1, drop 0.2, "
    "lin 64 32 False, relu, bn 32 0.1, drop 0.4, lin 32 10 False",
    "lin_first = true": "drop 0.25, lin 32 512 False, relu, bn 512 0.1, drop 0.5, lin 512 10 True",
    "lin_ftrs = [64, 32], lin_first = true, first_bn = false": "drop 0.25, lin 32 64 True, relu, drop 0.25, "
    "lin 64 32 False, relu, bn 32 0.1, drop 0.5, lin 32 10 True",
    "first_bn = false, bn_final = true, concat_pool = false": "drop 0.25, lin 16 512 True, relu, bn 512 0.1, drop 0.5, "
    "lin 512 10 False, bn 10 0.01",
}


def described(module: nn.Module) -> str | None:
    match module:
        case nn.Linear():
            return f"lin {module.in_features} {module.out_features} {module.bias is not None}"
        case nn.BatchNorm2d():
            return f"bn {module.num_features} {module.momentum}"
        case nn.Dropout():
            return f"drop {module.p}"
        case nn.ReLU():
            return "relu"
    return None


@pytest.mark.parametrize("options", HEADS)
def test_heads_are_fastais(tmp_path, options):
    shutil.copy(SPECS / "std" / "head.mfs", tmp_path)
    call = f"learner(conv2d(16), 10{', ' if options else ''}{options})"
    text = f'import "head.mfs" (learner)\nmodel net {{\n    input = image(3, 8, 8)\n    {call}\n}}\n'
    (tmp_path / "net.mfs").write_text(text)
    net: Any = mfc.compile(mfc.load(tmp_path / "net.mfs")).build("net")
    assert ", ".join(filter(None, map(described, net.modules()))) == HEADS[options]
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_xresnet_bodies_split_as_fastais(tmp_path):
    from mfc.runtime.models import named_groups

    for name in ("head.mfs", "xresnet.mfs"):
        shutil.copy(SPECS / "std" / name, tmp_path)
    (tmp_path / "net.mfs").write_text(
        'import "head.mfs" (learner)\nimport "xresnet.mfs" (xresnet_body)\n'
        "model net {\n    input = image(3, 64, 64)\n    learner(xresnet_body(), 10)\n}\n"
    )
    net: Any = mfc.compile(mfc.load(tmp_path / "net.mfs")).build("net")
    # fastai 2.8: [len(g) for g in learner.opt.param_lists] of vision_learner(dls, xresnet18, pretrained=False)
    assert [len(group) for group in named_groups(net).values()] == [9, 57, 6]


# ── bodies of the user's own ────────────────────────────────────────────────────────────────────────────────

OWN = '''
from pathlib import Path

from torch import nn

import mfc
from mfc.runtime.bodies.body import read_weights


@mfc.layer(shape="b c h w -> b features (h + 1) // 2 (w + 1) // 2", table="sizes.json", splits="splits")
class own_body(nn.Module):
    """A body in two parts."""

    def __init__(
        self, c: mfc.In, name: str, features: int | None = None, splits: list[str] | None = None,
        pretrained: bool | Path = False,
    ) -> None:
        super().__init__()
        self.splits, self.pretrained = splits, pretrained
        self.first = nn.Conv2d(c, 4, 3, 2, 1)
        self.second = nn.Conv2d(4, features, 1)

    def forward(self, x):
        return self.second(self.first(x))

    def parameter_parts(self):
        return {name: list(part.parameters()) for name, part in self.named_children()} if self.splits else {}

    def load_pretrained(self):
        if not self.pretrained:
            return ""
        self.load_state_dict(read_weights(Path(self.pretrained)))
        return "weights of its own"
'''

SPEC = (
    """use "own.py" (own_body)
"""
    + DATA.replace("CROP ", "")
    + """
model net {
    group body { own_body("small", pretrained = "own.safetensors") }
    group head {
        adaptive_avg_pool()
        flatten()
        linear(digits.classes)
    }
}
train fit {
    data    = digits
    model   = net
    loss    = cross_entropy()
    weights = [only("head", kaiming())]
    metrics = [accuracy()]
    phase head { freeze_to = -1  epochs = 1 }
    phase two  { freeze_to = 1  epochs = 1  schedule = one_cycle(lr = spread(1e-3, 1e-2)) }
}
"""
)


@pytest.fixture
def own(tmp_path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "sizes.json").write_text('{"small": {"features": 6, "splits": ["second"]}}')
    weights = {"first.weight": torch.randn(4, 1, 3, 3), "second.weight": torch.randn(6, 4, 1, 1)}
    weights |= {"first.bias": torch.zeros(4), "second.bias": torch.zeros(6)}
    save_file(weights, tmp_path / "own.safetensors")
    (tmp_path / "own.mfs").write_text(SPEC)
    return tmp_path / "own.mfs"


def test_a_body_of_the_users_own(own):
    assert messages(own) == []
    result, said = run(own)
    assert "fit.head: body.own_body: weights of its own; fresh: head\n" in said
    assert (
        said.count("weights of its own") == 1
    )  # neither the second phase nor what is built again loads them
    theirs, head, two = (
        load_file(path)
        for path in (own.with_suffix(".safetensors"), result["fit.head"].weights, result["fit.two"].weights)
    )
    assert torch.equal(theirs["first.weight"], two["body.own_body.first.weight"])
    assert torch.equal(theirs["second.weight"], head["body.own_body.second.weight"])
    assert not torch.equal(theirs["second.weight"], two["body.own_body.second.weight"])
    again, said = run(own)
    assert again.ran == [] and again["fit"].learner is not None and "weights of its own" not in said


def test_the_content_of_a_weights_file_is_in_the_key(own):
    run(own)
    weights = load_file(own.with_suffix(".safetensors"))
    save_file({name: tensor + 1 for name, tensor in weights.items()}, own.with_suffix(".safetensors"))
    status = {s.stage.name: s for s in mfc.compile(mfc.load(own)).status()}
    assert status["fit.head"].reasons == ["input file own.safetensors changed"]


def test_mistakes_in_a_body_of_the_users_own(own):
    text = SPEC.replace("freeze_to = 1 ", "freeze_to = 3 ").replace(
        'own_body("small"', 'own_body("small", features = 9'
    )
    own.write_text(text)
    assert messages(own) == [("E0510", "must be in -3..2")]
    own.write_text(SPEC.replace('"small"', '"smal"'))
    assert messages(own) == [("E0534", "not in its table")]
    (own.parent / "sizes.json").write_text('{"small": {"features": "six"}}')
    own.write_text(SPEC)
    assert [code for code, _ in messages(own)] == ["E0535"]
    (own.parent / "sizes.json").write_text("{")
    assert [code for code, _ in messages(own)] == ["E0535"]
    (own.parent / "own.py").write_text(OWN.replace("sizes.json", "../sizes.json"))
    assert [code for code, _ in messages(own)] == ["E0535"]


def test_the_body_in_the_chapter_works(tmp_path):
    chapter = (Path(__file__).resolve().parents[2] / "docs" / "training" / "fine_tuning.md").read_text()
    example = chapter.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "bodies.py").write_text(example)
    shutil.copy(SPECS / "std" / "head.mfs", tmp_path)
    (tmp_path / "net.mfs").write_text(
        'use "bodies.py" (tiny_body)\nimport "head.mfs" (learner)\n'
        "model net {\n    input = image(1, 33, 20)\n    learner(tiny_body(features = 32), 10)\n}\n"
    )
    job = mfc.compile(mfc.load(tmp_path / "net.mfs"))
    assert job.layers("net")[0].out == (1, 32, 5, 3)


# ── weights from a file of another spec ─────────────────────────────────────────────────────────────────────


def test_a_group_from_the_artifact_of_another_spec(tmp_path):
    model = """
model net(nf) {
    group body { conv2d(nf) }
    group head {
        adaptive_avg_pool()
        flatten()
        linear(digits.classes)
    }
}
train fit {
    data    = digits
    model   = net(NF)
    loss    = cross_entropy()
    weights = [WEIGHTS]
    phase all { freeze_to = -1  epochs = 1 }
}
"""
    text = DATA.replace("CROP ", "") + model
    (tmp_path / "one.mfs").write_text(text.replace("NF", "4").replace("WEIGHTS", "kaiming()"))
    trained = run(tmp_path / "one.mfs")[0]["fit"].weights
    shutil.copy(trained, tmp_path / "one.safetensors")
    taken = 'only("body", file("one.safetensors", prefix = "body"))'
    (tmp_path / "two.mfs").write_text(text.replace("NF", "4").replace("WEIGHTS", taken))
    result, _ = run(tmp_path / "two.mfs")
    there, here = load_file(trained), load_file(result["fit"].weights)
    assert torch.equal(there["body.conv2d.weight"], here["body.conv2d.weight"])
    assert not torch.equal(there["head.linear.weight"], here["head.linear.weight"])
    for changed, code, said in (
        (
            text.replace("NF", "5").replace("WEIGHTS", taken),
            "R0255",
            "`conv2d.bias` is [4] there and [5] here",
        ),
        (
            text.replace("NF", "4").replace("WEIGHTS", taken.replace('prefix = "body"', 'prefix = "boddy"')),
            "R0269",
            "",
        ),
        (text.replace("NF", "4").replace("WEIGHTS", 'file("one.safetensors", prefix = "body")'), "R0255", ""),
    ):
        (tmp_path / "three.mfs").write_text(changed)
        with pytest.raises(RunError) as caught:
            run(tmp_path / "three.mfs")
        assert caught.value.code == code
        assert not said or said in caught.value.notes
