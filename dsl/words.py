"""The words of the language: what each means, how it is written, an example. The reference shows them.

Fields have theirs in `mfc.dsl.fields`, functions in `mfc.dsl.functions`, components in their source.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Word(NamedTuple):
    """A word of the language. `form` is how it is written, with names in capitals for what a spec chooses."""

    form: str
    doc: str
    example: str = ""

    @property
    def summary(self) -> str:
        """The first sentence of its documentation."""
        return first_sentence(self.doc)


def first_sentence(text: str) -> str:
    """A text up to the full stop that another sentence follows."""
    text = " ".join(text.partition("\n\n")[0].split())
    end = re.search(r"(?<![ (][A-Z])\.(?= [A-Z`])", text)
    return text[: end.end()] if end else text


DECLARATIONS = {
    "import": Word(
        'import "FILE.mfs" (NAME, ...)',
        "Brings declarations of another file in by name. A path is relative to the file that names it, and stays within "
        "the folder of the spec; one that begins with `std/` is a file that ships with mfc.",
        'import "std/xresnet.mfs" (xresnet34)',
    ),
    "use": Word(
        'use "FILE.py" (NAME, ...)',
        "Brings in components that you wrote in Python. A check reads the file as text and never runs it; a run "
        "imports it.",
        'use "layers.py" (coord_conv)',
    ),
    "language": Word(
        "language VERSION",
        "The version of the language that a file is written in, a whole number. Optional, and first in the file if it "
        "is there; without it a file is read as version 1.",
        "language 1",
    ),
    "param": Word(
        "param NAME: TYPE = DEFAULT in DOMAIN",
        "A value that can be set from outside: `--set NAME=VALUE` on the command line, a keyword argument of "
        "`mfc.load`. Default and domain may be left out; both the default and a value from outside are checked against "
        "type and domain. A param without default must be set to run the spec.",
        "param size: int = 128 in 32..512",
    ),
    "let": Word(
        "let NAME = EXPRESSION",
        "A constant. At the top of a file it is seen everywhere, in a body only there. It never changes a value that "
        "exists. In a model `let s = x` keeps the current tensor, `let s = branch { ... }` what layers make of it, and "
        "`let f = module { ... }` layers that are used several times.",
        "let widths = [32, 64, 128]",
    ),
    "data": Word(
        "data NAME(PARAMETERS): INPUT -> TARGET { FIELDS }",
        "A data block: what goes into a model and what comes out of it, where the items are, which of them train and "
        "which validate, and what is done to them. Its name stands for the data in a train; `NAME.train`, `.valid`, "
        "`.test` and `.all` are its parts.",
        "data digits: image -> category {\n"
        '    source = builtin("digits")\n'
        "    split  = random(valid = 0.2)\n"
        "    label  = parent()\n"
        "}",
    ),
    "tokenizer": Word(
        "tokenizer NAME = EXPRESSION",
        "A tokenizer that several data blocks share. It learns its vocabulary from the texts that `fit_on` names.",
        "tokenizer pieces = sentencepiece(vocab_size = 8_000, fit_on = corpus.train.texts)",
    ),
    "optimizer": Word(
        "optimizer NAME(PARAMETERS) = EXPRESSION",
        "An optimizer of your own, put together from stats and steppers, or one with arguments that several trains "
        "share.",
        "optimizer heavy_ball(wd = 0.01) = stateful(\n"
        "    stats    = [average_grad(mom = 0.9)],\n"
        "    steppers = [weight_decay(wd), momentum_step()]\n"
        ")",
    ),
    "block": Word(
        "block NAME(PARAMETERS) { LAYERS }",
        "Layers that are used in several places. Each call makes new weights.",
        "block conv_layer(nf, stride = 1) {\n"
        "    conv2d(nf, 3, stride = stride, bias = false)\n"
        "    batchnorm()\n"
        "    relu()\n"
        "}",
    ),
    "model": Word(
        "model NAME(PARAMETERS) { LAYERS }\nmodel NAME(PARAMETERS) = EXPRESSION",
        "A model: layers, each applied to what the one before it gives. It gets the shape of its input from the train "
        "that pairs it with data; one that no train uses says it itself, with the field `input`. With parameters it is "
        "a function that makes models.",
        "model net {\n"
        "    group body {\n"
        "        for nf in [32, 64, 128] { conv2d(nf, 3, stride = 2)  relu() }\n"
        "    }\n"
        "    group head {\n"
        "        adaptive_avg_pool(1)\n"
        "        flatten()\n"
        "        linear(digits.classes)\n"
        "    }\n"
        "}",
    ),
    "train": Word(
        "train NAME(PARAMETERS) { FIELDS AND PHASES }",
        "A training recipe. Its name stands for the trained model: `NAME.GROUP` are the weights of one of its groups, "
        "`NAME.history` is its history. Several steps that go on from one another are phases.",
        "train fit {\n"
        "    data      = digits\n"
        "    model     = net\n"
        "    loss      = cross_entropy()\n"
        "    optimizer = adam(wd = 1e-2)\n"
        "    schedule  = one_cycle(lr = 3e-3)\n"
        "    metrics   = [accuracy()]\n"
        "    epochs    = 5\n"
        "}",
    ),
    "evaluate": Word(
        "evaluate NAME(PARAMETERS) { FIELDS }",
        "Measures trained models in evaluation form, one, several or an ensemble, and writes what they predict. One of "
        "`metrics`, `predictions` and `top_losses` is needed.",
        "evaluate on_train { model = fit  data = digits.train  metrics = [accuracy()] }",
    ),
    "export": Word(
        "export NAME(PARAMETERS) { FIELDS }",
        "Writes a trained model as a file that leaves the store: a bundle, a graph of ONNX, a program of torch.",
        "export deploy { model = fit  format = bundle() }",
    ),
}
"""The words that open declarations."""

STATEMENTS = {
    "phase": Word(
        "phase NAME { FIELDS }",
        "A step of a train. Phases run in order and go on with the same model, history and count of epochs. Each is a "
        "stage of its own, so that another one after it does not train those before it again.",
        "phase head { freeze_to = -1  epochs = 1  schedule = one_cycle(lr = 2e-2) }",
    ),
    "group": Word(
        "group NAME { LAYERS }",
        "Names a part of a model: a parameter group for `freeze_to` and rates that differ, a prefix of the names of "
        "weights, and what `weights = other.NAME` refers to. Groups can stand in groups; a parameter belongs to the "
        "innermost one.",
        "group head { flatten()  linear(10) }",
    ),
    "branch": Word(
        "let NAME = branch { LAYERS }",
        "Keeps what the layers make of the current tensor; the current tensor stays what it was.",
        "let shortcut = branch { conv2d(16, 1) }",
    ),
    "module": Word(
        "let NAME = module { LAYERS }",
        "Layers that are built once. `apply(NAME)` uses them, as often as it is written, with the same weights.",
        "let f = module { linear(16)  relu() }",
    ),
    "apply": Word(
        "apply(MODULE)",
        "Applies a module that was kept with `let f = module { ... }`; the weights are the same at each use.",
        "let f = module { linear(8) }  apply(f)  apply(f)",
    ),
    "from": Word("from(TENSOR)", "Makes a kept tensor the current one.", "let s = x  relu()  from(s)"),
    "add": Word(
        "add(TENSOR)",
        "Adds a kept tensor to the current one. Their shapes are equal, except that a dimension of size 1 is repeated.",
        "let s = x  relu()  add(s)",
    ),
    "sub": Word(
        "sub(TENSOR)",
        "Subtracts a kept tensor from the current one. Their shapes are equal, except that a dimension of size 1 is "
        "repeated.",
        "let s = x  relu()  sub(s)",
    ),
    "mul": Word(
        "mul(TENSOR)",
        "Multiplies the current tensor with a kept one, number by number. Their shapes are equal, except that a "
        "dimension of size 1 is repeated.",
        "let s = x  sigmoid()  mul(s)",
    ),
    "matmul": Word(
        "matmul(TENSOR)",
        "The matrix product of the current tensor, `... n k`, with a kept one, `... k m`.",
        "let s = x  relu()  matmul(s)",
    ),
    "concat": Word(
        "concat(TENSOR, ...)",
        "Joins the current tensor with kept ones along the channels; along the features, where there are no channels.",
        "let s = x  relu()  concat(s)",
    ),
}
"""The words of statements in bodies, beside the names of layers and blocks."""

EXPRESSIONS = {
    "if": Word(
        "if CONDITION { ... } else { ... }\nif CONDITION then VALUE else VALUE",
        "A choice, made while the spec is compiled: of statements in a body, or of a value in an expression. Where the "
        "condition depends on data that has not been read yet, both branches are checked.",
        "let width = if 2 > 1 then 64 else 32",
    ),
    "then": Word(
        "if CONDITION then VALUE else VALUE", "Stands between the condition of a choice and its value."
    ),
    "else": Word(
        "if CONDITION then VALUE else VALUE",
        "The value, or the statements, where the condition of an `if` does not hold. An expression needs it; in a body "
        "it may be left out, and another `if` may follow it.",
    ),
    "for": Word(
        "for NAME, ... in LIST { ... }\n[VALUE for NAME, ... in LIST if CONDITION]",
        "Repeats statements of a body for each item of a list, or makes a list of a value for each item. Several names "
        "take items apart that are lists.",
        "let widths = [32 * 2 ** i for i in range(4) if i != 1]",
    ),
    "in": Word(
        "VALUE in LIST\nparam NAME: TYPE = DEFAULT in DOMAIN",
        "Whether a list has an item. In a `for` it stands before the list, in a param before the domain: `a..b`, which "
        "holds both ends, or `log(a, b)` with a logarithmic scale.",
        "let known = 2 in [1, 2, 3]",
    ),
    "log": Word(
        "param NAME: TYPE = DEFAULT in log(LOWEST, HIGHEST)",
        "The domain of a param with a logarithmic scale; it holds both ends, which are above 0.",
        "param lr: float = 3e-3 in log(1e-5, 1)",
    ),
    "and": Word(
        "A and B", "True where both are; what stands behind it is only looked at where the first is."
    ),
    "or": Word(
        "A or B", "True where one is; what stands behind it is only looked at where the first is not."
    ),
    "not": Word("not A", "True where a condition is false. `a not in b` is the opposite of `a in b`."),
    "true": Word("true", "The boolean that holds."),
    "false": Word("false", "The boolean that does not hold."),
    "none": Word(
        "none",
        "No value. An item of a list that is `none` is left out, and a field that is `none` counts as not written, so "
        "that a part can be switched.",
        "let fast = false\nlet extras = [if fast then 1 else none, 2]",
    ),
    "x": Word(
        "x.ATTRIBUTE",
        "In a body, the tensor before the layer at that point. `let s = x` keeps it. The name is reserved.",
    ),
}
"""The words of expressions."""

TYPES = {
    "int": Word("int", "A whole number; it is taken for a `float` as well.", "param size: int = 64"),
    "float": Word("float", "A number.", "param lr: float = 3e-3"),
    "bool": Word("bool", "`true` or `false`.", "param fast: bool = false"),
    "string": Word("string", "A text.", 'param column: string = "label"'),
    "path": Word(
        "path",
        "The name of a file or folder. A relative one starts from the folder of the spec, `~` is the home folder.",
        'param root: path = "~/data"',
    ),
    "choice": Word(
        "choice(VALUE, ...)",
        "One of some words, strings or numbers. A word is written without quotes.",
        "param arch: choice(small, large) = small",
    ),
    "list": Word(
        "list(TYPE)", "A list whose items are of one type.", "param layers: list(int) = [2, 2, 2, 2]"
    ),
}
"""The types of params and of parameters of declarations."""

INPUTS = {
    "image": Word(
        "image",
        "Images with 1 or 3 channels. A model that no train uses says the size of its input by it: "
        "`input = image(CHANNELS, HEIGHT, WIDTH)`.",
    ),
    "text": Word(
        "text\ntext(backwards = BOOL)", "Texts, cut into tokens; `backwards` reads each from its end."
    ),
    "table": Word("table", "Rows of a table. They are checked; this version does not run them."),
    "audio": Word("audio", "Recordings. They are checked; this version does not run them."),
}
"""What a data block's items are."""

