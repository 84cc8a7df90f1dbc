"""Texts: the modality of `TextSpec`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.modalities.context import Context
from tltk.modalities.modality import Modality, UserDataset, register_modality
from tltk.modalities.requests import Request
from tltk.modalities.text import config
from tltk.modalities.text.context import context_of
from tltk.modalities.text.encoding import as_strings, encoded, notes, windows_of
from tltk.modalities.text.reader import TextReader, from_dataset, padded
from tltk.modalities.text.requests import readable
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.validate import invalid_texts
from tltk.pipeline.batching import Size
from tltk.pipeline.readers import Reader
from tltk.specs import InvalidExample, TextSpec


class TextModality(Modality):
    """Texts, pairs of texts, and texts that come in words."""

    name: ClassVar[str] = "text"
    spec_type: ClassVar[type] = TextSpec
    has_lengths: ClassVar[bool] = True
    learning_rate: ClassVar[float] = 1e-4  # half of it was 1 point worse on 100 labels a class of package summaries
    default_backbone: ClassVar[str] = "all_minilm_l6_v2_en"

    def check(self, source: Source, spec: TextSpec, argument: str) -> None:
        """Also ask for pairs where the model reads pairs."""
        super().check(source, spec, argument)
        pairs = self.pairs(source)
        if pairs != spec.pairs:
            holds, takes = ("pairs of texts", "single texts") if pairs else ("single texts", "pairs of them")
            way = "Make its task with `pairs=True`." if pairs else "Pass tuples of two texts."
            raise ValueError(f"`{argument}` holds {holds}, and the model reads {takes}. {way}")

    def validate(self, source: Source) -> tuple[Source, tuple[InvalidExample, ...]]:
        """Leave out what is empty or no text."""
        reasons = invalid_texts(source.examples)
        invalid = tuple(InvalidExample(source.id_of(row), reason) for row, reason in enumerate(reasons) if reason)
        return (source.subset(np.array([not reason for reason in reasons])) if invalid else source), invalid

    def reader(self, source: Source, spec: TextSpec) -> Reader:
        """Tokenize every text once."""
        return TextReader(encoded(source, spec), spec)

    def from_dataset(self, dataset: tf.data.Dataset, spec: TextSpec, *, batch_size: Size) -> UserDataset:
        """See `Modality`: strings, tokenized in the graph."""
        return from_dataset(dataset, spec, batch_size=batch_size)

    def source(self, inputs: Any, spec: TextSpec) -> Source:
        """Take a text or a list of texts; of a model that reads pairs, a tuple of two or a list of such."""
        check.kind_of("inputs", inputs, (str, list, tuple, np.ndarray), hint="Pass a text, or a list of texts.")
        if isinstance(inputs, str) or (spec.pairs and isinstance(inputs, tuple)):
            return from_arrays([inputs])
        texts = list(cast(list, inputs))
        if not texts:
            raise ValueError("`inputs` holds no text.")
        in_words = isinstance(texts[0], list | tuple) and not spec.pairs
        return from_words(texts) if in_words else from_arrays(texts)

    def context(self, source: Source, reader: Reader, examples: np.ndarray, elements: np.ndarray) -> Context:
        """Add the windows, and the raw texts."""
        texts = cast(TextReader, reader)
        strings = as_strings(source.examples[examples], pairs=texts.spec.pairs)
        in_windows = texts.spec.stride is not None
        return context_of(texts.texts[elements], strings, first=int(examples[0]), in_windows=in_windows)

    def whole_examples(self, spec: TextSpec, source: Source | None = None) -> TextSpec:
        """Truncate long texts instead of reading them in windows."""
        return replace(spec, pairs=spec.pairs if source is None else self.pairs(source), stride=None)

    def pairs(self, source: Source) -> bool:
        """Pairs come as [n, 2]."""
        return getattr(source.examples, "ndim", 1) == 2

    def paired(self, spec: TextSpec) -> TextSpec:
        """Read two texts an example."""
        return replace(spec, pairs=True)

    def windowed(self, spec: TextSpec, task: str) -> TextSpec:
        """Read longer texts in windows that share an eighth of their tokens, unless the spec has a stride."""
        return spec if spec.stride is not None else replace(spec, stride=spec.sequence_length // 8)

    def default_pooling(self, spec: TextSpec) -> str:
        """Take the last token of a model that reads forward only: it alone has seen the whole text."""
        return "last" if spec.causal else "avg"

    def mask(self, inputs: Any, spec: TextSpec) -> Any:
        """Tell tokens from padding; without a special token in front, the first place counts in any case."""
        real = keras.ops.not_equal(inputs, spec.padding_id)
        if spec.tokenizer.begin:
            return real
        first = keras.ops.equal(keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1), 1)
        return keras.ops.logical_or(real, first)

    def notes(self, source: Source, spec: TextSpec) -> str:
        """Say which texts are longer than the model reads."""
        return notes(source, spec)

    def request_names(self, spec: TextSpec) -> tuple[str, ...]:
        """One text, or two."""
        return ("texts", "second_texts")[: 1 + spec.pairs]

    def request_reader(self, spec: TextSpec) -> tuple[Callable[..., Request], list[Any]]:
        """Tokenize with the tokenizer of training."""
        tokenize = tokenizer(spec.tokenizer)

        def read(*strings: tf.Tensor) -> Request:
            windows = windows_of(spec, tokenize, *strings)
            valid, error = readable(*strings)
            count = tf.size(strings[0], tf.int64)
            text_ids = windows.text_ids if spec.stride is not None else None
            context = Context(count, text_ids, windows, tuple(strings))
            return Request(padded(windows.ids, spec), valid, error, context)

        return read, tokenize.tables

    def sample_requests(self, spec: TextSpec, *, count: int, seed: int) -> list[tuple[bytes, ...]]:
        """Make texts of words of the vocabulary, an empty one, and one that is not UTF-8."""
        generator = np.random.default_rng(seed)
        words = [token for token in spec.tokenizer.vocabulary if token.isalpha()] or ["text"]
        drawn = [" ".join(generator.choice(words, generator.integers(1, 40))).encode() for _ in range(2 * count)]
        if spec.pairs:
            return [*zip(drawn[:count], drawn[count:], strict=True), (drawn[0], b" \n"), (b"\xff", drawn[0])]
        return [(text,) for text in (*drawn[:count], b" \n", b"no \xff UTF-8")]

    def from_requests(self, requests: Sequence[tuple[bytes, ...]], spec: TextSpec, folder: Path) -> Source:
        """Decode what is UTF-8."""
        decoded = {str(number): texts for number, request in enumerate(requests) if (texts := _decoded(request))}
        columns = np.array(list(decoded.values()), object).reshape(-1, 1 + spec.pairs)
        examples = columns if spec.pairs else columns[:, 0]
        return Source(self.name, "arrays", examples, ids=np.array(list(decoded), object))

    def to_config(self, spec: TextSpec, folder: Path) -> dict[str, Any]:
        """Write the vocabulary, and what else is large, beside the other values."""
        for name, content in config.to_files(spec).items():
            (folder / name).write_bytes(content)
        return config.to_config(spec)

    def from_config(self, config_: dict[str, Any], folder: Path) -> TextSpec:
        """Bring the spec back."""
        return config.from_config(config_, folder)

    def about(self, spec: TextSpec) -> dict[str, Any]:
        """Add how texts become token ids, without the vocabulary itself."""
        own = config.to_config(spec)
        return {**super().about(spec), **own, "vocabulary_size": len(spec.tokenizer.vocabulary)}


def _decoded(request: tuple[bytes, ...]) -> tuple[str, ...]:
    """Return texts of a request; () if they are no UTF-8."""
    try:
        return tuple(text.decode() for text in request)
    except UnicodeDecodeError:
        return ()


register_modality(TextModality())
