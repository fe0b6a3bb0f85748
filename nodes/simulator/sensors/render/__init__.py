"""How `camera.py` draws a world with OpenGL. Read `scene.py` first."""
