"""Benchmarks: same problem, same objective, same process, ours beside the peer's."""
