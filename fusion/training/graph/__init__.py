"""Trains the graph of `fusion.graph` on clips of simulated detections, through the filter that it steers."""
