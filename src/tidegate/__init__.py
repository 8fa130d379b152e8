"""Tidegate: elastic serving of AI media services, on one machine or over many Kubernetes clusters."""

__version__ = "0.1.0"
