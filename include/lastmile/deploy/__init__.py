"""Deploy: a candidate into service, or back out of it.

`rollout` decides and keeps the ledger; a `Target` does: `process` serves from a process on this machine.
`smoke` asks golden questions of a candidate before anybody else does. `rollback`, `service` and
`history` are what the command line calls.
"""
