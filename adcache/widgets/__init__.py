"""The labs of the course, and the figures of its lessons.

The only place that needs ipywidgets and matplotlib, and only when it draws:
``pip install adcache[course]`` brings both.
"""

from adcache.widgets.auction_shell import auction_lab
from adcache.widgets.frequency_shell import frequency_lab
from adcache.widgets.needs import CourseExtraMissing
from adcache.widgets.pictures import show

__all__ = ["CourseExtraMissing", "auction_lab", "frequency_lab", "show"]
