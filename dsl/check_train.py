"""Checks training recipes: the model on its data, the loss and metrics on both, schedules, phases and first weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mfc.dsl import shapes
from mfc.dsl.check_callbacks import CallbackChecker
from mfc.dsl.check_fields import check_fields
from mfc.dsl.check_mixing import check_mixing
from mfc.dsl.check_optimizer import check_optimizer
from mfc.dsl.check_pretrained import check_initializer, check_normalised
from mfc.dsl.check_schedules import check_schedules
from mfc.dsl.check_statistics import check_class_weights
from mfc.dsl.check_targets import misfit
from mfc.dsl.check_together import check_together
from mfc.dsl.check_weights import check_initializers
from mfc.dsl.differences import difference_of_parts, first_difference
from mfc.dsl.elaborate import Elaborator
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.lints import lint_train
from mfc.dsl.rules import parse_rule
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import BodyDecl, Phase
from mfc.dsl.typed import DataInfo, Fields, PhaseInfo, TrainInfo
from mfc.dsl.types import Unknown
from mfc.dsl.values import ComponentValue, Instance, Weights


class TrainChecker:
    """Checks one train. `data_of` and `train_of` give what other declarations turned out to be."""

    def __init__(
        self,
        evaluator: Evaluator,
        data_of: Callable[[Instance], DataInfo],
        train_of: Callable[[Instance, Span], TrainInfo | None],
    ) -> None:
        self.evaluator = evaluator
        self.add = evaluator.diagnostics.add
        self.data_of = data_of
        self.train_of = train_of

    def check(self, instance: Instance, scope: Scope) -> TrainInfo:
        decl = instance.declared.decl
        assert isinstance(decl, BodyDecl)
        owner = decl.name.span
        fields = check_fields(self.evaluator, "train", decl.body, scope, owner, instance.declared.name)
        phases = tuple(self.phase(s, scope) for s in decl.body if isinstance(s, Phase))
        self.check_epochs(fields, phases, owner, instance.declared.name)
        data = self.data_of(fields["data"]) if isinstance(fields["data"], Instance) else None
        model = self.elaborate(fields, data)
        if data is not None and model is not None:
            self.check_fit(fields, fields, data, model, owner)
            self.check_validated(fields, data, model, fields.span("data", owner), owner)
            for phase in phases:
                self.check_phase(phase.fields, fields, data, model, owner)
        self.check_callbacks(fields, phases, data, owner)
        seen = self.seen(fields, phases, data, owner)
        lint_train(self.evaluator, fields, seen, self.weights_from(fields, owner), model, owner)
        check_optimizer(self.evaluator, fields["optimizer"])
        callbacks = CallbackChecker(self.evaluator.diagnostics, fields["metrics"], model)
        for each in (fields, *(phase.fields for phase in phases)):
            groups = _counts_of_groups(model) if model is not None else ()
            check_schedules(self.evaluator, each, fields, groups, owner)
            callbacks.check(each, owner)
        check_initializers(self.add, fields, phases, model, owner)
        if model is not None:
            self.check_weights(fields, model, owner)
            if data is not None:
                check_normalised(self.add, data, model)
            for phase in phases:
                self.check_freeze(phase, model)
        return TrainInfo(instance, fields, data, model, phases)

    def phase(self, statement: Phase, scope: Scope) -> PhaseInfo:
        name = statement.name
        fields = check_fields(self.evaluator, "phase", statement.fields, scope.inner(), name.span, name.text)
        return PhaseInfo(name.text, fields, name.span)

    def check_epochs(self, fields: Fields, phases: tuple[PhaseInfo, ...], owner: Span, name: str) -> None:
        if phases and "epochs" in fields.written:
            self.add(
                "E0508",
                fields.names["epochs"],
                "`epochs` stands beside phases",
                "each phase has its own",
                labels=((phases[0].span, "a phase"),),
                help="remove `epochs`, or the phases",
            )
        if not phases and "epochs" not in fields.written:
            self.add(
                "E0207",
                owner,
                f"the train `{name}` has no `epochs`",
                "`epochs` is missing",
                help="add `epochs = ...`, or phases with epochs of their own",
            )
        seen: dict[str, Span] = {}
        for phase in phases:
            if phase.name in seen:
                self.add(
                    "E0202",
                    phase.span,
                    f"two phases are called `{phase.name}`",
                    "named again here",
                    labels=((seen[phase.name], "first here"),),
                )
            seen.setdefault(phase.name, phase.span)

    # ── data, model, loss ───────────────────────────────────────────────────────────────────────────────

    def elaborate(self, fields: Fields, data: DataInfo | None) -> Elaborated | None:
        """The model for the data's batches."""
        if data is None or data.batch is None or "model" not in fields.written:
            return None
        if data.input == "text" and data.tokenizer is None:  # nothing is known of the tokens
            return None
        vocab = data.tokenizer.vocab if data.tokenizer is not None else None
        elaborator = Elaborator(self.evaluator, vocab)
        return elaborator.model(fields["model"], data.batch, fields.written["model"].span)

    def check_phase(
        self, own: Fields, fields: Fields, data: DataInfo, model: Elaborated, owner: Span
    ) -> None:
        """What a phase has of its own, data or a loss, against the model, which stays as the train's data made it."""
        here: Elaborated | None = model
        if isinstance(own["data"], Instance):
            at, data = own.written["data"].span, self.data_of(own["data"])
            here = self.same_model(fields, data, model, at, data.instance.name)
            if here is not None:
                self.check_validated(fields, data, here, at, owner)
        if here is not None:
            self.check_fit(own if "loss" in own.written else fields, fields, data, here, owner)

    def check_validated(
        self, fields: Fields, data: DataInfo, model: Elaborated, at: Span, owner: Span
    ) -> None:
        """Validation items of another size than the training items go through the same model."""
        if data.validated is None:
            return
        data = replace(data, batch=data.validated)
        here = self.same_model(fields, data, model, at, f"{data.instance.name}.valid")
        if here is not None:
            self.check_fit(fields, fields, data, here, owner)

    def same_model(
        self, fields: Fields, data: DataInfo, model: Elaborated, at: Span, name: str
    ) -> Elaborated | None:
        """The model for other batches; None, and an error, where it would be built otherwise."""
        here = self.elaborate(fields, data)
        if here is None or not (difference := first_difference(model, here, name)):
            return here
        self.add(
            "E0509",
            at,
            f"the model is built differently for `{name}`",
            difference,
            help="all data goes through one model: end it with a pool, or give all data one size",
        )
        return None

    def seen(
        self, fields: Fields, phases: tuple[PhaseInfo, ...], data: DataInfo | None, owner: Span
    ) -> list[tuple[DataInfo, Span]]:
        """The data of each part of a training, each once, and where it is named."""
        found = {}
        for own in [phase.fields for phase in phases] or [fields]:
            named = own if isinstance(own["data"], Instance) else fields
            here = self.data_of(named["data"]) if isinstance(named["data"], Instance) else data
            if here is not None:
                found.setdefault(here.instance, (here, named.span("data", owner)))
        return list(found.values())

    def weights_from(self, fields: Fields, owner: Span) -> list[tuple[str, list[DataInfo], Span]]:
        """The trainings that weights come from: name, data, and where it is written."""
        weights, found = fields["weights"], []
        for position, value in enumerate(weights if isinstance(weights, list) else [weights]):
            span = fields.item_span("weights", position, owner)
            if isinstance(value, Weights) and (info := self.train_of(value.train, span)) is not None:
                found.append((value.train.name, self.trained_on(info), span))
        return found

    def ends_with(self, info: TrainInfo) -> DataInfo | None:
        """The data that a training ends with, which its model then is for."""
        last = info.phases[-1].fields["data"] if info.phases else None
        return self.data_of(last) if isinstance(last, Instance) else info.data

    def trained_on(self, info: TrainInfo) -> list[DataInfo]:
        """All data that a training is given."""
        decl = info.instance.declared.decl
        assert isinstance(decl, BodyDecl)
        owner = decl.name.span
        return [data for data, _ in self.seen(info.fields, info.phases, info.data, owner)]

    def check_callbacks(
        self, fields: Fields, phases: tuple[PhaseInfo, ...], data: DataInfo | None, owner: Span
    ) -> None:
        """Callbacks with each other, and with the loss and the data that they meet in each phase."""
        for own in [phase.fields for phase in phases] or [fields]:
            here = self.data_of(own["data"]) if isinstance(own["data"], Instance) else data
            chosen = own if "loss" in own.written else fields
            if here is not None:
                both = [fields, own] if phases else [fields]
                at = chosen.span("loss", owner)
                check_together(self.evaluator.diagnostics, both, here, owner)
                check_mixing(self.evaluator.diagnostics, both, chosen["loss"], at, here, owner)

    def check_fit(self, own: Fields, fields: Fields, data: DataInfo, model: Elaborated, owner: Span) -> None:
        """The loss of `own` and the metrics against the target's type and the model's output. What the loss can't
        take is the model's mistake, and said once."""
        loss, span = own["loss"], own.span("loss", owner)
        check_class_weights(self.evaluator.diagnostics, loss, span, data, model)
        settled = self.fits_target(loss, span, data, "E0502") and self.fits_output(
            loss, span, fields, data, model
        )
        metrics = fields["metrics"]
        for position, metric in enumerate(metrics if isinstance(metrics, list) else []):
            span = fields.item_span("metrics", position, owner)
            if isinstance(metric, ComponentValue) and metric.info.facts["gives"] == "table":
                self.add(
                    "E0554", span, f"`{metric.info.name}` is a table, and a training's metrics are numbers of each epoch",
                    "a table", help=f"write `evaluate after {{ model = ...  metrics = [{metric.info.name}()] }}`",
                )  # fmt: skip
            if self.fits_target(metric, span, data, "E0504") and settled:
                self.fits_output(metric, span, fields, data, model)

    def fits_target(self, value: Any, span: Span, data: DataInfo, code: str) -> bool:
        """Whether a loss or metric is for targets of the data's type."""
        if not isinstance(value, ComponentValue) or not data.target:
            return False
        info = value.info
        if data.target in info.facts["targets"]:
            return True
        others = [
            c
            for c in self.evaluator.catalog
            if c.kind == info.kind and data.target in c.facts["targets"] and c.facts.get("gives") != "table"
        ]
        self.add(
            code,
            span,
            f"`{info.name}` does not fit the target of `{data.instance.name}`: it is {data.target}",
            f"for {' or '.join(info.facts['targets'])}",
            help=f"for {data.target} there are {', '.join(c.name for c in others)}" if others else "",
        )
        return False

    def fits_output(
        self, value: ComponentValue, span: Span, fields: Fields, data: DataInfo, model: Elaborated
    ) -> bool:
        """Whether a loss or metric can take what the model gives; what is wrong with its arguments is said of them."""
        if model.out is None or any(isinstance(argument, Unknown) for argument in value.args.values()):
            return False
        info, name, shown = value.info, data.instance.name, shapes.show_shape(model.out)
        at, labels = fields.span("model", span), ((span, f"`{info.name}` compares them"),)
        if wrong := misfit(data, model.out):
            self.add("E0503", at, wrong.message, wrong.why.format(info.name), help=wrong.help)
            return False
        known = dict(value.args) | ({} if data.classes is None else {"classes": data.classes})
        try:
            shapes.apply(parse_rule(info.facts["shape"]), model.out, known)
        except shapes.Mismatch as error:
            if data.classes is not None and len(model.out) > 1 and model.out[1] == data.classes:
                self.add("E0503", span, f"`{info.name}` can't take {shown}", str(error))
            elif data.classes is None:
                self.add(
                    "E0503", at, f"the model gives {shown}, which does not fit", str(error), labels=labels
                )
            else:
                what = "tokens" if data.target == "next_token" else "classes"
                message = f"the model gives {shown}, and `{name}` has {data.classes} {what}"
                own = "classes" if what == "classes" else "vocab_size"
                help = f"give the model `{name}.{own}`"
                self.add("E0503", at, message, str(error), labels=labels, help=help)
            return False
        return True

    # ── weights, phases ──────────────────────────────────────────────────────────────────────

    def check_weights(self, fields: Fields, model: Elaborated, owner: Span) -> None:
        """Weights of another train's group go to the group of that name, which must be built alike."""
        weights = fields["weights"]
        for position, value in enumerate(weights if isinstance(weights, list) else [weights]):
            span = fields.item_span("weights", position, owner)
            if isinstance(value, ComponentValue):
                check_initializer(self.add, value, model, span)
            if not isinstance(value, Weights):
                continue
            other = self.train_of(value.train, span)
            if other is None or other.model is None:
                continue
            for groups, whose in (
                (other.model.groups, f"the model of `{value.train.name}`"),
                (model.groups, "this model"),
            ):
                if value.group not in groups:
                    self.add(
                        "E0509",
                        span,
                        f"{whose} has no group `{value.group}`",
                        "unknown group",
                        help=lambda group=value.group, groups=groups: (
                            did_you_mean(group, groups)
                            or (f"its groups are {', '.join(groups)}" if groups else "it has no groups")
                        ),
                    )
                    break
            else:
                self.compare(value, other.model, model, span)

    def compare(self, value: Weights, source: Elaborated, target: Elaborated, span: Span) -> None:
        name = value.train.name
        if source.whole and target.whole:
            difference = difference_of_parts(source, target, value.group, name)
        else:
            difference = first_difference(target, source, name, f"{value.group}.")
        if difference:
            self.add(
                "E0509",
                span,
                f"the group `{value.group}` is built differently in `{value.train.name}`",
                difference,
                help="weights go from a group to one with the same layers and sizes",
            )

    def check_freeze(self, phase: PhaseInfo, model: Elaborated) -> None:
        """`freeze_to` names a group by its number: those of the model, and what lies outside of them as one more."""
        freeze, count = phase.fields["freeze_to"], _count_groups(model)
        groups = model.parameter_groups if model.divided else model.groups
        if count is not None and isinstance(freeze, int) and not -count <= freeze < count:
            self.add(
                "E0510",
                phase.fields.span("freeze_to", phase.span),
                f"there is no group {freeze}: the model has {count}",
                f"must be in {-count}..{count - 1}",
                help=f"its groups are {', '.join(groups)}"
                if groups
                else "name parts of the model with `group NAME { }`",
            )


def _count_groups(model: Elaborated) -> int | None:
    """How many groups of parameters a model has: its own, and what lies outside of them as one more. None for an
    architecture, which divides its groups further: the run knows how many there are."""
    if model.whole:
        return None
    if model.divided:
        return len(model.parameter_groups)
    owned = tuple(f"{group}." for group in model.groups)
    outside = any(not record.path.startswith(owned) for record in model.layers) if owned else True
    return len(model.groups) + outside


def _counts_of_groups(model: Elaborated) -> tuple[int, ...]:
    """How many groups a model may have: what lies outside of its own is one more only where it has parameters."""
    most = _count_groups(model)
    if most is None:
        return ()
    return (most,) if model.divided or not model.groups else (len(model.groups), most)
