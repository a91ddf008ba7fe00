"""Images of noise in two folders, with a table of them and masks, and data blocks that read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

DATA = """
data kinds: image -> category {
    source           = image_files("images")
    split            = random(valid = 0.3)
    label            = parent()
    item_transforms  = [resize(12)]
    batch_transforms = [rotate(10), brightness(), random_crop(10), normalize(imagenet_stats)]
    batch_size       = 4
}
data tagged: image -> multi_category {
    source          = image_table("rows.csv", folder = "images", image = "{name}.png", channels = 1)
    split           = random(valid = 0.3)
    label           = column("tags", delimiter = " ")
    item_transforms = [resize_to(6, 8)]
    batch_size      = 4
}
data masked: image -> mask {
    source           = image_files("images/a")
    split            = random(valid = 0.3)
    label            = mask_file("{stem}.png", folder = "labels", codes = "codes.txt")
    item_transforms  = [resize(8)]
    batch_transforms = [flip(), normalize(imagenet_stats)]
    batch_size       = 4
}
"""


def write_images(folder: Path) -> None:
    """Sixteen images in `images/a` and `images/b`, their masks of two classes in `labels`, and `rows.csv`."""
    rows = ["name,tags,x,y\n"]
    for name in ("images/a", "images/b", "labels"):
        (folder / name).mkdir(parents=True)
    for i in range(16):
        label = "ab"[i % 2]
        image = Image.effect_noise((14, 13), 80).convert("RGB")
        image.save(folder / "images" / label / f"{i}.png")
        Image.fromarray(np.array(image)[..., 0] // 128).save(folder / "labels" / f"{i}.png")
        rows.append(f"{label}/{i},{'p q' if i % 3 else 'p'},{i},{-i / 3}\n")
    (folder / "codes.txt").write_text("dark\nbright\n")
    (folder / "rows.csv").write_text("".join(rows))
