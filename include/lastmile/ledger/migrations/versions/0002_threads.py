"""Tickets and threads by cause; severity, silence, touch and escalation of incidents; a message's action."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "threads",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commented_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_threads_incident_id")
        ),
        sa.PrimaryKeyConstraint("fingerprint", "channel", name=op.f("pk_threads")),
    )
    with op.batch_alter_table("incidents") as table:
        table.add_column(
            sa.Column("severity", sa.String(length=16), nullable=False, server_default="medium")
        )
        table.add_column(sa.Column("silenced_until", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("silence", sa.String(length=255)))
        table.add_column(sa.Column("touched_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("touched_by", sa.String(length=255)))
        table.add_column(sa.Column("escalated_at", sa.DateTime(timezone=True)))
    with op.batch_alter_table("incidents") as table:
        table.create_index("ix_incidents_fingerprint", ["fingerprint"])
    with op.batch_alter_table("outbox") as table:
        table.add_column(
            sa.Column("action", sa.String(length=16), nullable=False, server_default="opened")
        )
    _know_what_was_told(op.get_bind())


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("outbox") as table:
        table.drop_column("action")
    with op.batch_alter_table("incidents") as table:
        table.drop_index("ix_incidents_fingerprint")
        for name in (
            "escalated_at", "touched_by", "touched_at", "silence", "silenced_until", "severity"
        ):  # fmt: skip
            table.drop_column(name)
    op.drop_table("threads")


def _know_what_was_told(connection: sa.Connection) -> None:
    """Fill the new table and column from the messages that were sent before."""
    outbox = sa.table(
        "outbox", sa.column("id"), sa.column("key"), sa.column("incident_id"), sa.column("channel"),
        sa.column("body", sa.JSON()), sa.column("status"), sa.column("remote_id"), sa.column("action"),
        sa.column("created_at"),
    )  # fmt: skip
    incidents = sa.table(
        "incidents", sa.column("id"), sa.column("fingerprint"), sa.column("occurrences")
    )
    threads = sa.table(
        "threads", sa.column("fingerprint"), sa.column("channel"), sa.column("place"), sa.column("remote_id"),
        sa.column("key"), sa.column("incident_id"), sa.column("shown"), sa.column("changed_at"),
        sa.column("commented_at"),
    )  # fmt: skip
    query = (
        sa.select(outbox, incidents.c.fingerprint, incidents.c.occurrences)
        .join_from(outbox, incidents, incidents.c.id == outbox.c.incident_id)
        .order_by(outbox.c.id)
    )
    known: dict[tuple[str, str], dict[str, object]] = {}
    for row in connection.execute(query).mappings().all():
        action = str(row["body"].get("action", "opened"))
        connection.execute(outbox.update().where(outbox.c.id == row["id"]).values(action=action))
        if row["status"] != "sent" or not row["remote_id"]:
            continue
        cause = (row["fingerprint"], row["channel"])
        before = known.get(cause)
        event = row["body"].get("event", {})
        told = {
            "fingerprint": row["fingerprint"], "channel": row["channel"],
            "place": event.get("tracker" if row["channel"] == "jira" else "channel") or "",
            "remote_id": row["remote_id"], "key": row["key"], "incident_id": row["incident_id"],
            "shown": row["occurrences"], "changed_at": row["created_at"], "commented_at": row["created_at"],
        }  # fmt: skip
        if before is not None and before["incident_id"] == row["incident_id"]:
            # A story's first message is what the others reply to.
            told |= {name: before[name] for name in ("remote_id", "key", "place")}
        known[cause] = told
    if known:
        connection.execute(threads.insert(), list(known.values()))
