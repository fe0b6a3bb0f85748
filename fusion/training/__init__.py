"""Training of what fusion runs, from folders of arrays; needs no simulator, bus or Ray. Read `camera.py` first."""
