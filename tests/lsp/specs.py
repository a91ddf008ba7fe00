"""The files that features are tried on: with mistakes in the middle, lines that end as on Windows, and letters that are
one code point, two units of UTF-16 and four bytes."""

from __future__ import annotations

from pathlib import Path

BLOCKS = """## A linear layer 🙂 with what comes behind it.
block dense(nf,act=true) {
    linear(nf)
    if act { relu() }
}
"""

SPEC = """\
import "blocks.mfs" (dense)
use "mine.py" (double)

## How wide 🙂 the net is.
param width: int = 32 in 1..1024
let tenth = 1 / 10  # 👩\u200d🔬 a tenth 🙂

data digits: image -> category {
    source           = builtin("digits")
    split            = random(valid = 0.2, seed = 42)
    label  = parent()
    item_transforms  = [resize(8)]
    batch_transforms = [rotate(10), normalize(digits_stats)]
    batch_size       = 64
}

data broken: image -> category {
    source = builtin("digits"
    split  = = random(valid = 0.2)
}

model net {
    # 🙂🙂
    group body {
        flatten() /* 🙂 */
        dense(width)
        double()
    }
    group head { linear(digits.classes) }
}

train fit {
    data      = digits
    model     = net
    loss      = cross_entropy(label_smoothing = tenth)
    optimizer = adam()
    schedule  = one_cycle(lr = 3e-3)
    metrics   = [accuracy()]
    epochs    = 2
}
""".replace(" /* 🙂 */", "  # 🙂").replace("\n", "\r\n")

MINE = """# 🙂
import mfc


@mfc.layer(shape="b n -> b n")
class double:
    "Doubles what comes in."

    def forward(self, x):
        return 2 * x
"""


def write(folder: Path) -> None:
    (folder / "blocks.mfs").write_text(BLOCKS)
    (folder / "mine.py").write_text(MINE)
    (folder / "spec.mfs").write_bytes(SPEC.encode())
