"""A stand-in for espeak-ng: a tone for each word, in another pitch for each voice."""

from tests.sounds import tone, wav
from tltk.demo import speech

WORDS = ("yes", "no", "up")


def stand_in(monkeypatch):
    """Replace espeak-ng by eight voices of tones; return them."""
    voices = speech.Espeak("espeak-ng", {}, tuple(f"voice{number}" for number in range(8)))
    monkeypatch.setattr(speech, "espeak", lambda folder: voices)

    def speak(speaker, order):
        pitch = 300 * 2.5 ** WORDS.index(order.word) * (1 + 0.02 * int(order.voice[-1]))
        return wav(tone(pitch=pitch, seconds=60 / order.speed, rate=8000, seed=order.pitch), 8000)

    monkeypatch.setattr(speech, "speak", speak)
    return voices
