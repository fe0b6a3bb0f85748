"""What fog, rain and snow do to light, laser and radar, for simulator and faults alike. Read `air.py` first."""
