"""From a few lines of YAML and a seed to a world. Read `settings.py` first, then `place.py`."""
