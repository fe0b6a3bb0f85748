"""The vehicle's own motion from what its sensors see. Read `planar.py` first."""
