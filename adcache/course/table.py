"""Tables for lessons: the same text on every backend, and HTML in a notebook."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

# Only borders and padding: colours are the notebook theme's, light or dark.
STYLE = "text-align:{};padding:0.2em 0.8em;vertical-align:top;white-space:pre-wrap"


class Table:
    """Columns and rows that print as aligned text.

    >>> Table(["who", "ads"], [["ada", 3]])
    who  ads
    ada    3
    """

    def __init__(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = ""
    ) -> None:
        self.title = title
        self.columns = tuple(columns)
        self.rows = [tuple(row) for row in rows]

    def __repr__(self) -> str:
        lines = [list(self.columns), *([_text(v) for v in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = self._numeric()
        printed = [
            "  ".join(
                text.rjust(width) if number else text.ljust(width)
                for text, width, number in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(([self.title] if self.title else []) + printed)

    def _repr_html_(self) -> str:
        align = ["right" if number else "left" for number in self._numeric()]
        head = "".join(
            f'<th scope="col" style="{STYLE.format(side)}">{html.escape(name)}</th>'
            for name, side in zip(self.columns, align, strict=True)
        )
        body = "".join(f"<tr>{_cells(row, align)}</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        head = f"<thead><tr>{head}</tr></thead>"
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>"

    def __len__(self) -> int:
        return len(self.rows)

    def _numeric(self) -> list[bool]:
        """Which columns hold numbers only, and so stand to the right."""
        return [
            bool(self.rows)
            and all(isinstance(row[i], int | float) for row in self.rows)
            for i in range(len(self.columns))
        ]


def _cells(row: Sequence[Any], align: Sequence[str]) -> str:
    return "".join(
        f'<td style="{STYLE.format(side)}">{html.escape(_text(value))}</td>'
        for value, side in zip(row, align, strict=True)
    )


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
