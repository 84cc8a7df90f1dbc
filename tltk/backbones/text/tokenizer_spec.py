"""What a KerasHub text preset eats: its tokenizer's pieces and settings as a `TextSpec`."""

import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from tltk.foundation import checks as check
from tltk.specs import TextSpec


@dataclass(frozen=True)
class Family:
    """How the models of one kind frame texts; these facts are in no preset's files.

    Args:
        kind: of `TextSpec`.
        begin: token before a text.
        end: token behind it.
        padding: token that fills up.
        unknown: token for what no piece is of.
        between: tokens between two texts.
        causal: whether each token sees only those before it.
    """

    kind: str
    begin: str
    end: str
    padding: str
    unknown: str
    between: tuple[str, ...]
    causal: bool = False


_BERT = Family("wordpiece", "[CLS]", "[SEP]", "[PAD]", "[UNK]", ("[SEP]",))
_SUMMED_UP = "<|endoftext|>"
# By the names of KerasHub's tokenizers. Special tokens: Hugging Face's `build_inputs_with_special_tokens` of each.
FAMILIES = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "RobertaTokenizer": Family("bytepair", "<s>", "</s>", "<pad>", "<unk>", ("</s>", "</s>")),
    # GPT-2 has no padding token; as Hugging Face's classifier has it, the end of a text stands for it. Two texts are
    # two lines ("Ċ" is a line's end).
    "GPT2Tokenizer": Family("bytepair", "", "", _SUMMED_UP, _SUMMED_UP, ("Ċ",), causal=True),
    "AlbertTokenizer": Family("unigram", "[CLS]", "[SEP]", "<pad>", "<unk>", ("[SEP]",)),
    "DebertaV3Tokenizer": Family("unigram", "[CLS]", "[SEP]", "[PAD]", "[UNK]", ("[SEP]",)),
    "XLMRobertaTokenizer": Family("unigram", "<s>", "</s>", "<pad>", "<unk>", ("</s>", "</s>")),
}


def load_tokenizer(place: str) -> Any:
    """Load a preset's tokenizer.

    Raises:
        OSError: if its files cannot be read.
        ValueError: if tltk has no operations for it.
    """
    import keras_hub

    try:
        # Standard output is for results; KerasHub leaves SentencePiece files open.
        with redirect_stdout(sys.stderr), warnings.catch_warnings(action="ignore", category=ResourceWarning):
            found = keras_hub.models.Tokenizer.from_preset(place)
    except Exception as error:  # every hub's client has errors of its own
        raise OSError(f"cannot read the tokenizer of {place}: {error}") from error
    name = type(found).__name__
    if name not in FAMILIES:
        known = check.listing([each.removesuffix("Tokenizer") for each in FAMILIES], limit=20)
        raise ValueError(f"{place} has a {name}; tltk builds text models of these kinds: {known}.")
    return found


def spec_of(tokenizer: Any, length: int, settings: dict[str, Any]) -> TextSpec:
    """Say what a model eats.

    Args:
        tokenizer: from `load_tokenizer`.
        length: most tokens of a text.
        settings: of Hugging Face's tokenizer_config.json; empty where there is none.

    Returns:
        The spec. Uncased BERT strips accents, which KerasHub's loader leaves out.
    """
    family = FAMILIES[type(tokenizer).__name__]
    named = {
        name: getattr(family, name) for name in ("kind", "begin", "end", "padding", "unknown", "between", "causal")
    }
    if family.kind == "wordpiece":
        lowercase = bool(settings.get("do_lower_case", getattr(tokenizer, "lowercase", False)))
        strip = settings.get("strip_accents")
        named |= {"lowercase": lowercase, "strip_accents": lowercase if strip is None else bool(strip)}
        return TextSpec(length, tuple(tokenizer.get_vocabulary()), **named)
    if family.kind == "unigram":
        return TextSpec(length, tuple(tokenizer.get_vocabulary()), rules=_bytes(tokenizer.proto), **named)
    held = tokenizer.vocabulary
    pieces = sorted(held, key=held.__getitem__)
    space = bool(settings.get("add_prefix_space", getattr(tokenizer, "add_prefix_space", False)))
    return TextSpec(length, tuple(pieces), merges=tuple(tokenizer.merges), prefix_space=space, **named)


def _bytes(proto: Any) -> bytes:
    """Return the content of a SentencePiece file."""
    return proto.numpy() if hasattr(proto, "numpy") else bytes(proto)
