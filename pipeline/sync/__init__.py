"""Time: clock models, alignment, motion compensation, the ledger. Read `align.py` first."""
