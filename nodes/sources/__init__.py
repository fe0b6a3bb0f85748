"""Where sensor messages come from: recorded drives, live devices, generated drives. Read `drive.py` first."""
