"""Drives written in layouts of other tools. Read `nuscenes.py` first."""
