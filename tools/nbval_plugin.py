"""What nbval needs beside itself: each notebook apart from all others."""

import os

import pytest

from tools import notebooks


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the notebook's own settings before nbval starts its kernel."""
    os.environ.update(notebooks.apart(item.path))
