"""With whom: one file per outside system; the only place its SDK is imported."""
