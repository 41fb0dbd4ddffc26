"""The gang: the workers of one distributed training, and their supervisor.

They start together; when one fails all stop and go on from the last checkpoint. Only `member` and the
modules that it alone uses (`loop`, `trainer`) import TensorFlow.
"""
