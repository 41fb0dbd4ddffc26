"""How Airflow talks to Lastmile; the only code that knows both."""
