"""The pipeline file as typed, frozen models."""
