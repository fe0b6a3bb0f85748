"""Intent: from a sentence to what the vehicle says and does. Read `language/understand.py` first."""
