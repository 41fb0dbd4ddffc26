"""The typed documents that stages hand on. Stages share these and do not import each other."""
