"""The kinds of optimisers and of learning-rate schedules, one file each."""
