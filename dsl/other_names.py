"""What fastai and PyTorch call things, for those who look for them by these names."""

from __future__ import annotations

from collections.abc import Collection

from mfc.dsl.suggest import hint, plain

OTHERS = {
    "callback": {
        "save_best": "save_model save_model_callback",
        "checkpoint": "model_checkpoint",
        "early_stopping": "early_stopping_callback",
        "reduce_on_plateau": "reduce_lr_on_plateau reduce_lr_on_plateau_callback",
        "gradient_clip": "clip_grad_norm gradient_clipping clip_gradients",
        "ema": "ema_callback swa averaged_model",
        "tensorboard": "tensor_board_callback",
        "channels_last": "to_channels_last",
        "mixed_precision": "to_bf16 bf16 amp autocast",
        'mixed_precision(dtype = "fp16")': "to_fp16 fp16 grad_scaler",
        "rnn_regularizer": "rnn_callback",
    },
    "loss": {
        "cross_entropy": "cross_entropy_loss cross_entropy_loss_flat nll nll_loss ce",
        "label_smoothing_cross_entropy": "label_smoothing label_smoothing_cross_entropy_flat",
        "bce": "bce_loss bce_with_logits bce_with_logits_loss bce_with_logits_loss_flat",
        "focal": "focal_loss focal_loss_flat",
        "dice": "dice_loss",
        "mse": "mse_loss mse_loss_flat mean_squared_error",
        "l1": "l1_loss l1_loss_flat mae mean_absolute_error",
    },
    "metric": {
        "f_beta": "f1 f1_score f1_score_multi f_beta_multi fbeta_score",
        "roc_auc": "auc auroc roc_auc_binary roc_auc_multi roc_auc_score",
        "matthews": "mcc matthews_corr_coef matthews_corr_coef_multi",
        "iou": "jaccard jaccard_coeff jaccard_coeff_multi mean_iou miou",
        "dice": "dice_multi dice_coeff",
        "top_k_accuracy": "top_k top5 top_5_accuracy",
        "r2": "r2_score",
        "mae": "l1 l1_loss mean_absolute_error",
        "mse": "mean_squared_error mse_loss",
    },
    "optimizer": {"sgd(mom = 0.9)": "sgd_momentum"},
    "source": {"image_files": "get_image_files", "text_files": "get_text_files"},
    "splitter": {
        "random": "random_splitter train_test_split train_test_splitter",
        "grandparent": "grandparent_splitter",
        "index": "index_splitter",
        "by_column": "col_splitter",
        "file_list": "file_splitter",
    },
    "tokenizer": {
        "sentencepiece": "sentence_piece_tokenizer subword_tokenizer sub_word_tok",
        "words": "word_tokenizer spacy_tokenizer",
    },
    "labeler": {"parent": "parent_label", "regex": "regex_labeller", "column": "col_reader"},
    "schedule": {
        "flat": "constant const",
        "one_cycle": "fit_one_cycle one_cycle_lr",
        "sgdr": "fit_sgdr cosine_annealing_warm_restarts",
        "flat_cos(lr, pct_start = 0)": "cosine cosine_annealing cosine_annealing_lr cos_annealing",
        "param_scheduler(lr = lin(..., ...))": "lin linear linear_lr sched_lin",
        "param_scheduler(lr = cos(..., ...))": "cos sched_cos",
        "param_scheduler(lr = exp(..., ...))": "exp exponential exponential_lr sched_exp",
        "param_scheduler(lr = poly(..., ..., power = 2))": "poly polynomial_lr sched_poly",
        "param_scheduler(lr = combine([...], [const(...), ...]))": "combine step_lr multi_step_lr combine_scheds",
        "one_cycle(lr = spread(..., ...))": "spread",
    },
    "rate": {"spread": "slice discriminative"},
    "layer": {
        "relu(leak = 0.1)": "leaky_relu",
        "relu(maxv = 6)": "relu6",
        "silu": "swish",
        "tconv2d": "conv_transpose2d transposed_conv",
        "squeeze_excite": "se_module se",
        "transpose": "permute swap_axes",
        "linear": "dense lin",
        "reshape": "view unflatten",
        "batchnorm": "batch_norm2d batch_norm1d bn",
        "max_pool": "max_pool2d",
        "avg_pool": "avg_pool2d",
        "adaptive_avg_pool": "adaptive_avg_pool2d",
        "adaptive_max_pool": "adaptive_max_pool2d",
    },
    "initializer": {
        "kaiming": "kaiming_normal he he_normal init_cnn",
        "kaiming(uniform = true)": "kaiming_uniform he_uniform",
        "xavier": "xavier_normal glorot glorot_normal",
        "xavier(uniform = true)": "xavier_uniform glorot_uniform",
    },
}
"""What to write, by kind, and the other names of it."""

