"""What each sensor measures of a world, and by which clock it says so. Read `raycast.py` first."""
