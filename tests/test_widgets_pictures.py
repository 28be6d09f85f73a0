"""Figures: legible on light and dark pages, with words for those who do not see."""

import sys
from xml.etree import ElementTree

import pytest

from adcache import AdCacheError
from adcache.widgets import CourseExtraMissing, pictures, shell, show
from adcache.widgets.auction import auction_figure, revenue_figure
from adcache.widgets.frequency import Attempt, timeline_figure
from adcache.widgets.outcome import Bid, Outcome
from adcache.widgets.pictures import BLUE, GREY, INK, ORANGE, PAPER, png_of, svg_of

LIGHT_PAGE, DARK_PAGE = "#ffffff", "#111111"  # JupyterLab's two themes
OUTCOME = Outcome(1.0, 2, (Bid("a<b", 2.0, "wins"),), "a<b", 2.0, 1.0)
NOBODY = Outcome(3.0, 2, (Bid("coffee", 2.0, "below the floor"),))
TRIED = [Attempt(0, True, 0, 0.0), Attempt(1, False, 0, 59.0)]
FIGURES = {
    "auction": lambda: auction_figure(OUTCOME),
    "auction without a winner": lambda: auction_figure(NOBODY),
    "auction without bids": lambda: auction_figure(Outcome(0.0, 2, ())),
    "revenue": lambda: revenue_figure(5, [(0.5, 0.6)]),
    "revenue at first price": lambda: revenue_figure(1, at=1, top=10),
    "timeline": lambda: timeline_figure(TRIED, 1, 60, now=5),
    "empty timeline": lambda: timeline_figure([], 1, 60),
}


def luminance(colour):
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2): 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", [LIGHT_PAGE, DARK_PAGE, PAPER])
@pytest.mark.parametrize("mark", [BLUE, ORANGE, GREY])
def test_marks_stand_out_on_both_themes(mark, page):
    """Bars, dots and lines have the 3:1 that WCAG asks of graphics."""
    assert contrast(mark, page) >= 3


def test_words_stand_out():
    """Text of the PNG and of the main button have the 4.5:1 that level AA asks."""
    assert contrast(INK, PAPER) >= 4.5
    assert contrast("#ffffff", shell.MAIN_COLOUR) >= 4.5


@pytest.mark.parametrize("name", FIGURES)
def test_an_svg_takes_the_pages_ink_and_carries_its_words(name):
    """It is one well-formed element with a label, in no ink of its own."""
    words = 'bids of "a<b" & others'
    drawn = svg_of(FIGURES[name](), words)
    root = ElementTree.fromstring(drawn)  # noqa: S314  (drawn here)

    assert ("img", words) == (root.get("role"), root.get("aria-label"))
    assert "currentColor" in drawn
    assert INK not in drawn
    assert "#ffffff" not in drawn  # no white paper either


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_gives_the_same_bytes(name):
    """Nothing of the date or the version goes into a picture."""
    assert png_of(FIGURES[name]()) == png_of(FIGURES[name]())
    assert svg_of(FIGURES[name](), "x") == svg_of(FIGURES[name](), "x")


def test_show_displays_the_picture_with_its_words_and_prints_nothing(
    monkeypatch, capsys
):
    """The words stand as text and in the metadata, where web pages take them from."""
    shown = []
    stub = lambda *data, **more: shown.append((*data, more))  # noqa: E731
    monkeypatch.setattr("IPython.display.display", stub)
    show(FIGURES["revenue"](), alt="what it shows")
    data, more = shown[0]

    assert {"image/png", "text/plain"} == set(data)
    assert "what it shows" == data["text/plain"]
    assert "what it shows" == more["metadata"]["image/png"]["alt"]
    assert more["raw"]
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib.figure"])
def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, module):
    """It names the command, and is an ImportError as well as an AdCacheError."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        CourseExtraMissing, match=r"pip install adcache\[course\]"
    ) as it:
        pictures.new_figure()

    assert isinstance(it.value, ImportError)
    assert isinstance(it.value, AdCacheError)
