"""The input format of text models: the tokenizer and the number of tokens."""

import hashlib
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from typing import ClassVar

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

TOKENIZER_TYPES = ("wordpiece", "bytepair", "unigram")
TRUNCATIONS = ("end", "start", "middle")
_OPTIONAL = ("begin", "end")  # special tokens that may be ""


@dataclass(frozen=True, eq=False, repr=False)
class TokenizerSpec:
    """The tokenizer a text model was trained with: vocabulary, settings and special tokens.

    Two specs are equal if their `digest` is equal. It is computed once per object, so that lookups in a dict or an
    `lru_cache` do not hash a vocabulary of 250,000 strings again.

    Args:
        type: Algorithm: "wordpiece" (BERT), "bytepair" (GPT-2, RoBERTa) or "unigram" (SentencePiece: ALBERT,
            XLM-RoBERTa, DeBERTa-v3).
        vocabulary: All tokens, ordered by id.
        lowercase: Whether texts are lowercased ("wordpiece").
        strip_accents: Whether "é" becomes "e" ("wordpiece").
        merges: Pairs of tokens to merge, "left right", in the order they were learned ("bytepair").
        add_prefix_space: Whether a space is added before a text that does not start with one ("bytepair").
        sentencepiece_model: Content of the SentencePiece file ("unigram").
        begin: Special token before every text, or "".
        end: Special token after every text, or "".
        padding: Token that pads the texts of a batch to one length.
        unknown: Token for words that cannot be built from the vocabulary.
        separator: Special tokens between the two texts of a pair.

    Raises:
        InvalidInput: If the type is unknown, or a special token is missing from the vocabulary.

    Examples:
        >>> tokenizer = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s"))
        >>> tokenizer
        TokenizerSpec(wordpiece, 6 tokens)
        >>> tokenizer.id_of("##s")
        5
    """

    type: str
    vocabulary: tuple[str, ...]
    _: KW_ONLY
    lowercase: bool = True
    strip_accents: bool = True
    merges: tuple[str, ...] = ()
    add_prefix_space: bool = False
    sentencepiece_model: bytes = b""
    begin: str = "[CLS]"
    end: str = "[SEP]"
    padding: str = "[PAD]"
    unknown: str = "[UNK]"
    separator: tuple[str, ...] = ("[SEP]",)

    def __post_init__(self) -> None:
        check.one_of("type", self.type, TOKENIZER_TYPES)
        special = [(name, getattr(self, name)) for name in ("begin", "end", "padding", "unknown")]
        special += [("separator", token) for token in self.separator]
        vocabulary = set(self.vocabulary)
        problems = check.Problems()
        for name, token in special:
            if token not in vocabulary and (token or name not in _OPTIONAL):
                problems.add(f"`{name}` is {token!r}, which is not in the vocabulary of {len(vocabulary)} tokens")
        problems.raise_if_any()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields, in hexadecimal."""
        hasher = hashlib.sha256()
        for field in fields(self):
            encoded = repr(getattr(self, field.name)).encode()
            hasher.update(f"{field.name} {len(encoded)} ".encode() + encoded)
        return hasher.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenizerSpec):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"TokenizerSpec({self.type}, {len(self.vocabulary)} tokens)"

    def id_of(self, token: str) -> int:
        """Return the id of a token of the vocabulary.

        Raises:
            InvalidInput: If the token is not in the vocabulary.
        """
        try:
            return self.vocabulary.index(token)
        except ValueError:
            raise InvalidInput(f"{token!r} is not in the vocabulary of {len(self.vocabulary)} tokens") from None

    def special_ids(self, *, pair: bool) -> tuple[list[int], list[int], list[int]]:
        """Return the ids of the special tokens before, between and after the texts of an example.

        Args:
            pair: Whether an example is two texts; if not, there are no ids between texts.

        Returns:
            Three lists of ids; each may be empty.
        """
        begin, end = ([self.id_of(token)] if token else [] for token in (self.begin, self.end))
        return begin, [self.id_of(token) for token in self.separator] if pair else [], end


@dataclass(frozen=True)
class TextSpec:
    """Input format of a text backbone: token ids, int32, shape [batch, tokens], padded at the end.

    Args:
        tokenizer: How texts become tokens.
        sequence_length: Maximum number of tokens of a text, special tokens included.
        pairs: Whether an example is two texts.
        truncation: Which side of an overlong text is truncated: "end", "start" or "middle" (Sun et al. 2019, section
            5.3.1, found that keeping head and tail works best).
        overlap: Number of tokens that two consecutive windows of an overlong text share; None truncates instead.
        pad_to: Number of tokens every text is padded to; None pads each batch to its longest text.
        causal: Whether each token attends only to those before it, so that the last token summarizes the text.

    Raises:
        InvalidInput: If a number is out of range, or `truncation` is unknown.

    Examples:
        >>> tokenizer = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s"))
        >>> TextSpec(tokenizer, 128).shape
        (None,)
    """

    tokenizer: TokenizerSpec
    sequence_length: int
    _: KW_ONLY
    pairs: bool = False
    truncation: str = "end"
    overlap: int | None = None
    pad_to: int | None = None
    causal: bool = False

    name: ClassVar[str] = "token_ids"
    dtype: ClassVar[str] = "int32"

    def __post_init__(self) -> None:
        check.instance_of("tokenizer", self.tokenizer, TokenizerSpec)
        check.positive(sequence_length=self.sequence_length)
        problems = check.Problems()
        if self.truncation not in TRUNCATIONS:
            choices, hint = ", ".join(map(repr, TRUNCATIONS)), check.did_you_mean(self.truncation, TRUNCATIONS)
            problems.add(f"`truncation` must be one of {choices}. Received: {self.truncation!r}.{hint}")
        minimum = 6 if self.pairs else 3
        if self.sequence_length < minimum:
            contents = "two texts and three special tokens" if self.pairs else "a token between two special tokens"
            problems.add(
                f"`sequence_length` must be at least {minimum}, room for {contents}. Received: {self.sequence_length}"
            )
        max_overlap = self.sequence_length // 4
        if self.overlap is not None and not (check.is_whole(self.overlap) and 0 <= self.overlap <= max_overlap):
            problems.add(
                "`overlap` must be a whole number of at least 0 and at most a quarter of `sequence_length` "
                f"({max_overlap}). Received: {self.overlap}"
            )
        problems.raise_if_any()

    @property
    def shape(self) -> tuple[int | None]:
        """Number of tokens of an example; None if it varies."""
        return (self.pad_to,)

    @property
    def padding_id(self) -> int:
        """Id of the padding token."""
        return self.tokenizer.id_of(self.tokenizer.padding)

    def describe(self) -> str:
        """Return the size of an example for people, such as "128 tokens"."""
        return f"{self.sequence_length} tokens"
