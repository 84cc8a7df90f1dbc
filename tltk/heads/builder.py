"""The head builder: features in, task outputs out, in stock Keras layers."""

from dataclasses import dataclass

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private

POOLINGS = ("auto", "avg", "max", "concat", "attention", "first", "last")
NORMALIZATIONS = ("batch", "layer")
_FAR = 1e9  # below every feature


@dataclass(frozen=True)
class Head:
    """The layers between a backbone's features and a task's outputs; built with `tltk.head`."""

    pooling: str = "auto"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    normalization: str | None = "batch"
    activation: str = "relu"
    zero_init: bool = True


def head(
    *,
    pooling: str = "auto",
    hidden: tuple[int, ...] = (),
    dropout: float = 0.0,
    normalization: str | None = "batch",
    activation: str = "relu",
    zero_init: bool = True,
) -> Head:
    """Describe a head.

    The default is what a linear probe wants: average pooling, features brought to one scale, one
    linear layer that starts at zero, so that the first predictions are even and the first gradients
    come from the data. Add `hidden` layers when the classes are not linearly separable in the features
    and there are some hundreds of labels a class; with fewer they overfit.

    Args:
        pooling: how [batch, height, width, channels] (or [batch, tokens, channels]) becomes
            [batch, channels]: "avg", "max", "concat" (both, twice the channels), "attention" (a learned weight for each
            position), "first" (of texts, the token before the first word, as BERT's own classifier does) or "last" (of
            texts, the last token, which in GPT-2 alone has seen all others). Padding counts for nothing. "auto" is
            "last" for backbones like GPT-2, else "avg".
        hidden: units of each hidden layer.
        dropout: share of features set to 0 before each linear layer while training, in [0, 1).
        normalization: "batch" or "layer" before each linear layer, or None. Features of different
            backbones differ in scale by a factor of 10; a learning rate that fits all needs one scale.
        activation: nonlinearity of the hidden layers, a Keras name.
        zero_init: start the output layer at zero instead of Glorot's random weights (ResNet-v2 probes
            of big_vision do the same).

    Returns:
        A frozen record that `classification` and `regression` take as `head=`.

    Raises:
        ValueError: naming every argument that is out of range.

    Example:
        >>> head(pooling="concat", hidden=(256,), dropout=0.2).hidden
        (256,)
    """
    problems = check.Problems()
    for name, value, allowed in (
        ("pooling", pooling, POOLINGS),
        ("normalization", normalization, (*NORMALIZATIONS, None)),
    ):
        if value not in allowed:
            choices = check.listing(repr(item) for item in allowed)
            near = check.did_you_mean(value, [item for item in allowed if item])
            problems.add(f"`{name}` must be one of {choices}. Received: {value!r}.{near}")
    if not isinstance(hidden, list | tuple) or not all(isinstance(units, int) and units > 0 for units in hidden):
        problems.add(f"`hidden` must be a tuple of whole numbers above 0, such as (256,). Received: {hidden!r}")
    if not check.is_number(dropout) or not 0 <= dropout < 1:
        problems.add(f"`dropout` must be at least 0 and below 1. Received: {dropout!r}")
    problems.raise_if_any()
    return Head(pooling, tuple(hidden), float(dropout), normalization, activation, zero_init)


def attach(
    spec: Head, features: keras.KerasTensor, *, units: int, mask: keras.KerasTensor | None = None, seed: int = 0
) -> keras.KerasTensor:
    """Put a head on symbolic features.

    Every layer computes in float32 whatever the policy of the backbone is: logits and losses in
    half precision lose the small differences that training lives on.

    Args:
        spec: the head.
        features: float [batch, height, width, channels], [batch, tokens, channels] or [batch, channels].
        units: outputs of the last linear layer.
        mask: bool [batch, tokens], False for padding; None where nothing is padded.
        seed: of the initial weights and the dropout masks.

    Returns:
        float32 [batch, units], without an activation.
    """
    return _layers(spec, pool(features, spec.pooling, mask=mask), units, seed=seed)


def attach_tokens(
    spec: Head, features: keras.KerasTensor, *, units: int, mask: keras.KerasTensor | None = None, seed: int = 0
) -> keras.KerasTensor:
    """Put a head on each token: as `attach`, without pooling.

    Args:
        spec: the head; its pooling counts for nothing.
        features: float [batch, tokens, channels].
        units: outputs a token.
        mask: bool [batch, tokens], False for padding, which is kept out of a batch norm's statistics.
        seed: of the initial weights and the dropout masks.

    Returns:
        float32 [batch, tokens, units], without an activation.
    """
    return _layers(spec, features, units, seed=seed, mask=mask)


