"""Exercise 07, frequency capping: its tasks, and the wrong ideas they recognise."""

from adcache.course.exercise_07.counter import COUNTER
from adcache.course.exercise_07.log import LOG
from adcache.course.exercise_07.serve import SERVE

TASKS = (COUNTER, LOG, SERVE)

__all__ = ["TASKS"]
