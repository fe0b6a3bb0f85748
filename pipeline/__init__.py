"""The streaming spine: contracts, time, transport, launchers, evaluation. Read `core/messages.py`, then `graph.py`."""
