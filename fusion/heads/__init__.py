"""Heads that read the fused scene: intent, hazard and time to collision of each track. Read `heads.py` first."""
