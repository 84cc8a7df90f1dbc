"""Stand-ins for the networks of the catalog, for tests whose subject is the code around a network."""

from dataclasses import replace
from functools import cache, partial
from tempfile import mkdtemp

import keras
import keras_hub

from tests.texts import minilm_folder
from tltk.backbones.base import Backbone, Origin, Stage
from tltk.backbones.catalog import CATALOG, Entry
from tltk.backbones.text import kerashub
from tltk.foundation import keras_graph

MINILM = "all_minilm_l6_v2_en"
IMAGE_NETWORKS = ("efficientnet_lite0", "mobilenet_v2", "resnet50", "resnet_18_imagenet", "vgg16")


def use_small_networks(monkeypatch, *, blocks: int = 2) -> None:
    """Give the usual backbones of images and texts small networks with random weights, until the test ends.

    Names, input formats, vocabulary, preprocessing and the stages of images stay, so that the same code runs. A network
    of 150 layers takes ten times as long to build, to trace and to save.

    Args:
        monkeypatch: Restores the networks.
        blocks: Blocks of MiniLM, which has six.
    """
    small = {name: partial(_small_image, CATALOG.get(name)) for name in IMAGE_NETWORKS}
    small[MINILM] = partial(_small_text, blocks)
    entries = {name: replace(CATALOG.get(name), constructor=constructor) for name, constructor in small.items()}
    monkeypatch.setattr(CATALOG, "_values", {**CATALOG._values, **entries})


def _small_image(entry: Entry, *, weights: str) -> Backbone:
    backbone = entry.constructor(weights=weights)
    build = partial(_convolutions, backbone.stages)
    return replace(
        backbone,
        builder=lambda shape, origin: build(shape),
        locator=partial(Origin, "random", None, None),
        shapes=lambda shape: keras_graph.output_shapes(build(shape)),
    )


def _convolutions(stages: tuple[Stage, ...], shape: tuple[int, int, int]) -> keras.Model:
    """Build a convolution, a batch norm and an activation for each stage, named as the stages of the network end."""
    x = pixels = keras.Input(shape)
    for stage in stages:
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name=f"{stage.name}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{stage.name}_bn")(x)
        x = keras.layers.ReLU(name=stage.last)(x)
    return keras.Model(pixels, x, name="small")


def _small_text(blocks: int, *, weights: str) -> Backbone:
    return replace(kerashub.backbone(_text_preset(blocks)), name=MINILM)


@cache
def _text_preset(blocks: int) -> str:
    """Write a preset of a few blocks and 16 channels, with the vocabulary of MiniLM."""
    vocabulary = (minilm_folder() / "vocab.txt").read_text("utf-8").splitlines()
    folder = mkdtemp()
    keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True).save_to_preset(folder)
    keras_hub.models.BertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=blocks,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=256,
    ).save_to_preset(folder)
    return folder
