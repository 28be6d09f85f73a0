"""What a notebook of the course needs beside the package it teaches.

>>> cache, clock = lesson("06")
>>> show_keys(cache)
no keys
key  type  TTL  size  value
"""

from adcache.course.checking import (
    check,
    hint,
    progress,
    puzzle,
    reset,
    solution,
)
from adcache.course.hop import trace
from adcache.course.inspect_keys import show_keys
from adcache.course.interleave import race
from adcache.course.lessons import lesson
from adcache.course.prediction import predict

__all__ = [
    "check",
    "hint",
    "lesson",
    "predict",
    "progress",
    "puzzle",
    "race",
    "reset",
    "show_keys",
    "solution",
    "trace",
]
