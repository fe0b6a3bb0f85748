"""What runs a trained network: one small interface over several engines. Read `engine.py` first."""
