"""Trains the heads of `fusion.heads` on fused scenes of simulated clips. Read `records.py` first."""