def _layers(
    spec: Head, x: keras.KerasTensor, units: int, *, seed: int, mask: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    for index, width in enumerate(spec.hidden, start=1):
        x = _before_dense(x, spec, f"_{index}", seed + index, mask)
        kernel = keras.initializers.HeNormal(seed=seed + index)
        x = keras.layers.Dense(
            width, spec.activation, kernel_initializer=kernel, dtype="float32", name=f"head_hidden_{index}"
        )(x)
    x = _before_dense(x, spec, "", seed, mask)
    kernel = keras.initializers.Zeros() if spec.zero_init else keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(units, kernel_initializer=kernel, dtype="float32", name="head_output")(x)


def pool(features: keras.KerasTensor, pooling: str, *, mask: keras.KerasTensor | None = None) -> keras.KerasTensor:
    """Reduce every axis between batch and channels; [batch, channels] passes unchanged."""
    rank = len(features.shape)
    if rank == 2:
        return features
    if rank not in (3, 4):
        raise ValueError(f"A head takes features of rank 2, 3 or 4. Received: shape {tuple(features.shape)}")
    if pooling == "attention":
        return _attention_pool(features, mask)
    if pooling in ("first", "last"):
        if rank != 3:
            raise ValueError(f'pooling="{pooling}" is for texts: images have no {pooling} position. Use "avg".')
        return named(keras.ops.cast(_token(features, pooling, mask), "float32"), "head_pool")
    average = {"auto": "head_pool", "avg": "head_pool", "concat": "head_pool_avg"}.get(pooling)
    maximum = {"max": "head_pool", "concat": "head_pool_max"}.get(pooling)
    both = [_average(features, average, mask)] if average else []
    both += [_maximum(features, maximum, mask)] if maximum else []
    return both[0] if len(both) == 1 else keras.layers.Concatenate(dtype="float32", name="head_pool")(both)


def _token(features: keras.KerasTensor, which: str, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    """Take the first token of each text, or the last that is no padding."""
    if which == "first" or mask is None:
        return features[:, 0 if which == "first" else -1]
    last = keras.ops.sum(keras.ops.cast(mask, "int32"), axis=1, keepdims=True) - 1
    return keras.ops.squeeze(keras.ops.take_along_axis(features, keras.ops.expand_dims(last, -1), axis=1), axis=1)


def _average(features: keras.KerasTensor, name: str, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    if len(features.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(dtype="float32", name=name)(features)
    layer = keras.layers.GlobalAveragePooling1D(dtype="float32", name=name)
    return layer(features) if mask is None else layer(features, mask=mask)


def _maximum(features: keras.KerasTensor, name: str, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    if len(features.shape) == 4:
        return keras.layers.GlobalMaxPooling2D(dtype="float32", name=name)(features)
    if mask is not None:
        features = keras.ops.cast(features, "float32")
        lowest = keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32") * _FAR - _FAR
        features = named(features + lowest, "head_unpadded")
    return keras.layers.GlobalMaxPooling1D(dtype="float32", name=name)(features)


def named(tensor: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Give the operation behind a tensor a name of the head's."""
    private.producing_node(tensor).operation.name = name
    return tensor


def _attention_pool(features: keras.KerasTensor, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    """Weigh positions by a learned score (Ilse et al. 2018, equation 8 without the tanh layer)."""
    channels = features.shape[-1]
    tokens = keras.layers.Reshape((-1, channels), dtype="float32", name="head_tokens")(features)
    zeros = keras.initializers.Zeros()
    scores = keras.layers.Dense(1, use_bias=False, kernel_initializer=zeros, dtype="float32", name="head_attention")(
        tokens
    )
    softmax = keras.layers.Softmax(axis=1, dtype="float32", name="head_attention_weights")
    weights = softmax(scores) if mask is None else softmax(scores, mask=keras.ops.expand_dims(mask, -1))
    pooled = keras.layers.Dot(axes=1, dtype="float32", name="head_attention_sum")([weights, tokens])
    return keras.layers.Reshape((channels,), dtype="float32", name="head_pool")(pooled)


def _before_dense(
    x: keras.KerasTensor, spec: Head, suffix: str, seed: int, mask: keras.KerasTensor | None
) -> keras.KerasTensor:
    if spec.normalization == "batch":
        # No learned scale or shift: the linear layer that follows has both. Keras' own epsilon, not PyTorch's 1e-5: a
        # feature that hardly varies over a few dozen images carries little information, and is not scaled up.
        layer = keras.layers.BatchNormalization(
            center=False, scale=False, momentum=0.9, epsilon=1e-3, dtype="float32", name=f"head_norm{suffix}"
        )
        # Keras hands a mask on to the loss, which would multiply it with one number a text; an operation drops it.
        x = layer(x) if mask is None else named(layer(x, mask=mask) * 1.0, f"head_unmasked{suffix}")
    if spec.normalization == "layer":
        x = keras.layers.LayerNormalization(dtype="float32", name=f"head_norm{suffix}")(x)
    if spec.dropout:
        x = keras.layers.Dropout(spec.dropout, seed=seed, dtype="float32", name=f"head_dropout{suffix}")(x)
    return x