NEEDLESS = {
    "terminate_on_nan terminate_on_nan_callback": "a loss that is no number always ends the training",
    "progress progress_bar progress_callback": "a terminal shows a bar, any other output a line for each epoch",
    "recorder json_logger jsonl_logger": "`history.jsonl` in the run's folder always has the history",
    "softmax log_softmax": "losses and metrics take what comes before a softmax",
    "freeze_to": "a phase says what it trains: `phase head { freeze_to = -1  epochs = 1 }`",
    "identity": "a layer that does nothing need not stand there",
}
"""Names of what a spec need not say, and why."""

THINGS = {
    "vision_learner cnn_learner": 'a train has a model: `model NAME = learner(torchvision_body("resnet34", pretrained = true), '
    'classes = ...)`, with `import "std/head.mfs" (learner)`',
    "unet_learner": '`import "std/unet.mfs"` has models for a train of masks',
    "text_classifier_learner": "a train has a model: `text_classifier(...)`",
    "language_model_learner": "a train has a model: `language_model(...)`",
    "data_block image_data_loaders segmentation_data_loaders text_data_loaders data_loader dataset datasets": "items, "
    "splits and labels are those of a data block: `data NAME: image -> category { ... }`",
    "image_block": "a data block says what goes in: `data NAME: image -> category { ... }`",
    "text_block": "a data block says what goes in: `data NAME: text -> category { ... }`",
    "category_block": "a data block says what is to be found: `data NAME: image -> category { ... }`",
    "multi_category_block": "a data block says what is to be found: `data NAME: image -> multi_category { ... }`",
    "mask_block": "a data block says what is to be found: `data NAME: image -> mask { ... }`",
    "regression_block": "a data block says what is to be found: `data NAME: image -> value { ... }`",
    "sequential": "the layers of a body follow each other: `model NAME { ... }`, or `block NAME { ... }` for a part of one",
    "wandb wandb_callback": "`tensorboard` and `csv_logger` write what a training tells, and so can a callback of your own",
    "freeze": "a phase trains its last group alone with `freeze_to = -1`",
    "unfreeze": "leave it out: a phase trains all groups unless it has `freeze_to = ...`",
    "lr_find lr_finder": "`mfc lr-find SPEC TRAIN` looks for a learning rate",
    "to_tensor": "leave it out: what goes into a model is a tensor",
}
"""What stands for a thing of fastai's or PyTorch's that is no component here."""

ASKED = {
    "fit": "`train NAME { ... }` says how a model is trained, with `epochs = ...` how long, and `mfc run SPEC` trains it",
    "fine_tune": "two phases do it: `phase head { freeze_to = -1  epochs = 1 }  phase all { epochs = 3 }`",
    "fit_one_cycle fit_flat_cos fit_sgdr": "write `epochs = ...` and `schedule = ...`, such as `one_cycle(lr = 1e-3)`",
    "lr learning_rate": "it is an argument of optimizers and schedules: see `adam` and `one_cycle`",
    "device cuda gpu": "`mfc run SPEC --device cuda` says where to run; without, it is a GPU if there is one",
    "predict": "`mfc predict SPEC TRAIN FILE...` predicts with what a train trained",
    "show_batch": "`mfc show SPEC DATA` shows the items and batches of a data block",
    "load_learner": "`mfc.load_bundle(...)` opens what an `export` with `format = bundle()` wrote",
}
"""What those look for who know fastai: in the reference, or by calling it where a field belongs. Elsewhere in a spec these
may be names that a user has yet to declare."""

