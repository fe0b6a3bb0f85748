"""Talking to the vehicle over HTTP: `conversation.py` holds it, `server.py` serves it and its page."""
