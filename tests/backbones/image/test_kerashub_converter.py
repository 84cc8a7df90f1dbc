"""Preprocessing of KerasHub presets as scale and offset."""

import keras_hub

from tltk.backbones.image import kerashub_converter as converters


def test_scale_offset_and_interpolation_are_those_of_the_converter(tmp_path):
    converter = keras_hub.layers.ImageConverter(scale=1 / 255, offset=[-1.0, 0.0, 1.0], interpolation="bicubic")
    preprocessing = converters.preprocessing(converter, "preset")
    assert preprocessing.scale == (1 / 255,) and preprocessing.offset == (-1.0, 0.0, 1.0)
    assert preprocessing.source == "image converter of preset" and converters.interpolation(converter) == "bicubic"
    lanczos = keras_hub.layers.ImageConverter(interpolation="lanczos3")
    assert converters.interpolation(lanczos) == "bilinear" and converters.preprocessing(lanczos, "preset").is_identity
    assert converters.read(str(tmp_path)) is None
    assert converters.preprocessing(None, "preset").source == "preset specifies none"
