"""Serving: exports of trained models, and their verification outside of the training process.

The package imports nothing: on a serving machine `tltk.verify` must run with TensorFlow as the only other package.
"""
