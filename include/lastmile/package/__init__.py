"""Package: provenance, passport, the release candidate."""
