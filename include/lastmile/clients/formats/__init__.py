"""A story in each system's format. Pure: a story in, a document out. What people wrote is never markup."""
