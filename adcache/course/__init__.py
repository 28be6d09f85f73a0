"""What a notebook of the course needs beside the package it teaches.

>>> cache, clock = lesson("06")
>>> show_keys(cache)
no keys
key  type  TTL  size  value
"""

from adcache.course.hop import trace
from adcache.course.inspect_keys import show_keys
from adcache.course.interleave import race
from adcache.course.lessons import lesson
from adcache.course.prediction import predict

__all__ = ["lesson", "predict", "race", "show_keys", "trace"]
