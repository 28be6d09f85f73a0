"""What a page event says about a visitor's interests: plain tables, pure functions.

A page tells its subject by its OpenRTB categories, its keywords and its address.
How much a subject counts depends on where it was named and on what the visitor
did there: buying tells more than passing by.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import msgspec

from adcache.errors import InvalidValue, shown
from adcache.openrtb_context import Inventory, Site

# What the visitor did -> how much that tells, in views.
EVENT_WEIGHTS = {
    "view": 1.0,
    "search": 2.0,
    "click": 3.0,
    "cart": 5.0,
    "purchase": 8.0,
}
# Where the page names its subject -> how much of the event that is worth.
CATEGORY_SHARE, URL_SHARE, KEYWORD_SHARE = 1.0, 0.5, 0.5
MOST_SUBJECTS = 20  # of one event; the strongest stay
LONGEST = 60  # letters of a keyword: what is longer is no subject

# IAB Content Taxonomy 1.0 (OpenRTB 2.6: cattax 1), as interests. A category that
# is not listed takes its group's word: IAB17-44 is IAB17. Health (IAB7), politics
# (IAB11), society (IAB14) and religion (IAB23) are left out on purpose: nobody
# is to be profiled by them. So are IAB24 to IAB26 (unknown, illegal).
CATEGORY_INTERESTS = {
    "IAB1": "entertainment",
    "IAB1-1": "books",
    "IAB1-6": "music",
    "IAB2": "cars",
    "IAB3": "business",
    "IAB4": "careers",
    "IAB5": "education",
    "IAB6": "family",
    "IAB8": "food",
    "IAB9": "hobbies",
    "IAB10": "home",
    "IAB12": "news",
    "IAB13": "finance",
    "IAB15": "science",
    "IAB16": "pets",
    "IAB17": "sports",
    "IAB18": "fashion",
    "IAB19": "tech",
    "IAB20": "travel",
    "IAB21": "property",
    "IAB22": "shopping",
}


class PageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a visitor did on a page.

    `kind` is one of `EVENT_WEIGHTS`; `cat` holds IAB categories (OpenRTB
    ``site.cat``), `keywords` words (``site.kwarray``), or a text that separates
    them by commas (``site.keywords``). The first part of the address's path
    counts as a word: ``https://news.example/sports/42`` is about sports.

    >>> event_interests(PageEvent(kind="click", cat=["IAB17-44"], keywords="Tea"))
    {'sports': 3.0, 'tea': 1.5}
    """

    kind: str = "view"
    url: str = ""
    cat: Iterable[str] = ()
    keywords: str | Iterable[str] = ()

    def __post_init__(self) -> None:
        if self.kind not in EVENT_WEIGHTS:
            known = ", ".join(EVENT_WEIGHTS)
            raise InvalidValue(f"kind must be one of {known}, got {shown(self.kind)}")


def page_event(page: Inventory, kind: str = "view") -> PageEvent:
    """Make the event of a visit to an OpenRTB site, app or screen.

    Of a site the most precise categories count: ``pagecat``, else ``sectioncat``,
    else ``cat``.
    """
    cat, url = page.cat, ""
    if isinstance(page, Site):
        cat, url = page.pagecat or page.sectioncat or page.cat, page.page or ""
    return PageEvent(
        kind=kind, url=url, cat=cat, keywords=page.kwarray or page.keywords or ""
    )


def event_interests(event: PageEvent) -> dict[str, float]:
    """Turn a page event into interests and their weights, the strongest first.

    A subject that a page names in several places counts once, by the best.
    What is no word (empty, longer than 60 letters, only digits) is left out.
    """
    weight = EVENT_WEIGHTS[event.kind]
    said: dict[str, float] = {}
    for share, words in (
        (CATEGORY_SHARE, _categories(event.cat)),
        (URL_SHARE, _section(event.url)),
        (KEYWORD_SHARE, _keywords(event.keywords)),
    ):
        for word in filter(None, map(_subject, words)):
            said[word] = max(said.get(word, 0.0), weight * share)
    ranked = sorted(said.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ranked[:MOST_SUBJECTS])


def _categories(codes: Iterable[str]) -> Iterable[str]:
    for code in codes:
        group = code.partition("-")[0]
        yield CATEGORY_INTERESTS.get(code) or CATEGORY_INTERESTS.get(group, "")


def _section(url: str) -> list[str]:
    """The first part of the path, unless it is the page itself."""
    try:
        parts = urlsplit(url).path.split("/")
    except ValueError:  # an address that is none: a page may send anything
        return []
    return [unquote(parts[1]).replace("-", " ")] if len(parts) > 2 else []


def _keywords(words: str | Iterable[str]) -> Iterable[str]:
    return words.split(",") if isinstance(words, str) else words


def _subject(word: str) -> str:
    """One spelling per subject: no capitals, no doubled spaces; '' for no word."""
    subject = " ".join(word.casefold().split())
    is_word = re.search(r"[^\W\d_]", subject) and len(subject) <= LONGEST
    return subject if is_word else ""
