"""Launchers: the same plan in one process (`local.py`) or as supervised processes on the bus (`supervise.py`).

Read `host.py` first: how one node is stepped, timed, counted and brought to its end.
"""
