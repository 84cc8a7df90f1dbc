"""Shared by the text examples: command-line options, and generated texts for `--tiny` and the benchmarks.

Names are built from syllables. No name occurs in both the training and the test part, so that a model cannot memorize
them and has to use the words around them.
"""

import argparse
import random
import zlib
from pathlib import Path

from tltk.data.formats.conll import from_words
from tltk.data.formats.squad import from_questions
from tltk.data.source import Source

MINILM = "all_minilm_l6_v2_en"
NOTE = "--tiny: generated texts and MiniLM; the metrics say little about real texts"
_SYLLABLES = (
    *("ba", "ko", "ri", "mun", "tel", "dar", "fi", "so", "len", "vor", "gri", "pa", "ni"),
    *("chu", "est", "mo", "ka", "lin", "or", "ta", "ver", "shi", "ul", "be", "zan", "do"),
)
_TEMPLATES = (
    "{person} moved to {place} last year .",
    "{person} works for {company} .",
    "shares of {company} fell after {person} resigned .",
    "the mayor of {place} met {person} on Monday .",
    "{company} opened a new office in {place} .",
    "born in {place} , {person} studied law .",
    "it rained all day in {place} .",
    "{person} and {person} married in {place} .",
    "nobody at {company} wanted to comment .",
    "{company} bought {company} for two million .",
    "the train from {place} to {place} was late .",
    "we had soup and bread for lunch .",
    "yesterday , {person} told reporters that {company} would hire again .",
    "the old bridge is closed until spring .",
)
_TRADES = ("baker", "teacher", "sailor", "doctor", "painter", "farmer", "judge", "singer")


def parser(description: str, *, out: str) -> argparse.ArgumentParser:
    """Build a parser with the options of every text example."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backbone", help="name or folder of a preset; default: that of the example, MiniLM with --tiny"
    )
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for the run and its report")
    parser.add_argument("--tiny", action="store_true", help=NOTE)
    return parser


def parsed(parser: argparse.ArgumentParser, data: str, *, backbone: str) -> argparse.Namespace:
    """Parse the command line; with `--tiny`, print a note and use MiniLM."""
    options = parser.parse_args()
    if not options.tiny and getattr(options, data) is None:
        parser.error(f"pass the {data}, or --tiny")
    options.backbone = options.backbone or (MINILM if options.tiny else backbone)
    if options.tiny:
        print(NOTE)
    return options


def name(generator: random.Random, part: int) -> str:
    """Generate a name that can occur in this part only, 0 or 1."""
    while True:
        candidate = "".join(generator.choice(_SYLLABLES) for _ in range(generator.randint(2, 3))).capitalize()
        if zlib.crc32(candidate.encode()) % 2 == part:
            return candidate


def entities(count: int, *, part: int, seed: int = 0) -> Source:
    """Generate sentences in which persons, places and companies are marked.

    Args:
        count: Number of sentences.
        part: 0 for training, 1 for the test: no name occurs in both.
        seed: Seed of the sentences.
    """
    generator = random.Random(f"{seed} {part}")
    words, tags = [], []
    for _ in range(count):
        tagged_words: list[tuple[str, str]] = []
        for word in generator.choice(_TEMPLATES).split():
            if word[0] != "{":
                tagged_words.append((word, "O"))
                continue
            entity_type, length = word[1:-1], generator.randint(1, 2)
            names = [name(generator, part) for _ in range(length)]
            tagged_words += [(item, f"{'BI'[index > 0]}-{entity_type}") for index, item in enumerate(names)]
        words.append([word for word, _ in tagged_words])
        tags.append([tag for _, tag in tagged_words])
    return from_words(words, tags, labels=("company", "person", "place"))


def questions(count: int, *, part: int, seed: int = 0) -> Source:
    """Generate questions about the people of a paragraph; one in five is about a person who is not mentioned."""
    generator = random.Random(f"{seed} {part}")
    question_texts, contexts, answers = [], [], []
    for _ in range(count):
        people = [(name(generator, part), name(generator, part), generator.choice(_TRADES)) for _ in range(3)]
        sentences = [
            generator.choice(
                (f"{who} lives in {place} and is a {trade}.", f"In {place} there is a {trade} called {who}.")
            )
            for who, place, trade in people
        ]
        context, (who, place, trade) = " ".join(sentences), generator.choice(people)
        about_place = generator.random() < 0.5
        missing = generator.random() < 0.2
        who = name(generator, part) if missing else who
        missing = missing and all(who != person for person, _, _ in people)
        question_texts.append(f"Where does {who} live?" if about_place else f"What does {who} do?")
        contexts.append(context)
        answer = place if about_place else trade
        start = context.index(sentences[[person for person, _, _ in people].index(who)]) if not missing else 0
        answers.append([] if missing else [(context.index(answer, start), answer)])
    return from_questions(question_texts, contexts, answers)


def reviews(count: int, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Generate short film reviews, and their sentiment."""
    generator = random.Random(seed)
    good = ("wonderful", "moving", "clever", "delightful", "I loved it", "a great cast")
    bad = ("dull", "a waste of time", "badly acted", "I hated it", "far too long", "a weak story")
    texts, labels = [], []
    for number in range(count):
        phrases = generator.sample((good, bad)[number % 2], 2)
        texts.append(f"{generator.choice(('The film was', 'Honestly:', 'My view of it:'))} {phrases[0]}, {phrases[1]}.")
        labels.append(("positive", "negative")[number % 2])
    return texts, labels


def pairs(count: int, *, seed: int = 0) -> tuple[list[tuple[str, str]], list[float]]:
    """Generate pairs of sentences, and their similarity: 1, 0.5 (about the same person) or 0."""
    generator = random.Random(seed)
    sentence_pairs, similarity = [], []
    for number in range(count):
        who, other = name(generator, 0), name(generator, 0)
        trade, place = generator.choice(_TRADES), name(generator, 0)
        first = f"{who} is a {trade}."
        second = (f"{who} works as a {trade}.", f"{who} lives in {place}.", f"{other} likes soup.")[number % 3]
        sentence_pairs.append((first, second))
        similarity.append((1.0, 0.5, 0.0)[number % 3])
    return sentence_pairs, similarity
