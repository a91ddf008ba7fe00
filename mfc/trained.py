"""What a training left: its history, its model, and what that says of new items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfc import stages, texts
from mfc.dsl import ir
from mfc.dsl.values import INIT
from mfc.evaluations import confusion_of, top_losses_of
from mfc.runtime.errors import RunError
from mfc.runtime.training.history import read_history
from mfc.stages import Means

if TYPE_CHECKING:
    from PIL.Image import Image

    from mfc.predicting import Predictor
    from mfc.runtime.training.activations import Activations
    from mfc.runtime.training.findings import ConfusionMatrix, TopLoss
    from mfc.runtime.training.learner import Learner
    from mfc.runtime.training.predict import Prediction, Predictions


@dataclass(frozen=True)
class Trained:
    """The result of a train: its history, its folder, and its learner, built again where this process did not
    train it."""

    stage: ir.Stage
    folder: Path
    inputs: Mapping[str, Path] = field(repr=False)
    means: Means = field(repr=False)
    trained: Learner | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<Trained {self.stage.name} in {self.folder}>"

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch: `epoch`, `phase`, `train_loss`, `valid_loss`, the metrics, `time` in seconds, `lr`."""
        return read_history(self.folder)

    @property
    def epoch(self) -> int | None:
        """The epoch whose weights the model has: the last one, or the one that `save_best` kept; None where a callback
        ended the training within its first epoch."""
        return stages.standing(self.folder)

    @cached_property
    def result(self) -> dict[str, float]:
        """The losses of that `epoch` and the metrics that the spec asks for. One that was not measured when the
        training ran is measured now, on the validation part."""
        return stages.result(self.stage, self.folder, lambda: self.learner)

    @property
    def init(self) -> list[dict[str, Any]]:
        """What initializers that read data report of the first weights, such as `lsuv`: `initializer` and its
        `report`, a row for each layer with its mean and std `before` and `after`."""
        folder = self.inputs.get(f"{self.stage.recipe['train']}.{INIT}")
        return stages.read_init(folder) if folder is not None else []

    @property
    def weights(self) -> Path:
        """The trained weights, a safetensors file."""
        return self.folder / "model.safetensors"

    @cached_property
    def learner(self) -> Learner:
        """The learner with the trained model."""
        return self.trained or stages.restore(self.stage, self.inputs, self.folder, self.means)

    @property
    def activations(self) -> Activations:
        """What `activation_stats` recorded; with several of them, the first one's. Raises RunError R0245."""
        from mfc.runtime.training.activations import read_activations

        return read_activations(self.folder)

    def predict(self, item: str | Path | Image) -> Prediction:
        """What the model says of one item, prepared as the validation items were: an image by its path or as Pillow has
        it, a text by itself. Raises RunError R0503 for what is no item, and for language models."""
        return self._predictor.one(item)

    def predict_files(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        images: str | None = None,
        batch_size: int | None = None,
        failed: Callable[[RunError], None] | None = None,
    ) -> Iterator[tuple[str, Prediction]]:
        """What the model says of files, in order, each with its path, while they are read: they need not fit into
        memory.

        Args:
            paths: of files; of folders, which are walked as the data block's source does; of tables, where it is one.
                A path that is in no list stands for itself.
            images: the folder of the images that tables name; a table's own by default.
            batch_size: items that the model sees together; as in validation by default.
            failed: gets what is wrong with a file that can't be predicted, and the others go on; it is raised if None.

        Raises:
            RunError: R0503 for language models, and what is wrong with a file.
        """
        return self._predictor.files(paths, images=images, batch_size=batch_size, failed=failed)

    def predict_texts(self, those: Iterable[str], *, batch_size: int | None = None) -> Iterator[Prediction]:
        """What a classifier of texts says of texts, or of one, in order, while they come. Raises RunError R0503 for
        other models."""
        return self._predictor.texts(those, batch_size=batch_size)

    @property
    def _predictor(self) -> Predictor:
        from mfc.predicting import Predictor

        return Predictor([self])

    def confusion_matrix(self, part: str = "valid") -> ConfusionMatrix:
        """How often the model takes each class for each, on a part of its data. Raises RunError R0218."""
        return confusion_of(self.stage, self.learner, part)

    def top_losses(self, count: int = 9, part: str = "valid") -> list[TopLoss]:
        """The items of a part of its data of which the model is most wrong. Raises RunError R0218."""
        return top_losses_of(self.stage, self.learner, count, part)

    def tta(self, n: int = 4, beta: float = 0.25, part: str = "valid") -> Predictions:
        """Predictions for a part of its data with test-time augmentation: see `mfc.runtime.training.tta`. Raises
        RunError R0218."""
        from mfc.runtime.training.tta import tta

        return tta(self.learner, part, n, beta)

    def attention(self, text: str, label: str | None = None) -> list[tuple[str, float]]:
        """The tokens of a text, each with how much it counts for a label, from 0 to 1; for the predicted one if no
        label is given."""
        return texts.attention(self.stage, self.inputs, self.learner, text, label)

    def generate(
        self,
        prompt: str = "",
        count: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> str:
        """A text that a language model makes up.

        Args:
            prompt: how it begins.
            count: tokens at most that follow.
            temperature: below 1 likely tokens come more often.
            top_k: draws only from so many of the most likely tokens.
            seed: the same one draws the same text.
        """
        options = {"count": count, "temperature": temperature, "top_k": top_k, "seed": seed}
        return texts.generate(self.stage, self.inputs, self.learner, prompt, **options)
