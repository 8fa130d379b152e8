"""What people write: manifests as frozen pydantic models, and how they are read.

Unknown keys are refused, every fault is reported at once with file, line, path, value and what would be right.
Field names are those of Kubernetes, the HPA and Knative wherever they have one. Nothing here knows what is running:
no observed state, no decisions, no clock. Reads files only in `spec.load`.
"""
