"""The command line: reads arguments, calls the Python API, prints. What costs time is imported where it is used.

Exit statuses: 0 done, 1 a run failed, 2 the spec or the command line has errors, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

from mfc.arguments import parse
from mfc.dsl.params import Text
from mfc.dsl.render import json_line, one_line, render, summary
from mfc.runtime.errors import RunError, RunInterrupted
from mfc.spec import Spec, SpecError, read
from mfc.terminal import columns, has_colour, page_by_page, show_markdown

if TYPE_CHECKING:
    from mfc.dsl.diagnostics import Diagnostic
    from mfc.dsl.entries import Entry
    from mfc.job import Job
    from mfc.predicting import Predictor

DONE, FAILED, BAD_SPEC, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """What was asked for on the command line is not there."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(f"error: {message}" + (f"\n  = help: {help}" if help else ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives the exit status."""
    given = parse(sys.argv[1:] if arguments is None else arguments)
    notes = logging.StreamHandler(sys.stderr)  # what the runtime wants to be known, such as images left out
    notes.setFormatter(logging.Formatter("note: %(message)s"))
    logging.getLogger("mfc").handlers[:] = [notes]
    try:
        status = COMMANDS[given.command](given)
        sys.stdout.flush()
        return status
    except SpecError as error:
        _report(error.diagnostics, sys.stderr)
        print(summary(error.diagnostics, given.spec), file=sys.stderr)
        return BAD_SPEC
    except UsageError as error:
        print(error, file=sys.stderr)
        return BAD_SPEC
    except RunError as error:
        if given.debug:
            raise
        print(error, file=sys.stderr)
        return FAILED
    except RunInterrupted as stop:
        print(stop.message, file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if given.debug:
            raise
        print(
            f"error: mfc failed: {type(error).__name__}: {error}\n"
            "  = note: this is a mistake in mfc or in a component of yours, sorry\n"
            "  = help: run the same command with `--debug` for the traceback",
            file=sys.stderr,
        )
        return FAILED


# ── the commands ────────────────────────────────────────────────────────────────────────────────────────


def check(given: argparse.Namespace) -> int:
    ok = True
    for path in given.specs:
        try:
            spec = _load(path, given, opening=True)
        except UsageError as error:  # the other files are checked all the same
            print(error, file=sys.stderr)
            ok = False
            continue
        ok &= spec.ok
        if given.json:
            for diagnostic in spec.diagnostics:
                print(json_line(diagnostic))
        elif given.short:
            for diagnostic in spec.diagnostics:
                print(one_line(diagnostic))
        else:
            _report(spec.diagnostics, sys.stdout)
            print(summary(spec.diagnostics, spec.name))
    return DONE if ok else BAD_SPEC


def fmt(given: argparse.Namespace) -> int:
    from mfc.formatting import specs_in

    return max([_fmt(path, given) for path in specs_in(given.specs)], default=DONE)


def _fmt(path: str, given: argparse.Namespace) -> int:
    """Formats one file. If it can't be, the others are all the same."""
    from mfc.formatting import formatted, read_formatted, write_formatted

    try:
        spec = formatted("<stdin>", sys.stdin.buffer.read()) if path == "-" else read_formatted(path)
        if spec.changed and not (given.check or given.diff or path == "-"):
            write_formatted(spec)
    except (OSError, RunError) as error:
        reason = error.message if isinstance(error, RunError) else (error.strerror or str(error)).lower()
        print(UsageError(f"can't format {path}: {reason}"), file=sys.stderr)
        return BAD_SPEC
    if spec.errors:
        _report(spec.errors, sys.stderr)
        print(summary(spec.errors, spec.name), file=sys.stderr)
        return BAD_SPEC
    if given.diff:
        print(spec.difference(), end="")
    elif path == "-" and not given.check:
        sys.stdout.flush()
        sys.stdout.buffer.write(spec.after.encode())
    elif spec.changed:
        print(f"{'would format' if given.check else 'formatted'} {spec.name}")
    return FAILED if spec.changed and given.check else DONE


def plan(given: argparse.Namespace) -> int:
    from mfc.show import plan_json, show_plan

    job = _job(given, given.target)
    statuses, planned = job.status(given.target), job.plan(given.target)
    if given.graph:
        from mfc.graph import draw

        _write(given.graph, draw(planned, {s.stage.name: s.state for s in statuses}))
    if given.json:
        print(json.dumps(plan_json(statuses, planned), indent=1))
    else:
        print(show_plan(statuses, planned))
    return DONE


def run(given: argparse.Namespace) -> int:
    from mfc.show import result_json, show_result

    done = _job(given, given.target).run(
        given.target,
        device=given.device,
        workers=given.workers,
        progress=not given.json,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(json.dumps(result_json(done), indent=1) if given.json else show_result(done))
    return DONE


def lr_find(given: argparse.Namespace) -> int:
    from mfc.show_rates import lr_find_json, show_lr_find

    found = _job(given, [given.train]).lr_find(
        given.train,
        start=given.start,
        end=given.end,
        steps=given.steps,
        device=given.device,
        workers=given.workers,
        progress=not given.json,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(json.dumps(lr_find_json(found), indent=1) if given.json else show_lr_find(found))
    if given.plot:
        from mfc.plots import plot_lr_find

        plot_lr_find(found, given.plot)
    return DONE


def show(given: argparse.Namespace) -> int:
    from mfc.job import Job
    from mfc.show import show_declaration

    job = Job(_load(given.spec, given), given.store)
    shown = show_declaration(job, given.name)  # what it needs is known then
    _tell(job.spec, [given.name])
    if given.plot:
        from mfc.show_rates import plot_courses_of

        plot_courses_of(job, given.name, given.plot)
    print(shown)
    return DONE


def activations(given: argparse.Namespace) -> int:
    from mfc.show_activations import activations_json, show_activations

    found = _job(given, [given.name]).activations(given.name, given.number)
    if given.plot:
        found.plot(given.plot)
    print(json.dumps(activations_json(found)) if given.json else show_activations(given.name, found))
    return DONE


def predict(given: argparse.Namespace) -> int:
    from mfc.show_predictions import show_predictions

    predictor, things = _predictor(given)
    if given.images is not None and (given.text or not any(map(predictor.is_table, things))):
        raise UsageError("`--images` says where the images of tables lie, and no table of images is given")
    form = "json" if given.json else "csv" if given.csv else "text"
    items = predictor.given(things) if given.text else _found(predictor, things, given.images)
    failed = show_predictions(predictor, items, form, given.top, given.out, given.batch_size)
    return FAILED if failed else DONE


def _found(predictor: Predictor, names: Sequence[str], images: str | None) -> Iterable[Any]:
    """The items of files, where `-` stands for the lines of standard input."""
    parts = [
        predictor.lines(sys.stdin.buffer) if name == "-" else predictor.found([name], images)
        for name in names
    ]
    return chain.from_iterable(parts)


def docs(given: argparse.Namespace) -> int:
    from mfc import show_docs
    from mfc.dsl.catalog import builtin_catalog
    from mfc.dsl.entries import entries, search

    every, names = entries(builtin_catalog()), given.names
    if given.search:
        if not names:
            raise UsageError("say what to search for", "`mfc docs --search WORDS`")
        found = search(" ".join(names), every)
    else:
        found = [entry for name in names for entry in _documented(name, every)]
    if given.search and not found:
        raise UsageError(f"no text of the reference has all of `{' '.join(names)}`", LIST_ALL)
    if given.json:
        told = show_docs.json_of(found) if names else show_docs.list_json(every)
        print(json.dumps(told, indent=1))
    elif found and not given.search:
        show_markdown(show_docs.show_entries(found, every), sys.stdout)
    else:
        colour = has_colour(sys.stdout)
        listed = (
            show_docs.show_found(found, columns()) if names else show_docs.show_list(every, columns(), colour)
        )
        page_by_page(listed, sys.stdout)
    return DONE


LIST_ALL = "`mfc docs` lists all that there is"


def _documented(name: str, every: Sequence[Entry]) -> Sequence[Entry]:
    """What the reference has under a name."""
    from mfc.dsl.entries import hint, look_up

    if found := look_up(name, every):
        return found
    raise UsageError(f"the reference has no `{name}`", hint(name, every) or LIST_ALL)


def explain(given: argparse.Namespace) -> int:
    from mfc.dsl.explain import codes, titles
    from mfc.dsl.explain import explain as page
    from mfc.dsl.suggest import did_you_mean

    if given.code is None:
        page_by_page("".join(f"{code}  {title}\n" for code, title in titles().items()), sys.stdout)
        return DONE
    if text := page(given.code):
        show_markdown(text, sys.stdout)
        return DONE
    meant = did_you_mean(given.code.upper(), codes()) or "`mfc explain` lists all codes"
    raise UsageError(f"there is no code `{given.code}`", meant)


def lsp(given: argparse.Namespace) -> int:
    from mfc.lsp.server import serve

    if given.tcp is None:
        return DONE if serve() else FAILED
    host, port = given.tcp
    try:
        return DONE if serve((host, port)) else FAILED
    except OSError as error:
        reason = (error.strerror or str(error)).rpartition(": ")[2].lower()
        raise UsageError(f"can't listen on {host}:{port}: {reason}") from error


COMMANDS = {
    "activations": activations,
    "check": check,
    "docs": docs,
    "explain": explain,
    "fmt": fmt,
    "lr-find": lr_find,
    "lsp": lsp,
    "plan": plan,
    "predict": predict,
    "run": run,
    "show": show,
}
"""What carries out each command."""


# ── what they share ─────────────────────────────────────────────────────────────────────────────────────


def _load(path: str, given: argparse.Namespace, opening: bool = False) -> Spec:
    settings = {name: Text(value) for name, value in given.set}
    try:
        return read(path, settings, allow_outside=given.allow_outside, opening=opening)
    except OSError as error:
        raise UsageError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from error


def _job(given: argparse.Namespace, targets: Sequence[str] = ()) -> Job:
    """The job of the spec that was named. What is said of it is printed; SpecError where what targets need, by default
    all of it, has errors."""
    from mfc.job import Job

    spec = _load(given.spec, given)
    if spec.errors_for(targets):
        raise SpecError(spec.diagnostics)
    _tell(spec, targets)
    return Job(spec, given.store)


def _tell(spec: Spec, targets: Sequence[str]) -> None:
    """Prints what is said of a spec, of which targets need nothing with errors."""
    _report(spec.diagnostics, sys.stderr)
    if spec.errors:
        needed = ", ".join(f"`{target}`" for target in targets)
        print(
            f"note: {summary(spec.errors, spec.name)}, none of them in what {needed} needs", file=sys.stderr
        )


def _predictor(given: argparse.Namespace) -> tuple[Predictor, list[str]]:
    """What predicts, and what it is asked about: a training of a spec goes by its name, a bundle has one model."""
    from mfc.bundle import is_bundle, load_bundle

    means = {"device": given.device, "workers": given.workers}
    if is_bundle(given.spec):
        if given.set or given.store:
            raise UsageError(
                f"{given.spec} is a bundle, and has its model and params", "leave `--set` and `--store` out"
            )
        bundle = load_bundle(given.spec, allow_code=given.allow_code, **means)
        return bundle.predictor, given.things
    if os.path.isdir(given.spec):
        raise UsageError(f"{given.spec} is neither a spec nor a bundle")
    train, *things = given.things
    predictor = _job(given, [train]).predictor(train, **means)
    if not things:
        raise UsageError(f"name what `{train}` is to predict", "`mfc predict SPEC TRAIN FILE...`")
    return predictor, things


def _report(diagnostics: Sequence[Diagnostic], stream: TextIO) -> None:
    colour = has_colour(stream)
    for diagnostic in diagnostics:
        print(render(diagnostic, colour), end="\n\n", file=stream)


def _write(path: str, text: str) -> None:
    from mfc.runtime.disk import write_file

    write_file(path, text.encode())
