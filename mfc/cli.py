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

from mfc.dsl.params import Text
from mfc.dsl.render import json_line, one_line, render, summary
from mfc.runtime.errors import RunError, RunInterrupted
from mfc.spec import Spec, SpecError, read

if TYPE_CHECKING:
    from mfc.dsl.diagnostics import Diagnostic
    from mfc.job import Job
    from mfc.predicting import Predictor

DONE, FAILED, BAD_SPEC, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """What was asked for on the command line is not there."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(f"error: {message}" + (f"\n  = help: {help}" if help else ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives the exit status."""
    given = _parser().parse_args(_complete(sys.argv[1:] if arguments is None else arguments))
    notes = logging.StreamHandler(sys.stderr)  # what the runtime wants to be known, such as images left out
    notes.setFormatter(logging.Formatter("note: %(message)s"))
    logging.getLogger("mfc").handlers[:] = [notes]
    try:
        status = given.command(given)
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
    from mfc.show import show_declaration

    job = _job(given)
    if given.plot:
        from mfc.show_rates import plot_courses_of

        plot_courses_of(job, given.name, given.plot)
    print(show_declaration(job, given.name))
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


def explain(given: argparse.Namespace) -> int:
    from mfc.dsl.explain import codes
    from mfc.dsl.explain import explain as page
    from mfc.dsl.suggest import did_you_mean

    if text := page(given.code):
        print(text, end="")
        return DONE
    raise UsageError(f"there is no code `{given.code}`", did_you_mean(given.code.upper(), codes()))


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
    _report(spec.diagnostics, sys.stderr)
    if spec.errors:
        needed = ", ".join(f"`{target}`" for target in targets)
        print(
            f"note: {summary(spec.errors, spec.name)}, none of them in what {needed} needs", file=sys.stderr
        )
    return Job(spec, given.store)


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
        return bundle.predictor, given.files
    return _job(given, [given.train]).predictor(given.train, **means), given.files


def _report(diagnostics: Sequence[Diagnostic], stream: TextIO) -> None:
    colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    for diagnostic in diagnostics:
        print(render(diagnostic, colour), end="\n\n", file=stream)


def _write(path: str, text: str) -> None:
    from mfc.runtime.disk import write_file

    write_file(path, text.encode())


# ── the arguments ───────────────────────────────────────────────────────────────────────────────────────


def _complete(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments with a place for the TRAIN of `predict BUNDLE FILE...`: a bundle has one model, without a name."""
    if "predict" not in arguments[:1]:
        return arguments
    from mfc.bundle import is_bundle

    for place in range(1, len(arguments)):
        before, text = arguments[place - 1], arguments[place]
        is_value = before.startswith("--") and "=" not in before and before not in FLAGS
        if not text.startswith("-") and not is_value:
            return [*arguments[: place + 1], *([""] if is_bundle(text) else []), *arguments[place + 1 :]]
    return arguments


FLAGS = ("--allow-code", "--csv", "--debug", "--json", "--text", "--")
"""What no value follows, of `predict`."""


class _Version(argparse.Action):
    """Prints the version; looks it up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"mfc {version('mfc')}")
        parser.exit()


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, not `{text}`")
    return name, value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number from 0 on, not `{text}`")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on, not `{text}`")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"a learning rate above 0, not `{text}`")
    return rate


