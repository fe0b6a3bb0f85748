"""Drivers of real sensors: what a device says, as payloads with the device's own stamp and the host's time of arrival.

Read `driver.py` first. A driver knows nothing of the bus, of epochs or of corrected time: `nodes.sources.stamp` puts
those on what it reads, and `pipeline.run.live_source` hosts both. `packet_replayer.py` stands in for the devices.
"""
