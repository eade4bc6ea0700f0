"""Benchmark programs: ``python -m benchmarks.cpu --help``."""
