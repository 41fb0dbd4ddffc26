"""Evaluate: metrics, checks, verdict."""
