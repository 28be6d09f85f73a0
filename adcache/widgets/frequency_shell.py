"""The frequency cap lab: serve ads, move the clock, watch the cap hold or break."""

from typing import Any

from adcache.connection import RedisAdCache
from adcache.widgets.cap_trial import NAMES, CapTrial, burst_table, span_of_limit
from adcache.widgets.frequency import CLOCK_ALIGNED
from adcache.widgets.frequency_figures import span, timeline_figure
from adcache.widgets.pictures import Figure
from adcache.widgets.shell import Lab

WINDOWS = (600, 3600, 6 * 3600, 86_400)  # seconds
LIMIT, WINDOW = 3, 3600  # what the lab shows first


class FrequencyLab(Lab):
    """A cap, a visitor and a clock. Another cap starts again with a new visitor."""

    def __init__(self, cache: RedisAdCache) -> None:
        super().__init__("frequency")
        self.cache = cache
        names = [(words, name) for name, words in NAMES.items()]
        self.algorithm = self.control(
            "Dropdown", "algorithm", "Algorithm", "29em", options=names
        )
        self.limit = self.control(
            "IntSlider", "limit", "Limit (ads)", "14em", min=1, max=10, value=LIMIT
        )
        spans = [(span(window), window) for window in WINDOWS]
        self.window = self.control(
            "Dropdown", "window", "Window", "12em", options=spans, value=WINDOW
        )
        self.serve = self.button("Serve an ad", "serve", self.serve_one)
        self.burst = self.button("Burst", "burst", self.serve_burst)
        steps = (("+10 minutes", "ten", 600), ("+1 hour", "hour", 3600))
        self.steps = [self._step(*step) for step in steps]
        self.again = self.button("Start again", "again", self.restart)
        controls = [self.algorithm, self.limit, self.window]
        for control in controls:
            control.observe(lambda _: self.guarded(self.restart), "value")
        self.assemble(controls, [self.serve, *self.steps, self.burst, self.again])
        self.trial = self._new_trial()

    def serve_one(self) -> None:
        """Try one ad at the lab's time."""
        self.trial.serve()
        self._show(self.trial.outcome())

    def advance(self, seconds: float) -> None:
        """Move the lab's clock."""
        self.trial.advance(seconds)
        self._show(f"The clock moved on. {self.trial.outlook()}")

    def serve_burst(self) -> None:
        """Try many ads around the end of a window."""
        tried = self.trial.burst()
        served, most = sum(map(bool, tried)), self.trial.most()
        verdict = "above the limit" if most > self.trial.limit else "within the limit"
        self._show(
            f"Burst: {served} of {len(tried)} ads served, up to {most} in "
            f"{span(self.trial.window)}, {verdict} of {self.trial.limit}."
        )

    def restart(self) -> None:
        """Forget the visitor; a new one comes at time 0."""
        self.trial.forget()
        self.trial = self._new_trial()
        self._show(f"A new visitor. {self.trial.outlook()}")

    def _step(self, words: str, name: str, seconds: int) -> Any:
        return self.button(words, name, lambda: self.advance(seconds))

    def _new_trial(self) -> CapTrial:
        cap = (self.algorithm.value, self.limit.value, self.window.value)
        return CapTrial(self.cache, *cap)

    def _show(self, sentence: str) -> None:
        figure, alt = timeline(self.trial)
        self.draw(figure, alt)
        now = span(self.trial.now) if self.trial.now else "0"
        self.say(f"Time {now}. {sentence}")


def timeline(trial: CapTrial) -> tuple[Figure, str]:
    """Draw the trial, and say in words what the picture shows."""
    attempts, limit, window = trial.attempts, trial.limit, trial.window
    figure = timeline_figure(attempts, limit, window, now=trial.now)
    served = sum(map(bool, attempts))
    alt = (
        f"Timeline of {len(attempts)} ads: {served} served, "
        f"{len(attempts) - served} refused. Most in any {span(window)}: "
        f"{trial.most()}; allowed: {span_of_limit(limit, window)}."
    )
    return figure, alt


def frequency_lab(cache: RedisAdCache) -> None:
    """Show the cap lab; a burst through each algorithm is printed, as text.

    Raises `CourseExtraMissing` without ipywidgets or matplotlib, and
    `RedisUnavailable` when the server does not answer.
    """
    lab = FrequencyLab(cache)
    lab.restart()
    print(f"A burst of ads around the end of a window, {span_of_limit(LIMIT, WINDOW)}:")  # noqa: T201
    print(burst_table(cache, LIMIT, WINDOW))  # noqa: T201
    worst = CapTrial(cache, CLOCK_ALIGNED, LIMIT, WINDOW)
    worst.burst()
    worst.forget()
    lab.display(*timeline(worst))
