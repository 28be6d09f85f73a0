"""Figures that a room can read, on a light page and on a dark one.

A figure is drawn once, with matplotlib, and leaves in two forms. As a PNG it
brings its own light background (web pages, exports). As an SVG, for the labs,
it has none: its ink is the colour of the text around it, whatever the theme.
"""

import base64
import html
import io
import re
from typing import Any

from adcache.widgets.needs import need

INK = "#1b1c1d"  # text and axes; in an SVG it becomes the page's own text colour
PAPER = "#fbfaf6"  # the PNG's background
# Mid tones: at least 3:1 against white and against JupyterLab's dark page.
BLUE, ORANGE, GREY = "#2f7fc1", "#c2571a", "#7b7f86"
DOTS_PER_INCH = 144  # twice the size shown, for projectors
INKED = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "axes.titlecolor",
    "xtick.color",
    "ytick.color",
)
STYLE = {
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 1.2,
    "svg.fonttype": "none",  # real text: it can be read aloud and selected
    "svg.hashsalt": "adcache",  # the same figure gives the same bytes
    **dict.fromkeys(INKED, INK),
}

Figure = Any  # matplotlib's Figure, which need not be installed for the rest


def headline(axes: Any, conclusion: str) -> None:
    """Set the figure's title: what it shows, as a sentence."""
    axes.set_title(conclusion, loc="left", weight="bold", fontsize=12.5, color=INK)


def legend_below(figure: Figure, columns: int) -> None:
    """Explain the marks under the figure, where they cover nothing."""
    figure.legend(
        loc="outside lower left", ncols=columns, frameon=False, labelcolor=INK
    )


def new_figure(width: float = 7.6, height: float = 3.4) -> tuple[Figure, Any]:
    """Return an empty figure (inches) in the course's style, and its axes."""
    with need("matplotlib").rc_context(STYLE):
        figure = need("matplotlib.figure").Figure((width, height), layout="constrained")
        axes = figure.add_subplot(facecolor="none")
        return figure, axes


def png_of(figure: Figure) -> bytes:
    """Draw the figure as a PNG on its own light background."""
    return _saved(figure, "png", dpi=DOTS_PER_INCH, facecolor=PAPER)


def svg_of(figure: Figure, alt: str) -> str:
    """Draw the figure as an SVG element for a page of any theme.

    `alt` says in words what the picture shows; screen readers read it.
    """
    drawn = _saved(figure, "svg", transparent=True).decode()
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    label = f'<svg role="img" aria-label="{html.escape(alt)}"'
    return drawn.replace("<svg", label, 1)


def show(figure: Figure, alt: str) -> None:
    """Display the figure; `alt` says in words what it shows, and prints nothing.

    The words go out beside the picture: they are what a page without pictures
    shows and a screen reader reads, and what a comparison of outputs compares.
    """
    data, metadata = picture(figure, alt)
    need("IPython.display").display(data, metadata=metadata, raw=True)


def picture(figure: Figure, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the figure as a notebook output: its data and its metadata."""
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    png = base64.b64encode(png_of(figure)).decode()
    data = {"image/png": png, "text/plain": alt}
    return data, {"image/png": {"alt": alt, "width": width, "height": height}}


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    """Write without a date or a version: the same figure, the same bytes."""
    into = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with need("matplotlib").rc_context(STYLE):
        figure.savefig(into, format=kind, metadata=metadata, **options)
    return into.getvalue()
