"""What every lab is made of: labelled controls, buttons, and one place for errors.

A lab is thin: it reads its controls, asks a pure function, and shows the
answer as a sentence and a picture. ipywidgets is imported when a lab is built.
"""

import html
from collections.abc import Callable
from typing import Any

from adcache.errors import AdCacheError
from adcache.widgets.keyboard import keep_keys
from adcache.widgets.needs import need
from adcache.widgets.pictures import Figure, picture, svg_of

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MAIN_COLOUR = "#0b5394"  # white on it: 7.6 to 1
CONTROL = {"description_width": "initial"}
STYLE = (
    keep_keys("adcache-lab")
    + """<style>
.adcache-lab { padding: 12px; max-width: 62em; border-radius: 6px;
  border: 1px solid var(--jp-border-color1, #8a8a8a); }
.adcache-lab svg { display: block; width: 100%; height: auto; }
.adcache-lab svg text { font-family: var(--jp-ui-font-family, sans-serif) !important; }
.adcache-lab .widget-html-content { line-height: 1.5; font-size: 115%; }
.adcache-lab .adcache-error { padding: 6px 10px; border-left: 5px solid #c2571a; }
.adcache-lab select { appearance: auto; background-image: none !important; }
.adcache-lab .widget-readout { min-width: 0; width: 3.5em; }
.adcache-lab .noUi-connects { background: #7b7f86; }
.adcache-lab .noUi-handle { border: 2px solid #2f7fc1; }
.adcache-lab button:focus-visible, .adcache-lab select:focus-visible
  { outline: 3px solid #2f7fc1; outline-offset: 2px; }
</style>"""
)


class Lab:
    """The frame of a lab: a sentence, a picture, and errors where they happen.

    `hook` names its parts for tests: ``e2e-<hook>-said``, ``-picture``,
    ``-error``. A subclass adds controls, then calls `assemble`.
    """

    def __init__(self, hook: str) -> None:
        self.widgets = need("ipywidgets")
        self.hook = hook
        self.said = self._named(self._html(), "said")
        self.picture = self._named(self._html(), "picture")
        self.error = self._named(self._html(), "error")
        self.box: Any = None

    def button(self, words: str, name: str, do: Callable[[], None]) -> Any:
        """Make a button; what `do` raises is shown in the lab."""
        layout = self.widgets.Layout(width="auto")
        button = self.widgets.Button(description=words, layout=layout)
        button.on_click(lambda _: self.guarded(do))
        return self._named(button, name)

    def control(
        self, kind: str, name: str, label: str, width: str = "17em", **options: Any
    ) -> Any:
        """Make an input with its label beside it."""
        make = getattr(self.widgets, kind)
        layout = self.widgets.Layout(width=width, max_width="100%")
        control = make(description=label, style=CONTROL, layout=layout, **options)
        return self._named(control, name)

    def assemble(self, controls: list[Any], buttons: list[Any], *more: Any) -> None:
        """Lay the lab out; the first button is the one to press first."""
        buttons[0].style.button_color = MAIN_COLOUR
        buttons[0].style.text_color = "white"
        wrap = self.widgets.Layout(flex_flow="row wrap", grid_gap="0 14px")
        rows = [self.widgets.Box(row, layout=wrap) for row in (controls, buttons)]
        style = self.widgets.HTML(STYLE, layout=self.widgets.Layout(height="0"))
        parts = [style, *rows, *more, self.error, self.said, self.picture]
        self.box = self.widgets.VBox(parts)
        self.box.add_class("adcache-lab")
        self._named(self.box, "lab")

    def guarded(self, do: Callable[[], None]) -> None:
        """Call `do`; an error is shown in the lab, not in a log nobody reads."""
        try:
            do()
            self.error.value = ""
        except AdCacheError as problem:
            self._fail(str(problem))
        except Exception as problem:
            self._fail(f"The lab itself failed ({type(problem).__name__}: {problem})")

    def say(self, sentence: str) -> None:
        """Put a sentence under the buttons, last of all; screen readers speak it."""
        text = html.escape(sentence)
        self.said.value = f'<div role="status" aria-live="polite">{text}</div>'

    def draw(self, figure: Figure, alt: str) -> None:
        """Replace the picture at once: an SVG in the colours of the page."""
        self.picture.value = svg_of(figure, alt)

    def display(self, figure: Figure, alt: str) -> None:
        """Show the live lab; where there is no kernel, `figure` stands for it."""
        data, metadata = picture(figure, alt)
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        need("IPython.display").display(
            data | {WIDGET_VIEW: view}, metadata=metadata, raw=True
        )

    def _fail(self, problem: str) -> None:
        """Show what went wrong instead of an answer that no longer holds."""
        self.said.value = ""
        text = f"<b>Error.</b> {html.escape(problem)}"
        self.error.value = f'<div role="alert" class="adcache-error">{text}</div>'

    def _html(self) -> Any:
        return self.widgets.HTML(layout=self.widgets.Layout(width="100%"))

    def _named(self, widget: Any, name: str) -> Any:
        widget.add_class(f"e2e-{self.hook}-{name}")
        return widget
