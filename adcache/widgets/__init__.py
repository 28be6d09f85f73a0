"""The labs of the course, and the figures of its lessons.

The only place that needs ipywidgets and matplotlib, and only when it draws:
``pip install adcache[course]`` brings both.
"""

from adcache.widgets.pictures import show

__all__ = ["show"]
