"""What turns a record into tensors. One code for training, evaluation and serving; numpy only.

A record is a mapping from column to value. A batch holds many records by column: one matrix of
numbers, one of texts. Steps (`steps.py`) clean a batch in the order of the pipeline file with
statistics fitted on the training split; encodings (`encode.py`) make the model's input of it.
"""
