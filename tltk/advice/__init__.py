"""Advice before training: which backbone, how many labels, whether to train at all, whether the target differs."""
