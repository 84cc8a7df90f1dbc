"""Serving: what leaves Python. The package is not called `export`, which is the name of its one function.

It imports nothing: where a model is served, `tltk.verify` runs beside tensorflow alone.
"""
