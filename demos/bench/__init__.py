"""Benchmarks: csc compared with other libraries on the same problems, by the same objective."""
