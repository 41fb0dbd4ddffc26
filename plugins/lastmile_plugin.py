"""What Airflow loads from this folder: it registers what there is, and does nothing else."""

from airflow.plugins_manager import AirflowPlugin


class LastmilePlugin(AirflowPlugin):
    """Makes Lastmile show up under Admin > Plugins."""

    name = "lastmile"
