"""Bodies of networks from other libraries: optional extras, `pip install "mfc[vision]"`."""
