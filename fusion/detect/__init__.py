"""From one sensor message to detections in the ego frame. One file per sensor kind; read `lidar.py` first."""
