"""Serve: the Flask model server. Flask, bundle and features; nothing else.

`live` keeps the model that answers and follows the pointer; `answer` turns records into answers and
knows no HTTP; one blueprint per protocol (`predict`, `open_inference`, `tensorflow`) translates HTTP to
it and back; `errors` is the one table from what went wrong to what the client is told.
"""
