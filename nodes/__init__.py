"""Everything that sits on the bus. Each node is a `step` from messages to messages; read `align.py` for the heart."""
