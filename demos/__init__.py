"""Demos: one idea per script; ``python -m demos.NAME`` runs one, ``python -m demos`` lists them.

Modules whose names start with ``_`` are shared by several demos, or long parts of one.
"""
