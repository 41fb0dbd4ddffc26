"""Train: models, loop, gang, checkpoint, export."""
