"""The kinds of models. One file per kind: its typed settings and the function that builds it."""
