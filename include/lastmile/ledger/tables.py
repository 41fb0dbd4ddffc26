"""The ledger's tables. `migrations/` makes and changes them; a test holds the two together."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)  # fmt: skip

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# All times are UTC. Identifiers are given by the database.

leases = Table(
    "leases",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),  # tells a reused process id
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

stage_runs = Table(
    "stage_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline", String(63), nullable=False),
    Column("run_id", String(250), nullable=False),
    Column("stage", String(32), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("wall_seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("rows", BigInteger),
    Column("workers", Integer, nullable=False),
    Column("reused", Boolean, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Index("ix_stage_runs_pipeline_stage", "pipeline", "stage"),
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pipeline", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),  # digest of the package artefact
    Column("run_id", String(250), nullable=False),
    Column("target", String(32), nullable=False),
    Column("status", String(16), nullable=False),  # deploying, serving, superseded, failed
    Column("address", String(255)),
    Column("reason", Text, nullable=False, default=""),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("ix_releases_pipeline_status", "pipeline", "status"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("pipeline", String(63), nullable=False),
    Column("kind", String(16), nullable=False),  # lastmile.team.events.Kind
    Column("status", String(16), nullable=False),  # open, recovered, noted
    Column("stage", String(63), nullable=False),
    Column("run_id", String(250), nullable=False),  # the run that opened it
    Column("owner", String(255), nullable=False),
    Column("headline", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("severity", String(16), nullable=False, server_default="medium"),
    Column("silenced_until", DateTime(timezone=True)),
    Column("silence", String(255)),  # the ticket that says why nobody is told
    Column("touched_at", DateTime(timezone=True)),  # when somebody took it up
    Column("touched_by", String(255)),
    Column("escalated_at", DateTime(timezone=True)),
    Index("ix_incidents_fingerprint", "fingerprint"),
    Index("ix_incidents_pipeline_status", "pipeline", "status"),
    # One cause, one open incident: the database holds this, whoever writes at the same moment.
    Index(
        "uq_incidents_open_fingerprint",
        "fingerprint",
        unique=True,
        sqlite_where=text("status = 'open'"),
        postgresql_where=text("status = 'open'"),
    ),
)

sightings = Table(  # one event that led to an incident; its key makes a second report harmless
    "sightings",
    metadata,
    Column("key", String(400), primary_key=True),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

threads = Table(  # where a cause is told in a channel: its ticket, its thread
    "threads",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("channel", String(16), primary_key=True),
    Column("place", String(255), nullable=False),  # the project, the channel
    Column("remote_id", String(255), nullable=False),  # the ticket, the thread's first message
    Column("key", String(400), nullable=False),  # of the outbox entry that began it
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),  # the last one told there
    Column("shown", Integer, nullable=False),  # the count that readers see there
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("commented_at", DateTime(timezone=True), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(400), nullable=False),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("channel", String(16), nullable=False),  # lastmile.clients.kinds
    Column("action", String(16), nullable=False, server_default="opened"),
    Column("body", JSON, nullable=False),  # lastmile.team.events.Message
    Column("status", String(16), nullable=False),  # waiting, sent, printed, dead
    Column("attempts", Integer, nullable=False),  # also the token of who is sending it
    Column("next_attempt_at", DateTime(timezone=True), nullable=False),
    Column("unsettled", Boolean, nullable=False),  # a send was begun and its answer is not known
    Column("remote_id", String(255)),  # the ticket's or the message's id there
    Column("error", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("settled_at", DateTime(timezone=True)),  # when it stopped waiting
    UniqueConstraint("key"),
    Index("ix_outbox_status_next_attempt_at", "status", "next_attempt_at"),
    Index("ix_outbox_incident_id_channel", "incident_id", "channel"),
)
