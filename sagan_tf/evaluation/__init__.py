"""Metrics of generated images, with protocols that names fix."""
