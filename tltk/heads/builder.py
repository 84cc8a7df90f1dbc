"""Builds heads: stock Keras layers from the features of a backbone to the outputs of a task."""

from dataclasses import dataclass

import keras

from tltk.foundation import checks as check
from tltk.foundation import display, familiar
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput

POOLINGS = ("auto", "avg", "max", "concat", "attention", "first", "last")
NORMALIZATIONS = ("batch", "layer")
_MASKED_OFFSET = 1e9  # subtracted from padding, so that it is below every feature


@dataclass(frozen=True)
class Head:
    """Description of the layers between the features of a backbone and the outputs of a task; see `tltk.head`."""

    pooling: str = "auto"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    normalization: str | None = "batch"
    activation: str = "relu"
    zero_init: bool = True

    __repr__ = display.short_repr


@familiar.arguments
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

    The default suits a linear probe: average pooling, normalized features, and one linear layer initialized with
    zeros, so that the first predictions are uniform. Add `hidden` layers if the classes are not linearly separable in
    the features and there are some hundreds of labels per class; with fewer labels they overfit.

    Args:
        pooling: How [batch, height, width, channels] or [batch, tokens, channels] is reduced to [batch, channels]:
            "avg", "max", "concat" (both, twice the channels), "attention" (a learned weight per position), "first"
            (texts only: the token before the first word, as in BERT's classifier), "last" (texts only: the last token,
            the only one in GPT-2 that depends on all others), or "auto" ("last" for causal models such as GPT-2, else
            "avg"). Padding is ignored.
        hidden: Number of units of each hidden layer.
        dropout: Fraction of features set to 0 before each linear layer during training, in [0, 1).
        normalization: "batch" or "layer" before each linear layer, or None. The scale of features differs between
            backbones by a factor of 10; normalization makes one learning rate suit all of them.
        activation: Keras name of the activation of the hidden layers.
        zero_init: Whether the output layer is initialized with zeros, as in the probes of big_vision, instead of
            Glorot's random weights.

    Returns:
        A frozen record, to be passed to a task such as `classification` as `head=`.

    Raises:
        InvalidInput: If arguments are out of range; lists all of them.

    Examples:
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
    """Add the layers of a head to symbolic features.

    Every layer computes in float32, whatever the policy of the backbone: logits and losses in half precision lose the
    small differences that gradients depend on.

    Args:
        spec: Description of the head.
        features: float [batch, height, width, channels], [batch, tokens, channels] or [batch, channels].
        units: Number of units of the output layer.
        mask: bool [batch, tokens], False for padding; None if there is no padding.
        seed: Seed of the initial weights and of dropout.

    Returns:
        float32 [batch, units], without an activation.
    """
    return _layers(spec, pool(features, spec.pooling, mask=mask), units, seed=seed)


def attach_tokens(
    spec: Head, features: keras.KerasTensor, *, units: int, mask: keras.KerasTensor | None = None, seed: int = 0
) -> keras.KerasTensor:
    """Add the layers of a head to each token: as `attach`, without pooling.

    Args:
        spec: Description of the head; its pooling is ignored.
        features: float [batch, tokens, channels].
        units: Number of outputs per token.
        mask: bool [batch, tokens], False for padding, which is excluded from the statistics of batch norm.
        seed: Seed of the initial weights and of dropout.

    Returns:
        float32 [batch, tokens, units], without an activation.
    """
    return _layers(spec, features, units, seed=seed, mask=mask)


def _layers(
    spec: Head, x: keras.KerasTensor, units: int, *, seed: int, mask: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    for index, hidden_units in enumerate(spec.hidden, start=1):
        x = _before_dense(x, spec, f"_{index}", seed + index, mask)
        kernel = keras.initializers.HeNormal(seed=seed + index)
        x = keras.layers.Dense(
            hidden_units, spec.activation, kernel_initializer=kernel, dtype="float32", name=f"head_hidden_{index}"
        )(x)
    x = _before_dense(x, spec, "", seed, mask)
    kernel = keras.initializers.Zeros() if spec.zero_init else keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(units, kernel_initializer=kernel, dtype="float32", name="head_output")(x)


def pool(features: keras.KerasTensor, pooling: str, *, mask: keras.KerasTensor | None = None) -> keras.KerasTensor:
    """Reduce every axis between batch and channels; [batch, channels] is returned unchanged."""
    rank = len(features.shape)
    if rank == 2:
        return features
    if rank not in (3, 4):
        raise InvalidInput(f"a head takes features of rank 2, 3 or 4. Received: shape {tuple(features.shape)}")
    if pooling == "attention":
        return _attention_pool(features, mask)
    if pooling in ("first", "last"):
        if rank != 3:
            raise InvalidInput(f'pooling="{pooling}" is for texts: images have no {pooling} position. Use "avg".')
        return named(keras.ops.cast(_token(features, pooling, mask), "float32"), "head_pool")
    average = {"auto": "head_pool", "avg": "head_pool", "concat": "head_pool_avg"}.get(pooling)
    maximum = {"max": "head_pool", "concat": "head_pool_max"}.get(pooling)
    pooled = [_average(features, average, mask)] if average else []
    pooled += [_maximum(features, maximum, mask)] if maximum else []
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(dtype="float32", name="head_pool")(pooled)


def _token(features: keras.KerasTensor, which: str, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    """Return the first token of each text, or the last one that is not padding."""
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
        offset = keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32") * _MASKED_OFFSET - _MASKED_OFFSET
        features = named(features + offset, "head_unpadded")
    return keras.layers.GlobalMaxPooling1D(dtype="float32", name=name)(features)


def named(tensor: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Rename the operation that produced a tensor, so that it is recognized as a part of the head."""
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
        # Keras would pass the mask on to the loss, which has one value per text; an operation drops the mask.
        x = layer(x) if mask is None else named(layer(x, mask=mask) * 1.0, f"head_unmasked{suffix}")
    if spec.normalization == "layer":
        x = keras.layers.LayerNormalization(dtype="float32", name=f"head_norm{suffix}")(x)
    if spec.dropout:
        x = keras.layers.Dropout(spec.dropout, seed=seed, dtype="float32", name=f"head_dropout{suffix}")(x)
    return x
