"""The ledger: what must never be lost or told twice. Releases, stage timings, incidents, outbox, leases."""
