"""The course's own tools: one small script per decision, run with ``-m``."""
