"""The command line: the contract that people, Airflow and pods share."""
