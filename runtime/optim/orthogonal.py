"""The nearest matrix with orthogonal rows or columns, about, by products alone."""

from __future__ import annotations

import torch

from mfc.runtime.bfloat16 import has_bf16
from mfc.runtime.optim.parts import wide

LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315
"""Of K. Jordan, "Muon": the slope at 0 is as large as can be, while what is near 1 stays within about 0.7 and 1.2."""

SMALL = 2_097_152
"""Multiplications of a product up to which a CPU takes longer to change to bfloat16 than it wins by it."""


def orthogonalised(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """`U V'` of a matrix `U S V'`, about: all of its singular values become 0.7 to 1.2, but for those that were close
    to 0 beside the largest.

    Newton-Schulz iterations of fifth order; in bfloat16 where the device computes in it by itself, else in float32,
    as are small matrices on a CPU. A matrix of zeros stays one.

    Args:
        matrix: `rows columns`.
    Returns:
        `rows columns`, in the type that it was computed in.
    """
    norm = torch.linalg.vector_norm(matrix, dtype=wide(matrix.dtype)).clamp_(min=1e-7)
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.mT if tall else matrix).div(norm)  # no singular value is above 1
    small = x.device.type == "cpu" and len(x) * x.numel() <= SMALL
    x = x.to(torch.bfloat16 if has_bf16(x.device) and not small else torch.float32)
    other, square, polynomial = torch.empty_like(x), *(x.new_empty(2, len(x), len(x)))
    for _ in range(steps):
        torch.mm(x, x.mT, out=square)
        torch.addmm(square, square, square, beta=CUBIC, alpha=QUINTIC, out=polynomial)
        torch.addmm(x, polynomial, x, beta=LINEAR, out=other)
        x, other = other, x
    return x.mT if tall else x
