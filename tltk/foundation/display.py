"""How records are shown: short text for `repr`, and tables for notebooks."""

import base64
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from markupsafe import Markup

_TABLES = """\
<div>
<p>{{ summary }}</p>
{% for table in tables %}
<table>
{% if table.title %}
<caption>{{ table.title }}</caption>
{% endif %}
<thead><tr>{% for heading in table.headings %}<th>{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
</div>
"""
_MAX_LENGTH = 480  # characters of a short text


class _Short(reprlib.Repr):
    """Shortens collections, strings and nested records."""

    def __init__(self) -> None:
        super().__init__()
        self.maxtuple = self.maxlist = self.maxdict = 5
        self.maxstring, self.maxother, self.maxlevel = 60, 200, 4

    def repr_dict(self, values: dict[Any, Any], level: int) -> str:
        """Show the first entries in their order; the original sorts them."""
        shown = [f"{key!r}: {self.repr1(value, level - 1)}" for key, value in list(values.items())[: self.maxdict]]
        return f"{{{', '.join(shown + ['...'] * (len(values) > self.maxdict))}}}"

    def repr_ndarray(self, array: "np.ndarray", level: int) -> str:
        """Show dtype and shape of an array."""
        return f"{array.dtype}{list(array.shape)}"


_SHORT = _Short()


def short_repr(record: Any) -> str:
    """Return a text such as "Optimizer(name='sgd', learning_rate=0.1)": the fields that differ from their defaults.

    Long collections and strings are shortened, so that the text stays below 500 characters.

    Args:
        record: Instance of a dataclass, which uses this function as its `__repr__`.
    """
    shown = [field for field in fields(record) if field.repr and _is_changed(getattr(record, field.name), field)]
    values = [f"{field.name}={_SHORT.repr(getattr(record, field.name))}" for field in shown]
    text = f"{type(record).__name__}({', '.join(values)})"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…)"


def _is_changed(value: Any, field: Field) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is MISSING or hasattr(value, "__array__") or type(value) is not type(default) or value != default


def shortened(value: Any) -> str:
    """Return a value as text of at most 200 characters; arrays by dtype and shape."""
    text = value if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


class Table:
    """A table of a record shown in a notebook.

    Args:
        headings: Names of the columns.
        rows: One value per column; values of type `markupsafe.Markup` are HTML, all others are text.
        title: Title above the table.
        limit: Rows that are shown; a last row counts the others.
    """

    def __init__(
        self, headings: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", limit: int = 20
    ) -> None:
        self.title, self.headings = title, tuple(headings)
        all_rows = [tuple(map(_cell, row)) for row in rows]
        self.rows = all_rows[:limit]
        if len(all_rows) > limit:
            self.rows.append((f"… {len(all_rows) - limit:,} more", *[""] * (len(self.headings) - 1)))


def invalid_table(invalid: Iterable[Any]) -> Table:
    """Return the table of examples that could not be read, records `InvalidExample`."""
    return Table(("invalid example", "reason"), ((example.example_id, example.reason) for example in invalid))


def picture(data: bytes, file_format: str = "png") -> "Markup":
    """Return an image as a cell of a table.

    Args:
        data: Contents of an image file.
        file_format: "png" or "jpeg".
    """
    from markupsafe import Markup

    return Markup('<img src="data:image/{};base64,{}">').format(file_format, base64.b64encode(data).decode())


def html(summary: str, tables: Iterable[Table] = ()) -> str:
    """Return HTML for `_repr_html_`, in which all text is escaped; tables without rows are left out.

    Args:
        summary: Line above the tables.
        tables: Shown below each other.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TABLES).render(summary=summary, tables=[table for table in tables if table.rows])


def _cell(value: Any) -> Any:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{float(value):.4g}"
    return value
