"""Benchmarks. Each `bench_<subject>.py` has ``run() -> list[dict]``; `python -m benchmarks` runs them all.

A row is {name, value, unit, limit, limit_name, ratio}: the limit is a physical bound or a peer measured in the same
run, so that a shared, noisy machine still gives ratios that mean something.
"""
