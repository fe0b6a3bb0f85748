"""What exists and how it moves, without any sensor. Read `world.py` first."""
