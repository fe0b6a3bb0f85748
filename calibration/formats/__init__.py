"""Calibrations as other systems write them down. Read `camera_file.py` first; one file for each format."""
