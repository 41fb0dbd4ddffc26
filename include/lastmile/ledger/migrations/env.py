"""Alembic's entry: migrations run over the connection that `lastmile.ledger.schema` opened."""

from alembic import context

from lastmile.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
