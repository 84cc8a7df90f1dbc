from dataclasses import dataclass, field

import numpy as np
import pytest
from markupsafe import Markup

from tltk.foundation import display


@dataclass(frozen=True)
class Record:
    name: str
    rate: float = 0.1
    options: dict = field(default_factory=dict)
    values: tuple = ()
    array: np.ndarray | None = None

    __repr__ = display.short_repr


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Record("a"), "Record(name='a')"),
        (Record("a", 0.1, {}, ()), "Record(name='a')"),
        (Record("a", 1), "Record(name='a', rate=1)"),
        (Record("a", options={"z": 1, "a": (2, 3)}), "Record(name='a', options={'z': 1, 'a': (2, 3)})"),
        (Record("a", values=tuple(range(9))), "Record(name='a', values=(0, 1, 2, 3, 4, ...))"),
        (Record("a", array=np.zeros((2, 3), "int32")), "Record(name='a', array=int32[2, 3])"),
        (Record("a", values=(Record("b"),)), "Record(name='a', values=(Record(name='b'),))"),
    ],
)
def test_a_short_text_shows_what_differs_from_the_defaults(record, text):
    assert repr(record) == text


def test_a_short_text_stays_below_500_characters():
    long = Record("n" * 1000, options={str(i): "v" * 100 for i in range(100)}, values=tuple(["x" * 100] * 100))
    assert len(repr(Record("a", values=(long, long, long)))) < 500
    assert repr(long).endswith("…)")


def test_html_escapes_text_and_leaves_out_empty_tables():
    script = display.Table(("a<",), [("<script>",)], title="T&T")
    page = display.html("<b>", [script, display.Table(("none",), []), display.Table((), [])])
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;" in page and "T&amp;T" in page
    assert page.count("<table>") == 1 and "none" not in page


def test_cells_are_shortened_and_further_rows_are_counted():
    table = display.Table(("n", "x"), [(1234567, 0.123456789)] * 25)
    assert table.rows[0] == ("1,234,567", "0.1235")
    assert len(table.rows) == 21 and table.rows[-1] == ("… 5 more", "")
    assert display.shortened("a" * 300) == "a" * 200 + "…"
    assert display.shortened(np.zeros((2, 2), "uint8")) == "uint8[2, 2]"


def test_a_picture_is_html():
    assert display.picture(b"\x89PNG") == Markup('<img src="data:image/png;base64,iVBORw==">')
