"""Layers, one file a family. A layer is torch's own module where it has one, so that tools know it."""
