"""The stages of a backbone that tasks with outputs for every position use."""

import math
from collections.abc import Mapping, Sequence

import keras

from tltk.backbones.base import Backbone, Endpoint
from tltk.foundation.errors import InvalidInput


def pyramid_stages(endpoints: Mapping[str, Endpoint], strides: Sequence[int]) -> dict[int, str]:
    """Choose the stages of a backbone for the levels of a pyramid: the last one of each stride.

    Args:
        endpoints: Stage → endpoint, from the input to the output, as `Backbone.endpoints` returns them.
        strides: Pixels of the input per position of each level, the finest first.

    Returns:
        Stride → stage, for the strides that the backbone has, the finest first.

    Raises:
        InvalidInput: If the backbone has no features at these strides, such as a text encoder.

    Examples:
        >>> endpoints = {"conv3": Endpoint(8, 64), "conv4": Endpoint(16, 96), "conv5": Endpoint(16, 128)}
        >>> pyramid_stages(endpoints, (8, 16, 32))
        {8: 'conv3', 16: 'conv5'}
    """
    stages = {endpoint.stride: stage for stage, endpoint in endpoints.items() if endpoint.stride in strides}
    if not stages:
        available = {stage: endpoint.stride for stage, endpoint in endpoints.items()}
        raise InvalidInput(
            f"the task needs features of stride {', '.join(map(str, strides))}. The stages of the backbone have the "
            f"strides {available}: use a backbone for images with an image size that they divide."
        )
    return dict(sorted(stages.items()))


def stages_of(backbone: Backbone, strides: Sequence[int]) -> dict[int, str]:
    """Choose the stages of a backbone, see `pyramid_stages`.

    Raises:
        InvalidInput: If it is not an image backbone, or has no features at these strides.
    """
    if backbone.modality != "image":
        raise InvalidInput(f"the task needs a backbone for images; {backbone.name!r} takes {backbone.modality}s.")
    return pyramid_stages(backbone.endpoints(), strides)


def level_stages(backbone: Backbone, strides: Sequence[int]) -> tuple[str, ...]:
    """Return the levels of a backbone's feature pyramid at these strides.

    Raises:
        InvalidInput: If the pyramid has no level of a stride.
    """
    stages = {stride: stage for stage, stride in backbone.pyramid}
    if not set(strides) <= set(stages):
        raise InvalidInput(
            f"`strides` must be those of the pyramid of {backbone.name!r}, {tuple(stages)}, or some of them. "
            f"Received: {tuple(strides)}"
        )
    return tuple(stages[stride] for stride in strides)


def by_stride(
    features: Mapping[str, keras.KerasTensor], input_size: tuple[int, int], strides: Sequence[int]
) -> dict[int, keras.KerasTensor]:
    """Return features by their stride; those of unpadded convolutions have fewer positions, and get the nearest stride.

    Args:
        features: Stage → float [batch, rows, columns, channels].
        input_size: Height and width of the input in pixels.
        strides: The strides that are possible.
    """
    return {
        min(strides, key=lambda stride: abs(math.log(input_size[0] / tensor.shape[1] / stride))): tensor
        for tensor in features.values()
    }
