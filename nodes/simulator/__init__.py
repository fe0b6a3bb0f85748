"""Simulated drives: a world that moves, and what each sensor measures of it. Read `drive.py` first."""