MODULES = ("nn", "F", "optim", "torch")
"""Modules of Python before whose names a dot stands there."""

ARGUMENTS = {
    "lr": "lr_max max_lr learning_rate",
    "wd": "weight_decay",
    "mom": "momentum beta1",
    "sqr_mom": "alpha beta2 rho",
    "ks": "kernel_size",
    "nf": "out_channels out_features filters embedding_dim n_out",
    "n": "num_embeddings",
    "hidden": "hidden_size n_hid",
    "layers": "num_layers n_layers",
    "leak": "negative_slope",
    "groups": "num_groups",
    "scale": "scale_factor upscale_factor",
    "size": "output_size",
    "weights": "weight class_weights",
    "threshold": "thresh",
    "max_norm": "clip clip_norm",
    "batches": "n_acc steps",
    "div": "div_factor",
    "div_final": "final_div_factor",
    "pct_start": "pct",
}
"""Arguments, and the other names of them."""

FIELDS = {
    "data": "dls dataloaders data_loaders",
    "loss": "loss_func loss_fn criterion",
    "optimizer": "opt opt_func",
    "callbacks": "cbs",
    "schedule": "scheduler lr_scheduler",
    "epochs": "n_epoch n_epochs num_epochs max_epochs",
    "batch_size": "bs",
    "item_transforms": "item_tfms",
    "batch_transforms": "batch_tfms",
    "split": "splitter",
    "label": "get_y",
    "source": "get_items get_x",
    "workers": "num_workers",
}
"""Fields, and the other names of them."""

TYPES = {
    "string": "str text",
    "int": "integer long",
    "float": "double number real",
    "bool": "boolean",
    "path": "file folder dir directory",
    "choice": "enum Literal",
}
"""Types of params, and their names in Python and elsewhere."""


def _by_other_name(names: dict[str, str]) -> dict[str, str]:
    return {plain(other): name for name, others in names.items() for other in others.split()}


_OTHERS = {kind: _by_other_name(names) for kind, names in OTHERS.items()}
_ARGUMENTS = _by_other_name(ARGUMENTS)
_FIELDS = _by_other_name(FIELDS)
_TYPES = _by_other_name(TYPES)
_THINGS, _ASKED, _NEEDLESS = (
    {plain(other): said for others, said in names.items() for other in others.split()}
    for names in (THINGS, ASKED, NEEDLESS)
)


def component(word: str, kinds: Collection[str]) -> str:
    """A hint to what is meant by a name of fastai's or PyTorch's where components of these kinds are asked for; empty
    where nothing is known of it."""
    for kind in kinds:
        if found := _OTHERS.get(kind, {}).get(plain(word)):
            return _here_it_is(word, found)
    if not kinds:
        return ""
    return f"leave it out: {why}" if (why := _NEEDLESS.get(plain(word))) else _THINGS.get(plain(word), "")


def asked(word: str) -> str:
    """A hint for one who looks a name of fastai's or PyTorch's up, or calls it as fastai does to do something; empty where
    nothing is known of it."""
    return _ASKED.get(plain(word)) or _THINGS.get(plain(word), "")


def argument(word: str, names: Collection[str]) -> str:
    """A hint to which of these arguments is meant; empty where nothing is known of it."""
    if word == "betas" and {"mom", "sqr_mom"} <= set(names):
        return "here they are `mom` and `sqr_mom`"
    found = _ARGUMENTS.get(plain(word), "")
    return _here_it_is(word, found) if found in names else ""


def field(word: str, names: Collection[str]) -> str:
    """A hint to which of these fields is meant; empty where nothing is known of it."""
    if plain(word) in ("lr", "learningrate") and "optimizer" in names:
        return "it is an argument: `adam(lr = ...)` or, in a schedule, `one_cycle(lr = ...)`"
    found = _FIELDS.get(plain(word), "")
    return _here_it_is(word, found) if found in names else ""


def type_name(word: str) -> str:
    """A hint to which type is meant; empty where nothing is known of it."""
    return _here_it_is(word, found) if (found := _TYPES.get(plain(word))) else ""


def _here_it_is(word: str, found: str) -> str:
    said = f"here it is `{found}`"
    return hint(said, word, found) if found.isidentifier() else said
