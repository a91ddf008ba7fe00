"""What mkdocs is given beside the documents: pages that are made, their place in the navigation, links."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from site_links import linked
from site_pages import navigation, pages, pictures, with_reference


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = with_reference(config.nav or [], {"Reference": navigation()})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, content in {**pages(), **pictures()}.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    if page.file.src_uri.startswith("reference/"):
        page.meta.setdefault("search", {"boost": 4})  # a name leads to its page before texts that mention it
    return linked(markdown, page.file.src_uri)
