"""Guess before you run: a question, and what each possible answer teaches."""

import contextlib
import html
import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any, NamedTuple

from adcache.course import progress_file
from adcache.errors import InvalidValue


class Question(NamedTuple):
    """A question as a lesson asks it; `answer` is the right option's letter."""

    key: str
    text: str
    options: dict[str, str]
    answer: str

    def lettered(self) -> dict[str, str]:
        """Letter -> option text."""
        return dict(zip(ascii_uppercase, self.options, strict=False))

    def __str__(self) -> str:
        lines = [f"Predict {self.key}: {self.text}"]
        lines += [f"  {letter}  {text}" for letter, text in self.lettered().items()]
        lines.append(f'Choose one below, or run: predict("{self.key}", choose="A")')
        return "\n".join(lines)


_asked: dict[str, Question] = {}


def predict(
    key: str,
    question: str = "",
    options: Mapping[str, str] | None = None,
    answer: str = "",
    *,
    choose: str = "",
) -> None:
    """Ask the reader to guess; show feedback only after a choice.

    `options` maps each option to its feedback (why it is wrong, or right);
    `answer` is the right option, by its text or its letter. Where widgets
    cannot be shown, ``predict(key, choose="B")`` answers. The first choice is
    noted in the progress file. Raises `InvalidValue` for an unknown key,
    letter or answer.
    """
    if options is not None:
        _asked[key] = _question(key, question, options, answer)
    if key not in _asked:
        raise InvalidValue(f"no question {key!r} yet: run the cell that asks it first")
    if choose:
        print(feedback(key, choose))  # noqa: T201
    else:
        _show(_asked[key])


def feedback(key: str, letter: str) -> str:
    """Note a choice and return its feedback, which starts with the verdict."""
    question = _asked[key]
    letter, options = letter.strip().upper(), question.lettered()
    if letter not in options:
        known = ", ".join(options)
        raise InvalidValue(f"choose one of {known}, got {letter!r}")
    right = letter == question.answer
    noted = progress_file.entry("predictions", key)
    first = noted.get("first_choice", letter)
    tries = noted.get("tries", 0) + 1
    solved = noted.get("right", False) or right
    entry = {"first_choice": first, "tries": tries, "right": solved}
    progress_file.note("predictions", key, entry)
    verdict = "Right" if right else "Not quite"
    return f"{verdict} ({letter}). {question.options[options[letter]]}"


def _question(key: str, text: str, options: Mapping[str, str], answer: str) -> Question:
    known = Question(key, text, dict(options), answer)
    letters = known.lettered()
    if answer in options:
        answer = next(a for a, option in letters.items() if option == answer)
    if answer not in letters or not 2 <= len(options) <= len(ascii_uppercase):
        raise InvalidValue(f"predict {key!r}: answer {answer!r} is not an option")
    return known._replace(answer=answer)


def _show(question: Question) -> None:
    """Show the question's text and, in a notebook, buttons in its place."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(question)  # noqa: T201
        return
    bundle: dict[str, Any] = {"text/plain": str(question)}
    with contextlib.suppress(ImportError):  # without ipywidgets the text tells how
        bundle |= _widget_view(form(question))
    display(bundle, raw=True)


def _widget_view(widget: Any) -> dict[str, Any]:
    """Only the widget's view: its text form would hide the question's."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view}


def form(question: Question) -> Any:
    """Build the radio buttons, the button and the place for the feedback."""
    import ipywidgets as widgets

    from adcache.widgets.keyboard import keep_keys

    letters = question.lettered()
    wide = widgets.Layout(width="100%")
    title = widgets.HTML(f"<b>Predict {question.key}:</b> {rich(question.text)}")
    choice = widgets.RadioButtons(
        options=[(f"{letter}  {text}", letter) for letter, text in letters.items()],
        value=None,
        layout=widgets.Layout(width="auto"),
    )
    button = widgets.Button(
        description="Check my answer", layout=widgets.Layout(width="auto")
    )
    said = widgets.HTML(_aloud(""), layout=wide)

    def check(_: Any) -> None:
        if choice.value is None:
            said.value = _aloud("Choose one of the options first.")
        else:
            said.value = _aloud(feedback(question.key, choice.value))

    button.on_click(check)
    for part, name in ((choice, "choice"), (button, "check"), (said, "feedback")):
        part.add_class(f"predict-{name}")
    keys = widgets.HTML(keep_keys("predict"), layout=widgets.Layout(height="0"))
    box = widgets.VBox([keys, title, choice, button, said], layout=wide)
    box.add_class("predict")
    return box


def _aloud(text: str) -> str:
    """HTML that a screen reader speaks when it changes; the verdict is bold."""
    verdict, dot, rest = text.partition(". ")
    body = f"<b>{rich(verdict)}.</b> {rich(rest)}" if dot else rich(text)
    return f'<div role="status" aria-live="polite">{body}</div>'


def rich(text: str) -> str:
    """Escape text for HTML; `backticks` become code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
