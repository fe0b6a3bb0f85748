"""Where sensor messages come from: recorded drives and live devices. Read `drive.py` first."""
