"""Lastmile: from raw data to a served, watched model. This package knows no Airflow."""
