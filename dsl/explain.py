"""The pages of the codes that mfc reports, as `mfc explain` shows them."""

from __future__ import annotations

from importlib.resources import files


def codes() -> list[str]:
    """All codes that have a page, sorted."""
    pages = [page.name for page in files("mfc.errors").iterdir()]
    return sorted(name.removesuffix(".md") for name in pages if name.endswith(".md"))


def titles() -> dict[str, str]:
    """What each code means, in a few words."""
    return {code: (explain(code) or "").partition("\n")[0].partition(": ")[2] for code in codes()}


def explain(code: str) -> str | None:
    """The page of a code in Markdown, or None where there is none. `code` may be in lower case."""
    code = code.upper()
    return files("mfc.errors").joinpath(f"{code}.md").read_text(encoding="utf-8") if code in codes() else None
