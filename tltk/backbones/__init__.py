"""Backbones: pretrained networks as values, from Keras Applications, KerasHub, a registry, or the user."""

from tltk.backbones.base import Backbone, Endpoint, Origin, Preprocessing, Stage, layer_stages
from tltk.backbones.catalog import Row, names, register_backbone, table
from tltk.backbones.select import backbone

__all__ = [
    "Backbone",
    "Endpoint",
    "Origin",
    "Preprocessing",
    "Row",
    "Stage",
    "backbone",
    "layer_stages",
    "names",
    "register_backbone",
    "table",
]
