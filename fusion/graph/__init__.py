"""The graph that weighs each sensor per object: nodes are tracks, their detections and the sensors."""
