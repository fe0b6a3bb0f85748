"""Simulated drives held against recorded ones. Read `measure.py` first."""
