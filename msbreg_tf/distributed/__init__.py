"""Replicas, devices and workers that train as one."""
