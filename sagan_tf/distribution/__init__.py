"""Devices, distribution strategies and clusters of workers."""
