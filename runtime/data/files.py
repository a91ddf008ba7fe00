"""The stage `files`: what a source holds, and what is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from mfc.runtime.data.sources import Caches


@dataclass(frozen=True)
class Listing:
    """A source's items in sorted order, and a hash of each one's content."""

    paths: list[str]
    digests: list[str]

    def fingerprint(self) -> str:
        """One hash of all paths and contents: equal data, equal fingerprint, wherever it lies."""
        return xxhash.xxh3_128_hexdigest(json.dumps([self.paths, self.digests]).encode())

    def save(self, folder: Path) -> None:
        """Writes `files.json`."""
        (folder / "files.json").write_text(json.dumps({"paths": self.paths, "digests": self.digests}))

    @classmethod
    def load(cls, folder: Path) -> Listing:
        """Reads what `save` wrote."""
        return cls(**json.loads((folder / "files.json").read_text()))


def list_files(source: Any, caches: Caches, masks: Any = None) -> Listing:
    """Scans a source and hashes what is not known yet; RunError for missing and unreadable files.

    Args:
        caches: gives what is known of a folder's files: `Store.digests`.
        masks: the labeler of the items' masks, whose files are content of the items too.
    """
    paths = sorted(source.scan())
    digests = source.digests(paths, caches)
    if hasattr(masks, "digests"):
        both = zip(digests, masks.digests(paths, caches))
        digests = [xxhash.xxh3_128_hexdigest(f"{image}/{mask}".encode()) for image, mask in both]
    return Listing(paths, digests)
