"""What the command line prints of evaluations: metrics, confusion matrices, the items with the greatest losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mfc.charts import table

if TYPE_CHECKING:
    from mfc.evaluations import Evaluation
    from mfc.runtime.training.findings import ConfusionMatrix, TopLoss

MOST_CLASSES, WIDEST = 20, 100
"""Classes, and characters of a line, up to which a matrix is printed whole."""

MOST_PAIRS = 5
"""Pairs of classes that are named as those confused most."""


def show_evaluation(evaluation: Evaluation) -> str:
    """What was measured in one line, and below it what has more of them."""
    several = len(evaluation.tables or evaluation.losses) > 1
    lines = [_metrics(evaluation)]
    for model, tables in evaluation.tables.items():
        for name, matrix in tables.items():
            lines += [
                f"  {name}{f' of {model}' if several else ''}, a row a true class, a column a predicted one:"
            ]
            lines += _indented(show_confusion(matrix))
    for model, rows in evaluation.losses.items():
        lines += [f"  greatest losses{f' of {model}' if several else ''}:"]
        lines += _indented(show_top_losses(rows))
    if evaluation.predictions is not None:
        lines += [f"  predictions in {evaluation.predictions.name}"]
    return "\n".join(lines)


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """What was found out, as JSON."""
    return {
        "result": evaluation.result,
        "spread": evaluation.spread,
        "each": evaluation.each,
        "tables": {
            model: {name: {"classes": m.classes, "counts": m.counts} for name, m in tables.items()}
            for model, tables in evaluation.tables.items()
        },
        "top_losses": {model: [row._asdict() for row in rows] for model, rows in evaluation.losses.items()},
        "predictions": None if evaluation.predictions is None else str(evaluation.predictions),
    }


def show_confusion(matrix: ConfusionMatrix) -> str:
    """A matrix with the names of its classes, unless it is too large, and the pairs that are confused most."""
    names = list(map(str, matrix.classes))
    rows = [["", *names], *([name, *map(str, row)] for name, row in zip(names, matrix.counts))]
    drawn = table(rows, right=range(1, len(names) + 1))
    whole = len(names) <= MOST_CLASSES and max(map(len, drawn.splitlines())) <= WIDEST
    pairs = matrix.most_confused()
    said = ", ".join(f"{p.true} as {p.predicted}: {p.count:,}" for p in pairs[:MOST_PAIRS])
    more = f" and {len(pairs) - MOST_PAIRS:,} pairs more" if len(pairs) > MOST_PAIRS else ""
    return "\n".join(
        [*([drawn] if whole else []), f"confused most: {said}{more}" if said else "nothing is confused"]
    )


def show_top_losses(rows: Sequence[TopLoss]) -> str:
    """A line an item: its loss, what the model says and how sure it is, what it is, and its path."""
    head = ["loss", "prediction", "probability", "label", ""]
    body = [
        [
            f"{row.loss:.4g}",
            _answer(row.prediction),
            "" if row.probability is None else f"{row.probability:.3f}",
            _answer(row.label),
            row.path,
        ]
        for row in rows
    ]
    columns = [column for column in zip(head, *body) if any(column[1:]) or column[0] == "loss"]
    return table(list(zip(*columns)), right=[0])


def _answer(answer: Any) -> str:
    if isinstance(answer, list):
        return ", ".join(map(_answer, answer)) or "none"
    return "" if answer is None else f"{answer:.4g}" if isinstance(answer, float) else str(answer)


def _metrics(evaluation: Evaluation) -> str:
    """`accuracy 0.853 ± 0.02 over 2 models; accuracy of each 0.839, 0.867`, or how an ensemble does beside them."""
    result, spread, each = evaluation.result, evaluation.spread, evaluation.each
    said = _numbers(result, spread)
    count = len(each)
    together = evaluation.stage.recipe["together"]
    if not said:
        return f"asked {'a model' if count == 1 else f'{count} models'}{' together' if together else ''}"
    if count == 1:
        return said
    name = next(iter(result))
    alone = ", ".join(f"{measured[name]:.4g}" for measured in each.values())
    over = f"of {count} models together" if together else f"over {count} models"
    return f"{said} {over}; {name} of each {alone}"


def _numbers(result: Mapping[str, float], spread: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" + (f" ± {spread[name]:.2g}" if name in spread else "")
        for name, value in result.items()
    )


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]
