"""The forward and backward pass as compiled code."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import torch

from mfc.runtime.component import callback
from mfc.runtime.errors import RunError
from mfc.runtime.training.events import Callback

BACKEND = "inductor"


@callback(once=True)
class compile(Callback):
    """Compiles the model with `torch.compile`: fewer passes over memory, at the price of a minute or so at the start.

    The weights, their names and the hooks on layers stay as they are; dropout draws other numbers than without. It is
    compiled anew for each phase, for training and validation, and for each shape of a batch. Modes of torch that replay
    CUDA graphs are left out, as these overwrite gradients that several batches gather.

    Raises R0215 where it can't be compiled, as without a C++ compiler, and R0216 for batches of too many shapes.

    Args:
        mode: `"max-autotune-no-cudagraphs"` tries several kernels for each product, which takes longer.
        dynamic: one code for batches of all sizes, as for texts. Without, there is one for each shape of a batch: a
            smaller last one is a shape of its own.
    """

    in_trials = False  # compiling takes longer than a hundred batches
    order = -30  # before_fit: what is compiled is the model alone

    inner: Any = None  # what `forward` was before
    compiled: Any = None

    def __init__(
        self, mode: Literal["default", "max-autotune-no-cudagraphs"] = "default", dynamic: bool = False
    ) -> None:
        self.mode, self.dynamic = mode, dynamic

    def before_fit(self) -> None:
        from torch._dynamo import config

        if self.learner.device.type == "cpu" and BACKEND == "inductor":
            require_compiler()
        torch.compiler.reset()  # codes of earlier phases count against the limit of those that are kept
        self.settings = ExitStack()
        self.settings.enter_context(
            config.patch(fail_on_recompile_limit_hit=True)
        )  # else the rest is not compiled
        self.inner = self.learner.forward
        mode = self.mode if BACKEND == "inductor" else None
        self.compiled = torch.compile(self.inner, backend=BACKEND, mode=mode, dynamic=self.dynamic)
        self.learner.forward = self.forward

    def forward(self, x: Any) -> Any:
        """The model's prediction by the compiled code; the first one for a new shape compiles it."""
        from torch._dynamo import exc

        try:
            return self.compiled(x)
        except exc.FailOnRecompileLimitHit as error:
            message = "the model was compiled for so many shapes of batches that torch.compile gives up"
            help = "use `compile(dynamic = true)`" if not self.dynamic else "leave compile() out"
            raise RunError("R0216", message, help=help) from error
        except exc.TorchDynamoException as error:
            raise _failed(error) from error

    def after_fit(self) -> None:
        if self.inner is not None:
            self.settings.close()
            self.learner.forward, self.inner, self.compiled = self.inner, None, None

    on_exception = after_fit


def require_compiler() -> None:
    """Raises R0215 where torch finds no C++ compiler. Some passes need none, so that it might be missed late."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        help = "install g++ or clang++, or leave compile() out"
        raise RunError("R0215", "compile() needs a C++ compiler, and there is none", help=help) from error


def _failed(error: BaseException) -> RunError:
    """R0215, with the reason that torch gives."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    message = f"torch.compile failed: {type(error).__name__}: {reason}"
    return RunError("R0215", message, help="leave compile() out")
