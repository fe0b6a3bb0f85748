"""From recorded drives to the error model: `python -m nodes.simulator.detections.fit`. Read `__main__.py` first."""
