"""What the examples on texts share: their options, and generated texts for `--tiny` and the benchmarks.

Names are made of syllables, and those of one part never occur in the other, so that a model cannot look them up: it
has to read what stands around them.
"""

import argparse
import random
import zlib
from pathlib import Path

from tltk.data.formats.conll import from_words
from tltk.data.formats.squad import from_questions
from tltk.data.source import Source

MINILM = "all_minilm_l6_v2_en"
NOTE = "--tiny: generated texts and MiniLM; the numbers say little of real texts"
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
_SENTENCES = ("{who} lives in {place} and is a {trade}.", "In {place} there is a {trade} called {who}.")
_TRADES = ("baker", "teacher", "sailor", "doctor", "painter", "farmer", "judge", "singer")


def parser(description: str, *, out: str) -> argparse.ArgumentParser:
    """Make a parser with the options that every example on texts takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--backbone", help="a preset's name or folder; default: what the example says, MiniLM with --tiny"
    )
    made.add_argument("--out", type=Path, default=Path(out), help="folder for the run and its report")
    made.add_argument("--tiny", action="store_true", help=NOTE)
    return made


def parsed(made: argparse.ArgumentParser, data: str, *, backbone: str) -> argparse.Namespace:
    """Read the command line; with `--tiny`, say so and take MiniLM."""
    options = made.parse_args()
    if not options.tiny and getattr(options, data) is None:
        made.error(f"name the {data}, or say --tiny")
    options.backbone = options.backbone or (MINILM if options.tiny else backbone)
    if options.tiny:
        print(NOTE)
    return options


def name(generator: random.Random, part: int) -> str:
    """Make a name that only this part, 0 or 1, can hold."""
    while True:
        made = "".join(generator.choice(_SYLLABLES) for _ in range(generator.randint(2, 3))).capitalize()
        if zlib.crc32(made.encode()) % 2 == part:
            return made


def entities(count: int, *, part: int, seed: int = 0) -> Source:
    """Generate sentences with persons, places and companies marked.

    Args:
        count: of sentences.
        part: 0 to learn from, 1 to test: no name is in both.
        seed: equal seeds give equal sentences.
    """
    generator = random.Random(f"{seed} {part}")
    words, tags = [], []
    for _ in range(count):
        held: list[tuple[str, str]] = []
        for word in generator.choice(_TEMPLATES).split():
            if word[0] != "{":
                held.append((word, "O"))
                continue
            kind, parts = word[1:-1], generator.randint(1, 2)
            made = [name(generator, part) for _ in range(parts)]
            held += [(each, f"{'BI'[at > 0]}-{kind}") for at, each in enumerate(made)]
        words.append([word for word, _ in held])
        tags.append([tag for _, tag in held])
    return from_words(words, tags, labels=("company", "person", "place"))


def questions(count: int, *, part: int, seed: int = 0) -> Source:
    """Generate questions about the people of a paragraph, one in five about somebody who is not in it."""
    generator = random.Random(f"{seed} {part}")
    asked, contexts, answers = [], [], []
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
        missing = missing and all(who != each for each, _, _ in people)
        asked.append(f"Where does {who} live?" if about_place else f"What does {who} do?")
        contexts.append(context)
        answer = place if about_place else trade
        at = context.index(sentences[[each for each, _, _ in people].index(who)]) if not missing else 0
        answers.append([] if missing else [(context.index(answer, at), answer)])
    return from_questions(asked, contexts, answers)


def reviews(count: int, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Generate short judgements of films, and whether they are good."""
    generator = random.Random(seed)
    good = ("wonderful", "moving", "clever", "delightful", "I loved it", "a great cast")
    bad = ("dull", "a waste of time", "badly acted", "I hated it", "far too long", "a weak story")
    texts, labels = [], []
    for number in range(count):
        said = generator.sample((good, bad)[number % 2], 2)
        texts.append(f"{generator.choice(('The film was', 'Honestly:', 'My view of it:'))} {said[0]}, {said[1]}.")
        labels.append(("positive", "negative")[number % 2])
    return texts, labels


def pairs(count: int, *, seed: int = 0) -> tuple[list[tuple[str, str]], list[float]]:
    """Generate pairs of sentences, and how much they say the same: 1, 0.5 (of the same person) or 0."""
    generator = random.Random(seed)
    found, similarity = [], []
    for number in range(count):
        who, other = name(generator, 0), name(generator, 0)
        trade, place = generator.choice(_TRADES), name(generator, 0)
        first = f"{who} is a {trade}."
        second = (f"{who} works as a {trade}.", f"{who} lives in {place}.", f"{other} likes soup.")[number % 3]
        found.append((first, second))
        similarity.append((1.0, 0.5, 0.0)[number % 3])
    return found, similarity
