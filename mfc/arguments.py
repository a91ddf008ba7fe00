"""What the command line takes: the commands with their arguments and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments read; `command` is the name of one. Exits with 2 where they are none of the command's, and where no
    command is named: then it tells of all."""
    parser = _parser()
    if not arguments:
        parser.print_help(sys.stderr)
        parser.exit(2)
    given, left = parser.parse_known_args(arguments)
    options = [text for text in left[: (*left, "--").index("--")] if text.startswith("-") and text != "-"]
    if options or (left and given.command != "predict"):
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if left:  # argparse takes all values of an argument in one place, and these stand behind an option
        given.things += [text for text in left if text != "--"]
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mfc",
        description="Checks specs of training jobs, and runs what is not up to date.",
        epilog="`mfc COMMAND --help` tells of one.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=18),
    )
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

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
        help="a declaration or a phase to run, with what it needs; may be repeated; all trainings by default",
    )  # fmt: skip
    targets.add_argument("--json", action="store_true", help="print JSON")
    means = argparse.ArgumentParser(add_help=False)
    means.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    means.add_argument("--workers", type=_count, metavar="N", help="processes that load items; 0 for none")
    picture = argparse.ArgumentParser(add_help=False)
    picture.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw it: .png, .svg or .pdf")

    def add(name: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help.capitalize() + ".", parents=parents)

    add("run", "run what is not up to date", job, targets, means)

    one = add("check", "report all mistakes, without running anything", spec)
    one.add_argument("specs", nargs="+", metavar="SPEC", help="the .mfs files")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument("--short", action="store_true", help="print one mistake a line, as compilers do")

    one = add("fmt", "format specs in place", debug)
    one.add_argument(
        "specs", nargs="+", metavar="SPEC", help="the .mfs files; folders; `-` from standard input to output"
    )
    one.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something would")
    one.add_argument("--diff", action="store_true", help="change nothing; print what would")

    one = add("plan", "show the stages, which would run, and why", job, targets)
    one.add_argument("--graph", metavar="FILE.svg", help="draw the stages")

    one = add("lr-find", "find a learning rate: a short training with rising rates", job, means, picture)
    one.add_argument("train", metavar="TRAIN", help="the training, or one of its phases: `fit.head`")
    one.add_argument("--start", type=_rate, default=1e-5, metavar="LR", help="the first learning rate, 1e-5")
    one.add_argument("--end", type=_rate, default=10.0, metavar="LR", help="the last learning rate, 10")
    one.add_argument("--steps", type=_count, default=100, metavar="N", help="how many batches, 100")
    one.add_argument("--json", action="store_true", help="print JSON")

    one = add("show", "show a model's layers, a data block or a training's schedule", job, picture)
    one.add_argument("name", metavar="NAME", help="what to show")

    one = add("activations", "show what `activation_stats` recorded in a training", job, picture)
    one.add_argument("name", metavar="TRAIN", help="the train, or one of its phases: fit.head")
    one.add_argument("--number", type=int, default=1, metavar="N", help="which, where it has several")
    one.add_argument("--json", action="store_true", help="print JSON")

    one = add("predict", "predict new files with a trained model, or with a bundle", job, means)
    one.usage = "mfc predict [options] SPEC TRAIN FILE...\n       mfc predict [options] BUNDLE FILE..."
    one.add_argument(
        "things", nargs="+", metavar="[TRAIN] FILE",
        help="of a spec the training first, or an `evaluate` of an `ensemble([...])`, of a bundle none; "
        "then files and folders; tables; `-` for lines of standard input",
    )  # fmt: skip
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

    one = add("docs", "tell of a component, a word of the language, a spec or a code", debug)
    one.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="such as conv2d, train, train.epochs or std/unet; all without",
    )
    one.add_argument("--search", action="store_true", help="find what has all of some words in its text")
    one.add_argument("--json", action="store_true", help="print JSON")

    one = add("explain", "explain an error code, or list all", debug)
    one.add_argument("code", nargs="?", metavar="CODE", help="such as E0204; all without")

    one = add("lsp", "serve an editor, as its language server", debug)
    way = one.add_mutually_exclusive_group()
    way.add_argument("--stdio", action="store_true", help="what is done anyway; some editors say it")
    way.add_argument(
        "--tcp", type=_address, metavar="[HOST:]PORT", help="serve one editor that connects there instead"
    )
    return parser


# ── values of options ───────────────────────────────────────────────────────────────────────────────────


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


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"[HOST:]PORT, not `{text}`")
    return host.strip("[]") or "127.0.0.1", int(port)


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