def _picture(text: str) -> str:
    from mfc.plots import FORMATS

    if not text.lower().endswith(FORMATS):
        raise argparse.ArgumentTypeError(f"a file that ends in {', '.join(FORMATS)}, not `{text}`")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mfc", description="Checks specs of training jobs, and runs what is not up to date."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", help="show the traceback of an error")
    spec = argparse.ArgumentParser(add_help=False, parents=[debug])
    spec.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="set a param; may be repeated",
    )
    spec.add_argument(
        "--allow-outside",
        metavar="FOLDER",
        help="a folder that `import` and `use` may read beside the spec's own",
    )
    job = argparse.ArgumentParser(add_help=False, parents=[spec])
    job.add_argument("spec", metavar="SPEC", help="the .mfs file")
    job.add_argument(
        "--store", metavar="FOLDER", help="where results are kept; .mfc beside the spec by default"
    )
    targets = argparse.ArgumentParser(add_help=False)
    targets.add_argument(
        "--target", action="append", default=[], metavar="NAME",
        help="a declaration to run, with what it needs; may be repeated; all trainings by default",
    )  # fmt: skip
    targets.add_argument("--json", action="store_true", help="print JSON")
    means = argparse.ArgumentParser(add_help=False)
    means.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    means.add_argument("--workers", type=_count, metavar="N", help="processes that load items; 0 for none")
    picture = argparse.ArgumentParser(add_help=False)
    picture.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw it: .png, .svg or .pdf")

    def add(
        name: str, function: Any, help: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help.capitalize() + ".", parents=parents)
        command.set_defaults(command=function)
        return command

    add("run", run, "run what is not up to date", job, targets, means)

    one = add("check", check, "report all mistakes, without running anything", spec)
    one.add_argument("specs", nargs="+", metavar="SPEC", help="the .mfs files")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument("--short", action="store_true", help="print one mistake a line, as compilers do")

    one = add("plan", plan, "show the stages, which would run, and why", job, targets)
    one.add_argument("--graph", metavar="FILE.svg", help="draw the stages")

    one = add(
        "lr-find", lr_find, "find a learning rate: a short training with rising rates", job, means, picture
    )
    one.add_argument("train", metavar="TRAIN", help="the training, or one of its phases: `fit.head`")
    one.add_argument("--start", type=_rate, default=1e-5, metavar="LR", help="the first learning rate, 1e-5")
    one.add_argument("--end", type=_rate, default=10.0, metavar="LR", help="the last learning rate, 10")
    one.add_argument("--steps", type=_count, default=100, metavar="N", help="how many batches, 100")
    one.add_argument("--json", action="store_true", help="print JSON")

    one = add("show", show, "show a model's layers, a data block or a training's schedule", job, picture)
    one.add_argument("name", metavar="NAME", help="what to show")

    one = add("activations", activations, "show what `activation_stats` recorded in a training", job, picture)
    one.add_argument("name", metavar="TRAIN", help="the train, or one of its phases: fit.head")
    one.add_argument("--number", type=int, default=1, metavar="N", help="which, where it has several")
    one.add_argument("--json", action="store_true", help="print JSON")

    one = add("predict", predict, "predict new files with a trained model, or with a bundle", job, means)
    one.usage = "mfc predict [options] SPEC TRAIN FILE...\n       mfc predict [options] BUNDLE FILE..."
    one.add_argument(
        "train",
        metavar="TRAIN",
        help="the training, or an `evaluate` of an `ensemble([...])`; not with a bundle",
    )
    one.add_argument(
        "files", nargs="+", metavar="FILE", help="files and folders; tables; `-` for lines of standard input"
    )
    one.add_argument(
        "--allow-code", action="store_true", help="run Python files of a bundle whose author you trust"
    )
    one.add_argument(
        "--text", action="store_true", help="take each FILE as a text to classify, not as a file"
    )
    one.add_argument(
        "--images", metavar="FOLDER", help="where the images of tables lie; a table's own folder"
    )
    one.add_argument("--out", metavar="FOLDER", help="where predicted masks are written, as PNG")
    one.add_argument("--top", type=_number, default=1, metavar="K", help="how many labels are shown, 1")
    one.add_argument("--batch-size", type=_number, metavar="N", help="items in a batch; as in validation")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument("--csv", action="store_true", help="print a table of comma-separated values")

    one = add("explain", explain, "explain an error code", debug)
    one.add_argument("code", metavar="CODE", help="such as E0204")
    return parser