TARGETS = {
    "category": Word("category", "One class of several. Predictions are scores, a number for each class."),
    "multi_category": Word(
        "multi_category", "Any number of classes, also none. Predictions are a score for each."
    ),
    "mask": Word("mask", "A class for each pixel of an image."),
    "value": Word("value", "A number, or a list of as many numbers for each item."),
    "next_token": Word(
        "next_token(seq_len = 72, backwards = BOOL)",
        "The token after each token of a text, for language models: `batch_size` rows of text that go on from batch to "
        "batch, `seq_len` tokens of each at a time.",
    ),
}
"""What is to be predicted."""

TENSOR = {
    "channels": Word("x.channels", "How many channels a tensor has: the second dimension of three or four."),
    "height": Word("x.height", "The height of images: the third dimension of four."),
    "width": Word("x.width", "The width of images: the last dimension of four."),
    "length": Word("x.length", "The length of sequences: the last dimension of three."),
    "features": Word("x.features", "The size of a tensor's last dimension."),
    "shape": Word("x.shape", "The sizes of all dimensions as a list, the batch first."),
}
"""Attributes of the current tensor and of kept ones."""

DATA = {
    "classes": Word(
        "DATA.classes", "The number of classes, known once the labels were read. A model may use it before."
    ),
    "values": Word("DATA.values", "How many numbers an item has whose target is `value`."),
    "vocab_size": Word("DATA.vocab_size", "How many tokens there are, known once the tokenizer was fitted."),
    "train": Word("DATA.train", "The part of the data that is trained on."),
    "valid": Word("DATA.valid", "The part of the data that validates."),
    "test": Word("DATA.test", "What the split leaves out."),
    "all": Word("DATA.all", "The parts that train and validate, together."),
}
"""Attributes of data blocks."""

