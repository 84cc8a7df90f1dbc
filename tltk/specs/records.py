"""Frozen records that every layer above shares: what a model eats, what its outputs are called."""

from dataclasses import dataclass, field
from typing import ClassVar

from tltk.foundation import checks as check

RESIZES = ("stretch", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "area")
TEXT_CUTS = ("wordpiece", "bytepair", "unigram")
CUTS = ("end", "start", "middle")
LABEL_TYPES = ("categorical", "multilabel", "regression", "entities", "answers")


@dataclass(frozen=True)
class ImageSpec:
    """What an image backbone eats: RGB pictures, float32 in [0, 255], as [batch, height, width, channels].

    Args:
        height: rows in pixels the weights were trained at; others work if the backbone is fully convolutional.
        width: columns in pixels.
        channels: 3 for every Keras Applications model.
        resize: how a picture of another shape gets there. "stretch" shows the whole picture and bends it,
            "crop" keeps its proportions and cuts the longer side, "pad" keeps its proportions and adds black bars.
        interpolation: kernel of the (antialiased) resize.
        crop_fraction: with "crop", the central share that is kept; 0.875 is the 256 → 224 of ImageNet's papers.
    """

    height: int
    width: int
    channels: int = 3
    resize: str = "stretch"
    interpolation: str = "bilinear"
    crop_fraction: float = 1.0

    name: ClassVar[str] = "pixels"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check.positive(height=self.height, width=self.width, channels=self.channels, crop_fraction=self.crop_fraction)
        check.one_of("resize", self.resize, RESIZES)
        check.one_of("interpolation", self.interpolation, INTERPOLATIONS)
        check.within("crop_fraction", self.crop_fraction, low=0, high=1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.height, self.width, self.channels)

    def describe(self) -> str:
        """Say in a word or two how large an example is."""
        return f"{self.height}×{self.width}"


@dataclass(frozen=True)
class TextSpec:
    """What a text backbone eats: numbers of a vocabulary, int32 [batch, tokens], padded at the end.

    Args:
        length: most tokens that a text may have, special ones included.
        vocabulary: every piece, in the order of its number.
        kind: how words are cut: "wordpiece" (BERT), "bytepair" (GPT-2, RoBERTa) or "unigram" (SentencePiece: ALBERT,
            XLM-RoBERTa, DeBERTa-v3).
        lowercase: whether capitals become small letters ("wordpiece").
        strip_accents: whether "é" becomes "e" ("wordpiece").
        merges: pairs of pieces that become one, the first one first ("bytepair").
        prefix_space: whether a text that begins with no space gets one ("bytepair").
        rules: content of the model's SentencePiece file ("unigram").
        begin: token before every text; "" for none.
        end: token behind every text; "" for none.
        padding: token that fills a batch up.
        unknown: token for what is in no way in the vocabulary.
        between: tokens between the two texts of a pair.
        causal: whether each token sees only those before it, so that the last one knows the whole text.
        pairs: whether an example is two texts.
        cut: what goes of a text that is too long: its "end", its "start" or its "middle" (Sun et al. 2019, section
            5.3.1, found that head and tail together serve best).
        stride: tokens that two windows of a text share; None cuts instead of making windows.
        width: tokens that every text is padded to; None pads each batch to its own longest text.
    """

    length: int
    vocabulary: tuple[str, ...] = field(repr=False)
    kind: str = "wordpiece"
    lowercase: bool = True
    strip_accents: bool = True
    merges: tuple[str, ...] = field(default=(), repr=False)
    prefix_space: bool = False
    rules: bytes = field(default=b"", repr=False)
    begin: str = "[CLS]"
    end: str = "[SEP]"
    padding: str = "[PAD]"
    unknown: str = "[UNK]"
    between: tuple[str, ...] = ("[SEP]",)
    causal: bool = False
    pairs: bool = False
    cut: str = "end"
    stride: int | None = None
    width: int | None = None

    name: ClassVar[str] = "token_ids"
    dtype: ClassVar[str] = "int32"

    def __post_init__(self) -> None:
        check.positive(length=self.length)
        problems = check.Problems()
        least = 3 + 3 * self.pairs
        if self.length < least:
            what = "two texts and three special tokens" if self.pairs else "a token between two special ones"
            problems.add(f"`length` must leave room for {what}. Received: {self.length}")
        if self.stride is not None and not 0 <= self.stride <= self.length // 4:
            problems.add(
                f"`stride` must be at least 0 and at most a quarter of `length` ({self.length // 4}). "
                f"Received: {self.stride}"
            )
        if self.cut not in CUTS:
            near = check.did_you_mean(self.cut, CUTS)
            problems.add(f"`cut` must be one of {', '.join(map(repr, CUTS))}. Received: {self.cut!r}.{near}")
        known = set(self.vocabulary)
        check.one_of("kind", self.kind, TEXT_CUTS)
        named = {name: getattr(self, name) for name in ("begin", "end", "padding", "unknown")}
        for name, token in (*named.items(), *(("between", token) for token in self.between)):
            if token not in known and (token or name not in ("begin", "end")):
                problems.add(f"`{name}` is {token!r}, which the vocabulary of {len(known)} pieces has not")
        problems.raise_if_any()

    @property
    def shape(self) -> tuple[int | None]:
        """Tokens of an example; None where they vary."""
        return (self.width,)

    def describe(self) -> str:
        """Say in a word or two how large an example is."""
        return f"{self.length} tokens"

    def number(self, token: str) -> int:
        """Return the number of a piece."""
        return self.vocabulary.index(token)

    def special(self, *, pair: bool) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Return the special tokens before, between and behind the texts of an example."""
        begin, end = ((token,) if token else () for token in (self.begin, self.end))
        return begin, self.between if pair else (), end


@dataclass(frozen=True)
class LabelSpec:
    """What the targets of a source mean.

    Args:
        names: class names in the order of the model's outputs; for numbers, the names of the columns.
        type: "categorical" (one class each, int32 index), "multilabel" (any number of classes each, 0/1 vector),
            "regression" (float32 vector),
            "entities" (any number of `Span` each; the names are the types of entities) or
            "answers" (any number of `Span` each, which say the same; none where the question has no answer).
        mean: for numbers, the mean of each column over the source, so that a head can predict in units of deviations.
        std: for numbers, the standard deviation of each column; never 0.
    """

    names: tuple[str, ...]
    type: str = "categorical"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check.one_of("type", self.type, LABEL_TYPES)
        problems = check.Problems()
        repeated = sorted({name for name in self.names if self.names.count(name) > 1}) if len(self.names) < 5000 else []
        if not self.names:
            problems.add("`names` must hold at least one name. Received: ()")
        if repeated:
            problems.add(f"`names` must be unique. Received twice: {check.listing(repeated)}")
        problems.raise_if_any()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Span:
    """A part of a text.

    Args:
        start: its first character (code point), from 0.
        stop: the one behind its last character.
        label: the type of the entity; "" for an answer.
        probability: that the model gives it; None in what is to be learned.
    """

    start: int
    stop: int
    label: str = ""
    probability: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class InvalidExample:
    """One example that could not be read, and why.

    Args:
        example_id: its path, or "file.csv, row 12".
        reason: what is wrong, in words: "0 bytes", "truncated JPEG", "100.0 megapixels (limit 89.5)".
    """

    example_id: str
    reason: str
