"""Where sensors are and how they see: rigid transforms, camera models, rig files.

Read `se3.py` first; everything else in the project composes its transforms, destination first: `ego_SE3_lidar`.
"""
