"""What the vehicle says of its own accord. Read `warnings.py`."""
