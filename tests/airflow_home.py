"""Gives Airflow a home of the test session's own. Import this before anything of Airflow.

Airflow settles its home when it is imported; without this it would be ~/airflow.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = Path(tempfile.mkdtemp(prefix="lastmile-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# In the file, not in the environment: every test's own environment is emptied of AIRFLOW_*.
(HOME / "airflow.cfg").write_text(
    f"""[core]
load_examples = False
dags_folder = {ROOT / "dags"}
plugins_folder = {ROOT / "plugins"}
unit_test_mode = False

[database]
sql_alchemy_conn = sqlite:///{HOME / "airflow.db"}
"""
)
os.environ["AIRFLOW_HOME"] = str(HOME)

import airflow  # noqa: E402, F401 - now, so that it takes this home
