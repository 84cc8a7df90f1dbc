"""Count epochs and keep the list of unreadable files, beside a stream of batches."""

from collections.abc import Callable, Iterator
from threading import Lock

from tltk.foundation import checks as check
from tltk.pipeline.readers import Piece
from tltk.specs import InvalidExample


class Epochs:
    """Which epoch comes next, and which files have been found unreadable so far.

    Args:
        name_of: number in the source → name for reports.
    """

    def __init__(self, name_of: Callable[[int], str]) -> None:
        self.next = 0
        self.invalid: list[InvalidExample] = []
        self._name_of = name_of
        self._known: set[int] = set()
        self._lock = Lock()

    def start_at(self, epoch: int) -> None:
        """Make `epoch` the next one."""
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise ValueError(f"`epoch` must be a whole number of at least 0. Received: {epoch!r}")
        self.next = epoch

    def finished(self, epoch: int) -> bool:
        """Note that the last batch of an epoch has been taken; one that was only peeked at does not count."""
        self.next = int(epoch) + 1
        return True

    def watch(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Pass pieces on, and list what is bad in them.

        Raises:
            ValueError: at the end, if nothing could be read.
        """
        some = False
        for piece in pieces:
            some = some or len(piece.positions) > 0
            self._list(piece.invalid)
            yield piece
        if not some:
            shown = check.listing((f"{example.example_id} ({example.reason})" for example in self.invalid), limit=5)
            raise ValueError(f"none of the {len(self.invalid)} pictures could be decoded: {shown}")

    def _list(self, invalid: dict[int, str]) -> None:
        with self._lock:
            for number, reason in sorted(invalid.items()):
                if number not in self._known:
                    self._known.add(number)
                    self.invalid.append(InvalidExample(self._name_of(number), reason))
