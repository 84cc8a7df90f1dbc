"""The input format of a KerasHub text preset: its tokenizer's vocabulary and settings as a `TextSpec`."""

import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from tltk.backbones.hub import is_hub_failure
from tltk.foundation import checks as check
from tltk.foundation.errors import FileError, InvalidInput
from tltk.specs import TextSpec, TokenizerSpec


@dataclass(frozen=True)
class Family:
    """Special tokens of one model family; they are not stored in the files of a preset.

    Args:
        type: Of `TokenizerSpec`, as are the special tokens.
        begin: Token before a text.
        end: Token after a text.
        padding: Token that fills up a batch.
        unknown: Token for words that cannot be built from the vocabulary.
        separator: Tokens between two texts.
        causal: Whether each token attends only to those before it.
    """

    type: str
    begin: str
    end: str
    padding: str
    unknown: str
    separator: tuple[str, ...]
    causal: bool = False


_BERT = Family("wordpiece", "[CLS]", "[SEP]", "[PAD]", "[UNK]", ("[SEP]",))
_END_OF_TEXT = "<|endoftext|>"
# Keys: names of KerasHub's tokenizers. Special tokens: Hugging Face's `build_inputs_with_special_tokens` of each.
FAMILIES = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "RobertaTokenizer": Family("bytepair", "<s>", "</s>", "<pad>", "<unk>", ("</s>", "</s>")),
    # GPT-2 has no padding token; as in Hugging Face's classifier, the end-of-text token is used. Two texts are two
    # lines ("Ċ" is a line break).
    "GPT2Tokenizer": Family("bytepair", "", "", _END_OF_TEXT, _END_OF_TEXT, ("Ċ",), causal=True),
    "AlbertTokenizer": Family("unigram", "[CLS]", "[SEP]", "<pad>", "<unk>", ("[SEP]",)),
    "DebertaV3Tokenizer": Family("unigram", "[CLS]", "[SEP]", "[PAD]", "[UNK]", ("[SEP]",)),
    "XLMRobertaTokenizer": Family("unigram", "<s>", "</s>", "<pad>", "<unk>", ("</s>", "</s>")),
}


def load_tokenizer(place: str) -> Any:
    """Load a preset's tokenizer.

    Raises:
        FileError: If its files cannot be read.
        InvalidInput: If its type is not supported.
    """
    import keras_hub

    try:
        # Standard output is reserved for results. KerasHub leaves SentencePiece files open.
        with redirect_stdout(sys.stderr), warnings.catch_warnings(action="ignore", category=ResourceWarning):
            tokenizer = keras_hub.models.Tokenizer.from_preset(place)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(f"cannot read the tokenizer of {place}: {error}") from error
    tokenizer_class = type(tokenizer).__name__
    if tokenizer_class not in FAMILIES:
        supported = check.listing([name.removesuffix("Tokenizer") for name in FAMILIES], limit=20)
        raise InvalidInput(f"{place} has a {tokenizer_class}, which tltk does not support. Supported: {supported}.")
    return tokenizer


def spec_of(tokenizer: Any, sequence_length: int, settings: dict[str, Any]) -> TextSpec:
    """Describe the input format of a text model.

    Args:
        tokenizer: From `load_tokenizer`.
        sequence_length: Maximum number of tokens of a text.
        settings: Content of Hugging Face's tokenizer_config.json; empty if there is none.

    Returns:
        The spec. Uncased BERT strips accents, which KerasHub's loader does not do.
    """
    family = FAMILIES[type(tokenizer).__name__]
    special = {name: getattr(family, name) for name in ("begin", "end", "padding", "unknown", "separator")}
    options: dict[str, Any] = {}
    if family.type == "wordpiece":
        lowercase = bool(settings.get("do_lower_case", getattr(tokenizer, "lowercase", False)))
        strip = settings.get("strip_accents")
        options = {"lowercase": lowercase, "strip_accents": lowercase if strip is None else bool(strip)}
    elif family.type == "unigram":
        options = {"sentencepiece_model": _bytes(tokenizer.proto)}
    else:
        prefix = bool(settings.get("add_prefix_space", getattr(tokenizer, "add_prefix_space", False)))
        options = {"merges": tuple(tokenizer.merges), "add_prefix_space": prefix}
    vocabulary = _vocabulary(tokenizer, family.type)
    return TextSpec(TokenizerSpec(family.type, vocabulary, **options, **special), sequence_length, causal=family.causal)


def _vocabulary(tokenizer: Any, tokenizer_type: str) -> tuple[str, ...]:
    if tokenizer_type != "bytepair":
        return tuple(tokenizer.get_vocabulary())
    ids = tokenizer.vocabulary
    return tuple(sorted(ids, key=ids.__getitem__))


def _bytes(proto: Any) -> bytes:
    """Return the content of a SentencePiece file."""
    return proto.numpy() if hasattr(proto, "numpy") else bytes(proto)
