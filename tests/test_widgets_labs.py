"""The labs without a browser: each button pressed, and the server taken away."""

import subprocess
import sys

import pytest

from adcache import connect
from adcache.widgets import CourseExtraMissing, auction_lab, frequency_lab, shell
from adcache.widgets.auction_shell import AuctionLab
from adcache.widgets.cap_trial import NAMES
from adcache.widgets.frequency import CLOCK_ALIGNED
from adcache.widgets.frequency_shell import FrequencyLab
from tests.conftest import all_keys

LABS = {"auction": auction_lab, "frequency": frequency_lab}


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: pairs of data and metadata."""
    outputs = []
    stub = lambda data, metadata, raw: outputs.append((data, metadata))  # noqa: E731
    monkeypatch.setattr("IPython.display.display", stub)
    return outputs


@pytest.fixture
def auction(make_cache):
    """An auction lab on the embedded server."""
    return AuctionLab(make_cache("fakeredis"))


@pytest.fixture
def frequency(make_cache):
    """A cap lab on the embedded server."""
    return FrequencyLab(make_cache("fakeredis"))


def said(lab):
    """Text of the lab's sentence; fails when the lab shows an error."""
    assert "" == lab.error.value
    return lab.said.value.removesuffix("</div>").partition(">")[2]


@pytest.mark.parametrize("name", LABS)
def test_a_lab_prints_its_twin_and_shows_a_picture(timed_cache, shown, capsys, name):
    """The same text and words on every backend; picture and live view go together."""
    expected = {
        "auction": "coffee wins with 8.47 CPM. Clearing price: 7.64 CPM",
        "frequency": "Fixed window of the clock (naive)         6       6     6",
    }
    assert LABS[name](timed_cache) is None
    (data, metadata), printed = shown[0], capsys.readouterr().out

    assert expected[name] in printed
    assert {"image/png", "text/plain", shell.WIDGET_VIEW} == set(data)
    assert data["text/plain"] == metadata["image/png"]["alt"]
    assert [] == all_keys(timed_cache)


def test_the_twin_is_the_same_each_time(make_cache, shown, capsys):
    """Two runs print and describe the same: a comparison of outputs can hold them."""
    for _ in range(2):
        for lab in LABS.values():
            lab(make_cache("fakeredis"))
    printed = capsys.readouterr().out

    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]
    words = [data["text/plain"] for data, _ in shown]
    assert words[:2] == words[2:]


def test_run_auction_says_winner_price_and_draws(auction):
    """A click holds an auction in Redis; the picture's words name each bid."""
    auction.run.click()

    assert said(auction).startswith("coffee wins with 8.47 CPM. Clearing price: 7.64")
    assert "sneakers 1.34 below the floor" in auction.picture.value
    assert [] == all_keys(auction.cache)


def test_the_same_bids_meet_another_floor(auction):
    """Changing the floor or the rule keeps the seed's bids; a new seed changes them."""
    auction.floor.value = 8.0
    auction.run.click()
    lone = said(auction)
    auction.at.value = 1
    auction.run.click()
    first = said(auction)
    auction.new_seed.click()

    assert "Clearing price: 8.00 CPM, the floor" in lone
    assert "Clearing price: 8.47 CPM, its own bid (first price)" in first
    assert "coffee wins with 8.47" not in said(auction)


@pytest.mark.parametrize("at", [1, 2])
def test_a_thousand_auctions_meet_the_theory(auction, at):
    """The mean of a run lies within three standard errors, and no key is left."""
    auction.at.value = at
    auction.run_many.click()

    assert "1000 auctions earned" in said(auction)
    assert "within three standard errors" in said(auction)
    assert "none" == auction.progress.layout.display
    assert [] == all_keys(auction.cache)


def test_a_long_run_shows_how_far_it_is(auction, monkeypatch):
    """When a thousand auctions take longer than two seconds a bar appears."""
    seen = []
    monkeypatch.setattr("adcache.widgets.auction_shell.PATIENCE", 0)
    auction.progress.observe(
        lambda change: seen.append((change.new, auction.progress.layout.display)),
        "value",
    )
    auction.run_many.click()

    assert [(25 * step, None) for step in range(1, 41)] == seen
    assert "none" == auction.progress.layout.display


