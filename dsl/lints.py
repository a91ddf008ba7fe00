"""Warnings about what runs, and measures something else than its author believes: augmented validation items, items that
are trained on and validated on, statistics of other data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mfc.dsl.check_statistics import NORMALIZE
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import ComponentValue, show
from mfc.dsl.want import kinds

SPLITS = "mfc.runtime.data.splits:"
NESTED = ("random", "stratified")
"""Splits whose smaller validation parts lie within the larger ones of the same seed."""

NAMING = ("grandparent", "by_column")
"""Splits that name folders, or values of a column."""

Statistics = list[Any]


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────


def lint_data(diagnostics: Diagnostics, fields: Fields, owner: Span) -> None:
    """Looks at a data block by itself: its split and its item transforms."""
    split = fields["split"]
    if isinstance(split, ComponentValue):
        _same_part(diagnostics, split, fields.span("split", owner))
    transforms = fields["item_transforms"]
    for position, transform in enumerate(transforms if isinstance(transforms, list) else []):
        span = fields.item_span("item_transforms", position, owner)
        if not isinstance(transform, ComponentValue) or transform.info.name != "valid_only":
            continue
        inner = transform.args.get("transform")
        if (
            isinstance(inner, ComponentValue)
            and inner.info.facts["random"]
            and inner.info.name != "valid_only"
        ):
            diagnostics.add(
                "W0706",
                span,
                f"validation items are not augmented: in `valid_only`, `{inner.info.name}` draws nothing",
                "acts in its evaluation form",
                help="write what validation items should go through, such as `valid_only(resize(224))`, or leave it out",
            )


def _same_part(diagnostics: Diagnostics, split: ComponentValue, span: Span) -> None:
    """Reports a split that names the same folder, or value of a column, for both parts: a run would refuse it."""
    split, _ = _drawn_from(split)
    if not isinstance(split, ComponentValue) or not split.info.target.startswith(SPLITS):
        return
    if split.info.name not in NAMING:
        return
    train, valid = (_named(split.args.get(part)) for part in ("train", "valid"))
    if both := sorted(train & valid):
        what = "folder" if split.info.name == "grandparent" else "value"
        diagnostics.add(
            "E0302",
            split.written.get("valid", span),
            f"the {what} `{both[0]}` is named for both parts: no item can train and validate",
            "also for training" if "valid" in split.written else "for both parts",
            labels=((split.written["train"], "for training"),) if "train" in split.written else (),
            help=f"name another {what} for validation, or draw a part with `random(valid = 0.2)`",
        )


def _named(value: Any) -> set[str]:
    """The folders or values that an argument of a split names."""
    return {name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)}


# ── training ────────────────────────────────────────────────────────────────────────────────────────────


def lint_train(
    evaluator: Evaluator,
    fields: Fields,
    seen: list[tuple[DataInfo, Span]],
    before: list[tuple[str, list[DataInfo], Span]],
    model: Elaborated | None,
    owner: Span,
) -> None:
    """Looks at all data that a model meets: `seen` is what the parts of its training are given, in order, and where that
    is written; `before` are the trainings whose weights it starts from, with their data and where they are named."""
    met: list[tuple[DataInfo, Span | None, str]]
    met = [(data, span, f"`{name}` was trained on") for name, datas, span in before for data in datas]
    for later, at in seen:
        # weights of another training are what is to be looked at, within one it is the later phase's data
        places = [(earlier, later, at if span is None else span, who) for earlier, span, who in met]
        for found in (_leak, _normalised_otherwise):
            any(found(evaluator.diagnostics, *place) for place in places)  # the first says it
        met.append((later, None, "this training had before"))
    if not _pretrained(fields, model):
        for data, _ in seen:
            _foreign_statistics(evaluator, data, owner)


def lint_evaluation(
    diagnostics: Diagnostics, name: str, trained_on: list[DataInfo], data: DataInfo, part: str, span: Span
) -> None:
    """Looks at whether a model is measured on items of a data block, those that validate or are left out, that it was
    trained on in another one."""
    for earlier in trained_on if part in ("valid", "test") else ():
        _leak(diagnostics, earlier, data, span, f"`{name}` was trained on", part)


def _leak(
    diagnostics: Diagnostics, earlier: DataInfo, later: DataInfo, span: Span, who: str, part: str = "valid"
) -> bool:
    """Warns where a part of `later` has items of the training part of `earlier`. A language model is pretrained on all
    texts with good reason: it sees no labels."""
    if (
        earlier.instance == later.instance
        or earlier.target == "next_token"
        or not _same_source(earlier, later)
    ):
        return False
    apart = _keeps_valid_apart if part == "valid" else _keeps_rest_apart
    splits = earlier.fields["split"], later.fields["split"]
    if not all(isinstance(split, ComponentValue) for split in splits) or apart(*splits):
        return False
    name = later.instance.name
    diagnostics.add(
        "W0710",
        span,
        f"`{name}` validates on items that {who}"
        if part == "valid"
        else f"`{name}.{part}` has items that {who}",
        f"split otherwise than `{earlier.instance.name}`",
        labels=tuple(
            (data.fields.written["split"].span, f"the split of `{data.instance.name}`")
            for data in (earlier, later)
            if "split" in data.fields.written
        ),
        help="give both the same split, with the same seed",
    )
    return True


def _same_source(one: DataInfo, other: DataInfo) -> bool:
    """Whether two data blocks read the same files, as far as is written."""
    sources = [data.fields["source"] for data in (one, other)]
    if not all(isinstance(source, ComponentValue) for source in sources):
        return False
    return show(_place(sources[0])) == show(_place(sources[1]))


def _place(source: ComponentValue) -> list[Any]:
    """What tells which items a source has, and not how they are read."""
    args = {k: v for k, v in source.args.items() if k not in ("channels", "text", "delimiter")}
    return [source.info.target, *(v for _, v in sorted(args.items()))]


def _drawn_from(split: Any) -> tuple[Any, list[Any]]:
    """The split that a subset is drawn from, whose parts its own lie within; and the patterns of items that it is kept to."""
    patterns = []
    while isinstance(split, ComponentValue) and split.info.target in (f"{SPLITS}subset", f"{SPLITS}among"):
        patterns += [split.args["pattern"]] if "pattern" in split.args else []
        split = split.args.get("of")
    return split, patterns


def _keeps_valid_apart(earlier: Any, later: Any) -> bool:
    """Whether no item that the earlier split trains on is one that the later one validates on, as far as is known."""
    (earlier, only), (later, other) = _drawn_from(earlier), _drawn_from(later)
    if not isinstance(earlier, ComponentValue) or not isinstance(later, ComponentValue):
        return True
    if only and other and only != other:  # each takes its own items: the pattern decides
        return True
    if show(earlier) == show(later) or "?" in show(earlier) + show(later):
        return True
    if _by_name(earlier, later):
        return not _named(earlier.args.get("train")) & _named(later.args.get("valid"))
    names = earlier.info.name, later.info.name
    if names[0] != names[1] or names[0] not in NESTED or earlier.args.get("seed") != later.args.get("seed"):
        return False
    before, now = earlier.args.get("valid"), later.args.get("valid")
    return isinstance(before, float) and isinstance(now, float) and before >= now


def _keeps_rest_apart(earlier: Any, later: Any) -> bool:
    """Whether no item that the earlier split trains on is one that the later one leaves out, as far as is known: the
    earlier one draws from its parts, or names no other folder or value."""
    base, _ = _drawn_from(earlier)
    if "?" in show(earlier) + show(later):
        return True
    if isinstance(base, ComponentValue) and _by_name(base, later):
        parts = (_named(later.args.get(part)) for part in ("train", "valid"))
        return _named(base.args.get("train")) <= set().union(*parts)
    inner = earlier
    while isinstance(inner, ComponentValue) and show(inner) != show(later):
        inner = inner.args.get("of")
    return inner is not None


def _by_name(one: ComponentValue, other: ComponentValue) -> bool:
    """Whether both splits name the folders, or the values of one column, that they train on."""
    columns = one.args.get("name"), other.args.get("name")
    named = all(_named(split.args.get("train")) for split in (one, other))
    return (
        one.info.target == other.info.target
        and one.info.name in NAMING
        and columns[0] == columns[1]
        and named
    )


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────


def normalisation(data: DataInfo) -> tuple[Statistics, Span] | None:
    """The statistics that images are normalised with, and where they stand; None for none, or where not known."""
    transforms = data.fields["batch_transforms"]
    found = None
    for position, transform in enumerate(transforms if isinstance(transforms, list) else []):
        if isinstance(transform, ComponentValue) and transform.info.target == NORMALIZE:
            if not isinstance(transform.args.get("stats"), list):
                return None
            span = data.fields.item_span("batch_transforms", position, transform.span)
            found = transform.args["stats"], span
    return found


def _normalised_otherwise(
    diagnostics: Diagnostics, earlier: DataInfo, later: DataInfo, span: Span, who: str
) -> bool:
    """Warns where a model goes on with images of other statistics than it was trained with."""
    if not earlier.input == later.input == "image" or not (_known(earlier) and _known(later)):
        return False
    theirs, ours = normalisation(earlier), normalisation(later)
    if (ours and ours[0]) == (theirs and theirs[0]):
        return False
    diagnostics.add(
        "W0709",
        span,
        f"the images of `{later.instance.name}` are normalised otherwise than those that {who}",
        f"met those of `{earlier.instance.name}`",
        labels=tuple((found[1], "normalised so") for found in (theirs, ours) if found is not None),
        help="normalise with the statistics that the weights were trained with",
    )
    return True


def _known(data: DataInfo) -> bool:
    transforms = data.fields["batch_transforms"]
    return isinstance(transforms, list) and all(isinstance(t, ComponentValue) for t in transforms)


def _pretrained(fields: Fields, model: Elaborated | None) -> bool:
    """Whether a model may start from weights that were trained elsewhere, whose statistics are then the right ones."""
    if model is None or not _fresh(fields["weights"]):
        return True
    return any(record.layer.call.args.get("pretrained") for record in model.layers)


def _fresh(weights: Any) -> bool:
    """Whether first weights are drawn, and not those of another training or of a file."""
    if isinstance(weights, list):
        return all(map(_fresh, weights))
    if not isinstance(weights, ComponentValue):
        return weights is None
    inner = [weights.args[p.name] for p in weights.info.parameters if "initializer" in kinds(p.type)]
    return not weights.info.paths and _fresh(inner)


def _foreign_statistics(evaluator: Evaluator, data: DataInfo, owner: Span) -> None:
    """Warns where the statistics are known to be those of one data set, and the images are of another one."""
    if (found := normalisation(data)) is None:
        return
    stats, span = found
    sets = {name.removesuffix("_stats"): value for name, value in evaluator.catalog.constants.items()
            if name.endswith("_stats")}  # fmt: skip
    whose = next((name for name, value in sets.items() if value == stats), None)
    own = [name for name in sets if any(name in word for word in _words(data))]
    if whose is None or len(own) != 1 or own[0] == whose:
        return
    evaluator.diagnostics.add(
        "W0708",
        span,
        f"`{data.instance.name}` is normalised with the statistics of {whose}, and by its name it is {own[0]}",
        f"statistics of {whose}",
        labels=((data.fields.span("source", owner), f"from {own[0]}"),),
        help=f"write `normalize({own[0]}_stats)`; those of another data set are for weights that were trained on it",
    )


def _words(data: DataInfo) -> Iterator[str]:
    """What the images of a data block are called: the path or name of their source, and the block's own name."""
    yield data.instance.declared.name.lower()
    source = data.fields["source"]
    if isinstance(source, ComponentValue):
        yield from (value.lower() for value in source.args.values() if isinstance(value, str))
