"""Texts as numbers, and models of language.

A tokenizer (`words`, `pieces`) is fitted on training texts and turns texts into ids; its shared parts are
`tokenizer`, `rules`, `english` and `pool`.
"""
