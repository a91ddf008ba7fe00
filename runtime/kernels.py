"""torch's functions over many tensors at once. They are in none of its public types, and another version may change
them: this is the one place that names them."""

from __future__ import annotations

from typing import Any

import torch

_torch: Any = torch

copy_all: Any = _torch._foreach_copy_
"""`(tensors, others)`: puts the numbers of others into tensors."""

multiply_all: Any = _torch._foreach_mul_
"""`(tensors, factor)`, in place."""

lerp_all: Any = _torch._foreach_lerp_
"""`(tensors, others, share)`: moves tensors by a share of the way to others, in place."""

norms: Any = _torch._foreach_norm
"""`(tensors)` -> the norm of each, a tensor of one number."""

unscale_all: Any = _torch._amp_foreach_non_finite_check_and_unscale_
"""`(tensors, found, factor)`: multiplies tensors of one device and type in place; `found` becomes 1 where a number is
not finite."""

fused_adam: Any = _torch._fused_adam_
fused_adamw: Any = _torch._fused_adamw_
fused_sgd: Any = _torch._fused_sgd_
"""Updates of a whole optimizer in one pass, as torch's own optimizers call them."""
