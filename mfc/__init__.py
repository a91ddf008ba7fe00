"""mfc compiles `.mfs` specs of training jobs: it checks them before anything runs, and runs what is not up to date.

    spec = mfc.load("cifar10.mfs", size=64)   # never raises for a bad spec: spec.diagnostics
    job = mfc.compile(spec)                   # raises mfc.SpecError, which carries the diagnostics
    dls = job.build("cifar")                  # DataLoaders
    net = job.build("net")                    # torch.nn.Module
    run = job.run(device="cuda")              # every stage that is not up to date
    run["fit"].history
    bundle = mfc.load_bundle("deploy.zip")    # what `export deploy { model = fit  format = bundle() }` wrote

Components of one's own are written with the decorators here (`mfc.layer`, `mfc.loss`, ...), `mfc.In`,
`mfc.Range` and the other marks of annotations; see `mfc.runtime.component`. Batch transforms extend `mfc.Geometric`,
`mfc.Color` or `mfc.Pixels`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfc.bundle import Bundle as Bundle
    from mfc.bundle import load_bundle as load_bundle
    from mfc.dsl.diagnostics import Diagnostic as Diagnostic
    from mfc.job import Job as Job
    from mfc.job import Run as Run
    from mfc.runtime.component import AsManyAs as AsManyAs
    from mfc.runtime.component import In as In
    from mfc.runtime.component import Length as Length
    from mfc.runtime.component import Range as Range
    from mfc.runtime.component import Sum as Sum
    from mfc.runtime.component import Without as Without
    from mfc.runtime.data.batch_transforms import Pixels as Pixels
    from mfc.runtime.data.color import Color as Color
    from mfc.runtime.data.color import scale_and_shift as scale_and_shift
    from mfc.runtime.data.warp import Geometric as Geometric
    from mfc.runtime.errors import RunError as RunError
    from mfc.runtime.errors import RunInterrupted as RunInterrupted
    from mfc.runtime.export.exported import Exported as Exported
    from mfc.runtime.training.hooks import Hooks as Hooks
    from mfc.runtime.training.hooks import layers_matching as layers_matching
    from mfc.spec import Spec as Spec
    from mfc.spec import SpecError as SpecError
    from mfc.spec import load as load
    from mfc.trained import Trained as Trained

_HOMES = {
    "Bundle": "mfc.bundle",
    "Color": "mfc.runtime.data.color",
    "Diagnostic": "mfc.dsl.diagnostics",
    "Exported": "mfc.runtime.export.exported",
    "Geometric": "mfc.runtime.data.warp",
    "Hooks": "mfc.runtime.training.hooks",
    "Job": "mfc.job",
    "Pixels": "mfc.runtime.data.batch_transforms",
    "Run": "mfc.job",
    "RunError": "mfc.runtime.errors",
    "RunInterrupted": "mfc.runtime.errors",
    "Spec": "mfc.spec",
    "SpecError": "mfc.spec",
    "Trained": "mfc.trained",
    "layers_matching": "mfc.runtime.training.hooks",
    "load": "mfc.spec",
    "load_bundle": "mfc.bundle",
    "scale_and_shift": "mfc.runtime.data.color",
}


def compile(spec: Spec | str | os.PathLike[str], /, **settings: Any) -> Job:
    """The job that a spec, or the file of one with values for its params, describes. Raises SpecError, which carries
    the diagnostics, where it has errors."""
    from mfc.job import Job
    from mfc.spec import Spec, SpecError, load

    spec = spec if isinstance(spec, Spec) else load(spec, **settings)
    if not spec.ok:
        raise SpecError(spec.diagnostics)
    return Job(spec)


def run(spec: Spec | str | os.PathLike[str], /, **settings: Any) -> Run:
    """Loads, compiles and runs a spec, with values for its params. See `Job.run` for what more can be said."""
    return compile(spec, **settings).run()


def __dir__() -> list[str]:
    from mfc.runtime.component import KINDS, MARKS

    return sorted([*globals(), *_HOMES, *KINDS, *MARKS])


def __getattr__(name: str) -> Any:
    """Names are fetched from where they live when they are used, so that `import mfc` is quick."""
    home = _HOMES.get(name, "mfc.runtime.component")
    try:
        return getattr(import_module(home), name)
    except AttributeError:
        raise AttributeError(f"module 'mfc' has no attribute '{name}'") from None
