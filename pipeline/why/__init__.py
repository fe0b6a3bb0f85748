"""Why did the truck vanish? The fusion of a recorded run, repeated with somebody looking on. Begin with `answer.py`."""
