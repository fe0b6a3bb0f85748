"""Contracts that everything else imports. Read `messages.py` first, then `topics.py`, `bus.py` and `node.py`."""
