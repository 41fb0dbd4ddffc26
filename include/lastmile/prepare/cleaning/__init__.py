"""The cleaning steps. One file per kind: its typed settings and the function they steer.

`lastmile.pipeline.data.CleanStep` lists the kinds. A step works on the whole frame with its split
already known; what it fits, it fits on the training split, and it says what a record at the server
must go through (`lastmile.features.steps`).
"""
