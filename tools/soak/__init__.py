"""Attack the package for longer than a test may: `make soak`."""
