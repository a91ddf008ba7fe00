"""Checks a program: every declaration by itself, and each instance that another one refers to.

A body is looked into once with its parameters unknown, so that a mistake in a branch that no call takes is
found; whatever can be worked out with its arguments is checked again with them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mfc.dsl.catalog import Catalog
from mfc.dsl.check_data import check_complete, check_data, input_shape
from mfc.dsl.check_evaluate import check_evaluation
from mfc.dsl.check_export import check_export
from mfc.dsl.check_fields import check_fields
from mfc.dsl.check_optimizer import check_optimizer
from mfc.dsl.check_train import TrainChecker
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import Dim
from mfc.dsl.elaborate import Elaborator
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.params import check_settings
from mfc.dsl.recording import Recording, RecordingEvaluator
from mfc.dsl.resolve import Declared, Program
from mfc.dsl.scope import MAX_TOTAL, Budget, LimitReached, Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl, BrokenDecl, DataDecl, LetStmt, Param, Parameter, ValueDecl
from mfc.dsl.typed import Checked, DataInfo, TrainInfo
from mfc.dsl.types import ANY, Kind, Type, Unknown, type_of
from mfc.dsl.unused import lint_unused
from mfc.dsl.values import Instance, Weights


def check(
    program: Program, catalog: Catalog, settings: Mapping[str, Any], facts: Mapping[str, Any], diagnostics: Diagnostics,
    opening: bool = False, recording: Recording | None = None, only: Container[Declared] | None = None,
) -> Checked:  # fmt: skip
    """Checks all that a program declares. `facts` is what is known of its data, such as `cifar.classes`.
    With `opening`, a param without a value is no error. What expressions are found to be is added to `recording`. With
    `only`, other declarations are checked no further than these ask for."""
    check_settings(program, settings, diagnostics)
    given = (program, catalog, settings, facts, diagnostics, opening)
    checker = _Checker(
        Evaluator(*given) if recording is None else RecordingEvaluator(*given, recording=recording)
    )
    for module in program.modules.values():
        for declared in module.declarations():
            if checker.within_limits and (only is None or declared in only):
                checker.safely(declared)
    checker.not_for_training()
    if only is None:
        lint_unused(program, diagnostics)
    bindings = program.entry.names.values()
    checker.checked.named = frozenset(binding for binding in bindings if isinstance(binding, Declared))
    return checker.checked


class _Checker:
    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.checked = Checked()
        self.train_checker = TrainChecker(evaluator, self.data_of, self.train_of)
        self.open: list[Instance] = []
        self.blocks: list[DataInfo] = []

    @property
    def within_limits(self) -> bool:
        budget = self.evaluator.budget
        return budget.before + budget.steps <= MAX_TOTAL

    def safely(self, declared: Declared) -> None:
        """Checks one declaration with an allowance of its own; one that explodes ends with an error."""
        before = self.evaluator.budget
        self.evaluator.budget = Budget(before.before + before.steps)
        try:
            with self.evaluator.diagnostics.checking(declared):
                self.declaration(declared)
        except LimitReached as limit:
            self.evaluator.diagnostics.add(
                limit.code,
                limit.span,
                limit.message,
                "here",
                labels=self.evaluator.budget.chain(limit.span),
                help="does it call itself without an end?" if limit.code == "E0601" else "",
            )
            self.open.clear()
        except RecursionError:
            assert declared.decl.name is not None
            self.evaluator.diagnostics.add(
                "E0601",
                declared.decl.name.span,
                f"`{declared.name}` is nested too deeply",
                "can't be followed to its end",
                help="make inner parts declarations of their own",
            )
            self.open.clear()

    def declaration(self, declared: Declared) -> None:
        decl = declared.decl
        scope = Scope(declared.module)
        match decl:
            case Param():
                self.checked.params[declared] = self.evaluator.constant(declared, decl.span, ANY)
            case LetStmt():
                self.evaluator.constant(declared, decl.name.span, ANY)
            case DataDecl() | BodyDecl() | ValueDecl():
                if decl.params:
                    self.abstractly(declared, decl)
                    if any(p.default is None for p in decl.params):
                        return
                if isinstance(decl, BodyDecl) and decl.kind in ("block", "model"):
                    if not decl.params:
                        Elaborator(self.evaluator).check_body(declared, scope)
                    self.with_own_input(declared, decl)
                    return
                self.instance(self.with_defaults(declared), decl.name.span)
            case BrokenDecl():
                pass

    def with_own_input(self, declared: Declared, decl: BodyDecl) -> None:
        """A model that says what its input is (`input = image(3, 224, 224)`) is followed without a train."""
        shape = input_shape(self.evaluator, decl, Scope(declared.module))
        if shape is not None:
            model = Elaborator(self.evaluator).model(self.with_defaults(declared), shape, decl.name.span)
            if model is not None:
                self.checked.models.setdefault(declared, model)

    def with_defaults(self, declared: Declared) -> Instance:
        """The declaration called without arguments."""
        decl = declared.decl
        assert isinstance(decl, DataDecl | ValueDecl | BodyDecl)
        here = Scope(declared.module)
        for p in decl.params or ():
            assert p.default is not None
            here.names[p.name.text] = self.evaluator.value(
                p.default, here, self.evaluator.parameter_type(p), f"the default of `{p.name.text}`"
            )
        return Instance(declared, tuple(here.names.items()))

    def abstractly(self, declared: Declared, decl: DataDecl | BodyDecl | ValueDecl) -> None:
        """Looks into a declaration with parameters whose values are not known."""
        names = {p.name.text: Unknown(self.guess(p)) for p in decl.params or ()}
        scope = Scope(declared.module, names)
        match decl:
            case DataDecl():
                self.blocks.append(check_data(self.evaluator, Instance(declared), scope))
            case ValueDecl():
                self.value(decl, scope)
            case BodyDecl(kind="block" | "model"):
                Elaborator(self.evaluator).check_body(declared, scope)
            case BodyDecl(kind="train"):
                self.train_checker.check(Instance(declared), scope)
            case BodyDecl():
                check_fields(self.evaluator, decl.kind, decl.body, scope, decl.name.span, declared.name)

    def guess(self, parameter: Parameter) -> Type:
        """What a parameter will be, as its annotation says; a default that is true or false says as much."""
        if parameter.type is not None:
            return self.evaluator.parameter_type(parameter)
        default = getattr(parameter.default, "value", None)
        return type_of(default) if isinstance(default, bool) else ANY

    # ── instances ───────────────────────────────────────────────────────────────────────────────────────

    def instance(self, instance: Instance, span: Span) -> None:
        """Checks a declaration with its arguments, and what it refers to."""
        declared, decl = instance.declared, instance.declared.decl
        scope = Scope(declared.module, dict(instance.args))
        match decl:
            case DataDecl():
                self.data_of(instance)
            case BodyDecl(kind="train"):
                self.train_of(instance, span)
            case BodyDecl(kind="evaluate") if instance not in self.checked.evaluations:
                with self.evaluator.asking() as asked:
                    info = check_evaluation(self.evaluator, self.train_checker, instance, scope)
                info = replace(info, awaits=self.telling(instance, asked))
                self.checked.evaluations[instance] = info
                if info.data is not None:
                    self.data_of(info.data)
            case BodyDecl(kind="export") if instance not in self.checked.exports:
                info = check_export(self.evaluator, self.train_checker, instance, scope)
                self.checked.exports[instance] = info
            case ValueDecl():
                self.value(decl, scope)

    def value(self, decl: ValueDecl, scope: Scope) -> None:
        """Checks what a declaration gives a name."""
        value = self.evaluator.value(decl.value, scope, Kind(decl.kind), f"`{decl.name.text}`")
        check_optimizer(self.evaluator, value)

    def follow(self, value: Any, span: Span) -> None:
        """Checks the instances that a value refers to."""
        match value:
            case list():
                for item in value:
                    self.follow(item, span)
            case Weights():
                self.instance(value.train, span)
            case Instance():
                self.instance(value, span)

    def data_of(self, instance: Instance) -> DataInfo:
        if instance not in self.checked.data:
            scope = Scope(instance.declared.module, dict(instance.args))
            with self.evaluator.asking() as asked:
                info = check_data(self.evaluator, instance, scope)
            self.checked.data[instance] = info  # so that two that ask for one another come to an end
            self.checked.data[instance] = replace(info, awaits=self.telling(instance, asked))
            self.blocks.append(info)
            for part in info.tokenizer.fit_on if info.tokenizer is not None else ():
                self.data_of(part.data)
        return self.checked.data[instance]

    def train_of(self, instance: Instance, span: Span) -> TrainInfo | None:
        if instance in self.open:
            chain = [i.name for i in self.open[self.open.index(instance) :]] + [instance.name]
            self.evaluator.diagnostics.add(
                "E0210",
                span,
                f"the train `{instance.name}` needs its own result",
                "closes the circle",
                notes=(" -> ".join(chain),),
                help="break the circle: one of these must not need the others",
            )
            return None
        if instance not in self.checked.trains:
            self.open.append(instance)
            self.evaluator.budget.enter(f"for the train `{instance.name}`", span)
            scope = Scope(instance.declared.module, dict(instance.args))
            with self.evaluator.asking() as asked, self.evaluator.diagnostics.checking(instance.declared):
                info = self.train_checker.check(instance, scope)
            info = replace(info, awaits=self.telling(instance, asked))
            for name in ("weights", "callbacks", "loss"):
                self.follow(info.fields[name], info.fields.span(name, span))
            self.evaluator.budget.leave()
            self.open.pop()
            if (
                info.model is not None
                and isinstance(named := info.fields["model"], Instance)
                and not named.args
            ):
                self.checked.models[named.declared] = info.model
            self.checked.trains[instance] = info
        return self.checked.trains[instance]

    def telling(self, instance: Instance, asked: Iterable[Instance]) -> tuple[Instance, ...]:
        """The data blocks that tell what an instance waits for: those that its body asked, and those that its
        arguments are made of."""
        given = (s.name for _, value in instance.args if isinstance(value, Dim) for s in value.symbols)
        told = self.evaluator.told
        blocks = dict.fromkeys([*asked, *(told[fact] for fact in given if fact in told)])
        for data in blocks:
            self.data_of(data)
        return tuple(blocks)

    def not_for_training(self) -> None:
        """Reports data blocks that nothing can be trained on. Those that models of other data are only asked about need
        no labels, no tokenizer and no transforms; whether an evaluation measures anything on them is said there."""
        asked = {info.data.declared for info in self.checked.evaluations.values() if info.data is not None}
        trained = {
            data.instance.declared
            for info in self.checked.trains.values()
            for data in self.train_checker.trained_on(info)
        }
        for data in self.blocks:
            if data.instance.declared not in asked - trained:
                check_complete(self.evaluator.diagnostics, data)
