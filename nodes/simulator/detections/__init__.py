"""The detection-level simulator: detections drawn from error models fitted to real frames. Read `draw.py` first."""
