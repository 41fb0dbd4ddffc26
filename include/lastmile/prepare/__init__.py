"""Prepare: acquire, contract, clean, label, split."""
