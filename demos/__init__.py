"""Demos: one idea a script, each run as ``python -m demos.NAME``."""
