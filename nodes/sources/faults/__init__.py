"""Faults of sensors, links and clocks, put on any drive. Read `table.py` for what there is, `drive.py` for how."""
