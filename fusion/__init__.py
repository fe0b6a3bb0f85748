"""Algorithms without input or output: detectors, association, filters. Read `fuser.py` for what fusion is here."""
