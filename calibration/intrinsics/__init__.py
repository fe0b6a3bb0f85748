"""What a camera does to a ray: intrinsics from pictures of a board. Read `bundle.py` first, then `board.py`."""
