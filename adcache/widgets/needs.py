"""The packages that the labs draw with, or a plain word on how to get them."""

from importlib import import_module
from typing import Any

from adcache.errors import AdCacheError


class CourseExtraMissing(AdCacheError, ImportError):
    """A lab or a figure was asked for without the packages that draw it."""


def need(module: str) -> Any:
    """Import `module` when it is used, so that the pure functions need none.

    Raises `CourseExtraMissing` with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as missing:
        package = module.partition(".")[0]
        raise CourseExtraMissing(
            f"{package} is not installed, and the labs and figures need it; "
            "'pip install adcache[course]' brings it, then restart the kernel"
        ) from missing
