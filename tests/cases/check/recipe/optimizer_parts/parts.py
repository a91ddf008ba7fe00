from typing import Annotated

import mfc
import torch
from mfc.runtime.optim.parts import Part


@mfc.stat(keeps=("noise_avg",), reads=("grad_avg",))
class average_noise(Part):
    "Keeps the moving average of the squared distance of the gradient from its average."

    def __init__(self, noise_mom: Annotated[float, mfc.Range(0, below=1)] = 0.99):
        self.hypers = {"noise_mom": noise_mom}

    def __call__(self, piece, hyper):
        noise = torch.sub(piece.grad, piece.grad_avg, out=piece.scratch("average_noise"))
        piece.noise_avg.lerp_(noise.square_(), 1 - hyper["noise_mom"])


@mfc.stepper(reads=("grad_avg", "noise_avg"))
class belief_step(Part):
    "Steps against the averaged gradient, less where gradients differ much from it."

    def __init__(self, eps: Annotated[float, mfc.Range(0)] = 1e-8):
        self.hypers = {"eps": eps}

    def __call__(self, piece, hyper):
        root = torch.sqrt(piece.noise_avg, out=piece.scratch("belief_step")).add_(hyper["eps"])
        piece.p.addcdiv_(piece.grad_avg, root, value=-hyper["lr"])


@mfc.stepper(reads=("mystery",))
class mystery_step(Part):
    "Reads what nothing keeps."
