"""Tables as text, for a terminal."""

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> str:
    """Rows in columns as wide as they need; the first row is the header.

    Args:
        rows: All of the same length.
        left: Headers of the columns that are text; numbers stand to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if title in left else cell.rjust(width)
            for cell, width, title in zip(row, widths, rows[0], strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