PART = {
    "texts": Word("DATA.PART.texts", "The texts of a part, for a tokenizer's `fit_on`."),
    "class_counts": Word(
        "DATA.train.class_counts", "How many items of each class are trained on, as a list."
    ),
}
"""Attributes of parts of data blocks."""

TRAINED = {
    "history": Word("TRAIN.history", "What a training recorded: its losses and metrics, epoch by epoch."),
}
"""Attributes of trains, beside the names of their model's groups, which stand for the weights of these."""

ATTRIBUTES = {"tensor": TENSOR, "data block": DATA, "part": PART, "train": TRAINED}
"""Attributes by what they are attributes of."""

KINDS = {
    "source": "Where the items of a data block come from.",
    "splitter": "Divides the items of a data block into those that train and those that validate.",
    "labeler": "Finds the label of an item: in its path, in a column of a table, in a file of its own.",
    "processor": "Acts on a table's columns, and is fitted on the training part only.",
    "item_transform": "Acts on one item while it is loaded, before batches are made.",
    "batch_transform": "Acts on a whole batch on the training device, with a draw of its own for each item.",
    "tokenizer": "Cuts texts into tokens, and learns which there are.",
    "layer": "A part of a model: takes the current tensor, and gives the next one.",
    "architecture": "A whole model as one component.",
    "encoder": "Makes features of tokens: what several models of texts share.",
    "initializer": "Gives a fresh model its first weights.",
    "loss": "What a training makes small.",
    "metric": "What is measured on items that were not trained on.",
    "stat": "A running statistic of the gradients, which the steppers of an optimizer read.",
    "stepper": "One part of an optimizer's update.",
    "optimizer": "Changes the weights after each batch.",
    "rate": "A learning rate that differs from one parameter group to the next.",
    "curve": "The course of one hyperparameter over a run.",
    "schedule": "The course of hyperparameters over a run.",
    "callback": "Acts at events of the training loop: precision, regularisation, logs, checkpoints.",
    "table_format": "The form of a table of predictions.",
    "export_format": "The form of an exported model.",
}
"""What components of a kind do."""

