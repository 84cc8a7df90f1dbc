"""Texts: the modality of `TextSpec`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.data.formats.arrays import as_texts, from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.context import Context
from tltk.modalities.modality import Modality, register_modality
from tltk.modalities.requests import Request
from tltk.modalities.text import config
from tltk.modalities.text.context import context_of
from tltk.modalities.text.encoding import as_strings, encoded, overlong_note, windows_of
from tltk.modalities.text.reader import TextReader, from_dataset, padded
from tltk.modalities.text.requests import validate_requests
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.traits import differences, traits_of
from tltk.modalities.text.validate import invalid_texts
from tltk.modalities.traits import Traits
from tltk.pipeline.batching import Size
from tltk.pipeline.readers import Reader
from tltk.pipeline.user_dataset import UserDataset
from tltk.specs import InvalidExample, TextSpec


class TextModality(Modality):
    """Modality of texts, pairs of texts, and texts split into words."""

    name: ClassVar[str] = "text"
    spec_type: ClassVar[type] = TextSpec
    has_lengths: ClassVar[bool] = True
    learning_rate: ClassVar[float] = 1e-4  # half of it was 1 point worse on 100 labels a class of package summaries
    default_backbone: ClassVar[str] = "all_minilm_l6_v2_en"
    max_difference: ClassVar[float] = 0.3  # one of ten words replaced by another

    def check(self, source: Source, spec: TextSpec, argument: str) -> None:
        """Raise unless a source holds texts, or pairs of texts for a model of pairs."""
        super().check(source, spec, argument)
        pairs = self.has_pairs(source)
        if pairs != spec.pairs:
            received, expected = ("pairs of texts", "single texts") if pairs else ("single texts", "pairs of texts")
            fix = "Build its task with `pairs=True`." if pairs else "Pass tuples of two texts."
            raise InvalidInput(f"`{argument}` holds {received}, but the model expects {expected}. {fix}")

    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Remove examples that are blank or not strings."""
        reasons = invalid_texts(source.examples)
        invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in enumerate(reasons) if reason)
        return (source.subset(np.array([not reason for reason in reasons])) if invalid else source), invalid

    def traits(self, source: Source, spec: TextSpec | None = None) -> Traits:
        """Normalize and hash every text, and count the tokens of those that a model reads."""
        return traits_of(source, spec)

    def differences(self, first: list[str], second: list[str]) -> np.ndarray:
        """Return which fraction of words and pairs of words texts do not share."""
        return differences(first, second)

    def reader(self, source: Source, spec: TextSpec) -> Reader:
        """Tokenize the texts of a source, once for all calls."""
        return TextReader(encoded(source, spec), spec)

    def from_dataset(self, dataset: tf.data.Dataset, spec: TextSpec, *, batch_size: Size) -> UserDataset:
        """Tokenize a user's dataset of strings in the graph."""
        return from_dataset(dataset, spec, batch_size=batch_size)

    def source(self, inputs: Any, spec: TextSpec) -> Source:
        """Convert a text or a list of texts; for a model of pairs, a tuple of two texts or a list of tuples."""
        inputs = inputs.decode("utf-8", "replace") if isinstance(inputs, bytes) else inputs
        if not isinstance(inputs, str | list | tuple):
            inputs = as_texts(inputs)
        check.instance_of("inputs", inputs, (str, list, tuple, np.ndarray), hint="Pass a text, or a list of texts.")
        if isinstance(inputs, str) or (spec.pairs and isinstance(inputs, tuple)):
            return from_arrays([inputs])
        texts = list(cast(list, inputs))
        if not texts:
            raise InvalidInput("`inputs` holds no text.")
        split_into_words = isinstance(texts[0], list | tuple) and not spec.pairs
        return from_words(texts) if split_into_words else from_arrays(texts)

    def input_text(self, source: Source, index: int) -> str:
        """Return the text; words are joined by spaces, the texts of a pair by a bar."""
        value = source.examples[index]
        return value if isinstance(value, str) else (" | " if self.has_pairs(source) else " ").join(value)

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Build the context with the windows and the raw texts."""
        text_reader = cast(TextReader, reader)
        strings = as_strings(source.examples[examples], pairs=text_reader.spec.pairs)
        in_windows = text_reader.spec.overlap is not None
        return context_of(text_reader.texts[elements], strings, first=int(examples[0]), in_windows=in_windows)

    def without_windows(self, spec: TextSpec, source: Source | None = None) -> TextSpec:
        """Truncate long texts instead of reading them in windows."""
        return replace(spec, pairs=spec.pairs if source is None else self.has_pairs(source), overlap=None)

    def with_overlap(self, spec: TextSpec, overlap: int) -> TextSpec:
        """Read overlong texts in windows that share this many tokens."""
        return replace(spec, overlap=overlap)

    def has_pairs(self, source: Source) -> bool:
        """Return whether the examples have the shape of pairs, [n, 2]."""
        return getattr(source.examples, "ndim", 1) == 2

    def with_pairs(self, spec: TextSpec) -> TextSpec:
        """Adapt a spec to pairs of texts."""
        return replace(spec, pairs=True)

    def with_windows(self, spec: TextSpec, task: str) -> TextSpec:
        """Let windows overlap by an eighth of the sequence length, unless the spec has windows already."""
        return spec if spec.overlap is not None else replace(spec, overlap=spec.sequence_length // 8)

    def default_pooling(self, spec: TextSpec) -> str:
        """Return "last" for a causal model, in which only the last token sees the whole text; otherwise "avg"."""
        return "last" if spec.causal else "avg"

    def mask(self, inputs: Any, spec: TextSpec) -> Any:
        """Build the padding mask; without a begin token, the first position is kept so that no row is all padding."""
        is_token = keras.ops.not_equal(inputs, spec.padding_id)
        if spec.tokenizer.begin:
            return is_token
        is_first = keras.ops.equal(keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1), 1)
        return keras.ops.logical_or(is_token, is_first)

    def training_note(self, source: Source, spec: TextSpec) -> str:
        """Return how many texts are longer than the sequence length of the model; "" if no text is."""
        return overlong_note(source, spec)

    def request_names(self, spec: TextSpec) -> tuple[str, ...]:
        """Return the name of the input or, for pairs, of both inputs."""
        return ("texts", "second_texts")[: 1 + spec.pairs]

    def request_reader(self, spec: TextSpec) -> tuple[Callable[..., Request], list[Any]]:
        """Return a function that tokenizes requests exactly as in training, and the tables of the tokenizer."""
        tokenize = tokenizer(spec.tokenizer)

        def read(*strings: tf.Tensor) -> Request:
            windows = windows_of(spec, tokenize, *strings)
            valid, error = validate_requests(*strings)
            count = tf.size(strings[0], tf.int64)
            text_ids = windows.text_ids if spec.overlap is not None else None
            context = Context(count, text_ids, windows, tuple(strings))
            return Request(padded(windows.ids, spec), valid, error, context)

        return read, tokenize.tables

    def sample_requests(self, spec: TextSpec, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Generate texts of words from the vocabulary, a blank text, and invalid UTF-8."""
        generator = np.random.default_rng(seed)
        words = [token for token in spec.tokenizer.vocabulary if token.isalpha()] or ["text"]
        texts = [" ".join(generator.choice(words, generator.integers(1, 40))).encode() for _ in range(2 * count)]
        if spec.pairs:
            return [*zip(texts[:count], texts[count:], strict=True), (texts[0], b" \n"), (b"\xff", texts[0])]
        return [(text,) for text in (*texts[:count], b" \n", b"no \xff UTF-8")]

    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: TextSpec, folder: Path) -> Source:
        """Decode the requests that are UTF-8."""
        decoded = {str(number): texts for number, request in enumerate(requests) if (texts := _decoded(request))}
        columns = np.array(list(decoded.values()), object).reshape(-1, 1 + spec.pairs)
        examples = columns if spec.pairs else columns[:, 0]
        return Source(self.name, "arrays", examples, ids=np.array(list(decoded), object))

    def to_config(self, spec: TextSpec, folder: Path) -> dict[str, Any]:
        """Return a spec as JSON values; write the vocabulary and other large values to files in `folder`."""
        for name, content in config.to_files(spec).items():
            (folder / name).write_bytes(content)
        return config.to_config(spec)

    def from_config(self, config_: dict[str, Any], folder: Path) -> TextSpec:
        """Rebuild a spec from the result of `to_config` and the files in `folder`."""
        return config.from_config(config_, folder)

    def describe_input(self, spec: TextSpec) -> dict[str, Any]:
        """Describe the input and the tokenizer, without the vocabulary itself."""
        settings = config.to_config(spec)
        return {**super().describe_input(spec), **settings, "vocabulary_size": len(spec.tokenizer.vocabulary)}


def _decoded(request: tuple[bytes, ...]) -> tuple[str, ...]:
    """Return the texts of a request; () if any is invalid UTF-8."""
    try:
        return tuple(text.decode() for text in request)
    except UnicodeDecodeError:
        return ()


register_modality(TextModality())
