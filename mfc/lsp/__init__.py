"""The language server of specs, `mfc lsp`: puts what `mfc.dsl.editor` knows into the protocol."""
