"""Container images as documents and bytes: what packaging makes, and deploying verifies and runs.

Knows the OCI specifications and no vendor: `clients.registry` and `clients.docker` carry the bytes.
"""
