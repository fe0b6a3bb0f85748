"""The command line: one file per group of commands, each a thin layer over functions that tests call directly.

Read `app.py` first.
"""