OF_KIND = {
    "layer": {
        "tie": "a module kept with `let f = module { ... }`, whose weights it takes.",
        "eps": "added to the variance, so that nothing is divided by 0.",
    },
    "tokenizer": {
        "fit_on": "the texts that it learns from, such as `corpus.train.texts`, or a list of them."
    },
    "optimizer": {
        "lr": "the learning rate, which a schedule may drive; one for each group with `spread(...)`.",
        "mom": "how much of the average of gradients stays at each update.",
        "sqr_mom": "how much of the average of squared gradients stays at each update.",
        "eps": "added to the denominator, so that nothing is divided by 0.",
        "wd": "weight decay: the share of a weight that an update at a rate of 1 takes away.",
        "decouple_wd": "whether weights decay apart from the gradient; else the decay is a penalty in it.",
        "wd_bn_bias": "whether biases and norm layers decay, too.",
    },
    "stepper": {"wd": "weight decay.", "eps": "added to the denominator, so that nothing is divided by 0."},
    "curve": {
        "start": "the first value, or one for each group: `spread(...)`.",
        "end": "the last value, or one for each group.",
    },
    "schedule": {"lr": "the learning rate; one for each group with `spread(...)`."},
}
"""What arguments of these names are, in any component of a kind that says nothing of them itself."""