def test_runs_of_one_crowd_share_a_picture(auction):
    """Another floor adds a point; another number of bidders begins anew."""
    auction.run_many.click()
    auction.floor.value = 5.0
    auction.run_many.click()
    floors = [floor for floor, _ in auction.runs]
    auction.bidders.value = 2
    auction.run_many.click()

    assert [3.0, 5.0] == floors
    assert [5.0] == [floor for floor, _ in auction.runs]


@pytest.mark.parametrize("algorithm", NAMES)
def test_ads_are_served_up_to_the_limit(frequency, algorithm):
    """Three ads pass, the fourth is refused, and the wait is said in words."""
    frequency.algorithm.value = algorithm
    words = []
    for _ in range(4):
        frequency.serve.click()
        words.append(said(frequency))

    assert "Served. Now 2 ads are left of 3 in 1 hour." in words[0]
    assert "Served. Now 1 ad is left of 3 in 1 hour." in words[1]
    assert "Served. The limit of 3 is reached: none left" in words[2]
    assert "Refused. The limit of 3 is reached: none left" in words[3]
    assert "retry_after" in words[3]
    assert "3 served, 1 refused" in frequency.picture.value


def test_the_clock_opens_the_window_again(frequency):
    """Ten minutes later 50 are left to wait; an hour later all places are free."""
    for _ in range(3):
        frequency.serve.click()
    ten, hour = frequency.steps
    ten.click()
    waiting = said(frequency)
    hour.click()

    assert waiting.endswith("the next ad in 50 minutes (retry_after 3000 seconds).")
    assert said(frequency).startswith("Time 70 minutes.")
    assert said(frequency).endswith("Now 3 ads are left of 3 in 1 hour.")


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (CLOCK_ALIGNED, "6 of 6 ads served, up to 6 in 1 hour, above the limit of 3"),
        ("fixed", "6 of 7 ads served, up to 5 in 1 hour, above the limit of 3"),
        ("sliding_log", "4 of 7 ads served, up to 3 in 1 hour, within the limit of 3"),
    ],
)
def test_a_burst_shows_what_a_window_lets_through(frequency, algorithm, words):
    """Twice the limit by the clock, one less when anchored, the limit with a log."""
    frequency.algorithm.value = algorithm
    frequency.burst.click()

    assert words in said(frequency)


def test_another_cap_starts_again(frequency):
    """A change of limit, window or algorithm brings a new visitor at time 0."""
    frequency.serve.click()
    frequency.limit.value = 5

    assert "Time 0. A new visitor. Now 5 ads are left of 5 in 1 hour." == said(
        frequency
    )
    frequency.serve.click()
    frequency.again.click()
    assert [] == frequency.trial.attempts
    assert [] == all_keys(frequency.cache)


def test_every_control_has_words(auction, frequency):
    """Buttons carry text, inputs a label: nothing rests on an icon or a colour."""
    seen = 0
    for lab in auction, frequency:
        for row in lab.box.children[1:3]:
            seen += len(row.children)
            assert all(len(child.description) > 3 for child in row.children)
    assert 3 + 3 + 3 + 5 == seen


@pytest.mark.parametrize("name", LABS)
def test_a_server_that_is_gone_shows_in_the_lab(own_server, shown, name):
    """The error stands in the lab with the cure; when the server is back it goes."""
    cache = connect(own_server.url, namespace="labs")
    lab = AuctionLab(cache) if name == "auction" else FrequencyLab(cache)
    button = lab.run if name == "auction" else lab.serve
    button.click()
    before = said(lab)
    own_server.stop()
    button.click()

    assert 'role="alert"' in lab.error.value
    assert "make lab-server" in lab.error.value
    assert "" == lab.said.value
    own_server.start()
    button.click()
    assert before != ""
    assert said(lab) != ""


def test_an_error_of_the_lab_itself_is_shown_too(auction):
    """A defect does not vanish into a log: the lab names it."""
    auction.guarded(lambda: 1 / 0)

    assert "ZeroDivisionError: division by zero" in auction.error.value


@pytest.mark.parametrize("name", LABS)
def test_without_ipywidgets_the_lab_says_what_to_install(monkeypatch, make_cache, name):
    """One sentence with the command, instead of a traceback about a module."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(CourseExtraMissing, match=r"pip install adcache\[course\]"):
        LABS[name](make_cache("fakeredis"))


def test_the_pure_functions_need_no_ui_package():
    """Importing the labs imports neither ipywidgets nor matplotlib."""
    code = (
        "import sys, adcache.widgets, adcache.widgets.auction;"
        "print({'ipywidgets', 'matplotlib', 'IPython'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "set()\n" == run.stdout
