"""Tells the team: events become incidents and messages in the ledger, and are delivered from there.

events.py    what can happen to a run, and when two events are one cause
redact.py    keeps secrets out of all that is stored or sent
record.py    writes an event into the ledger, once; all that a callback may do
announce.py  how a run ended, read from what its stages left
render/      one message as Slack blocks, Jira fields and console text
deliver.py   sends what waits in the outbox
listing.py   what is open, what was told to whom, what waits and why
"""
