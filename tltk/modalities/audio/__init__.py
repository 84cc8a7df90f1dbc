"""Sounds: the modality of `AudioSpec`."""
