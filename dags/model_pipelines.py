"""One DAG per pipeline file in include/pipelines/: from raw data to a served model, every night.

## What

Prepares the data, trains a candidate, judges it against thresholds, baseline and champion, packages and
deploys it if the verdict is PROMOTE, and tells the team how it went. What is unchanged since an earlier
run is reused. A pipeline file with faults gets a DAG tagged `broken` that shows them and fails.

## Inputs

The pipeline file, the data sources it names, and the Airflow connections of the same names. The trigger
form takes workers, force, dry run and a reason.

## Outputs

In the store: dataset, bundle, verdict, release candidate, release. In service: the model. Assets
`<pipeline>_dataset`, `<pipeline>_approved` and `<pipeline>_released`, each only when it is true.

## When it fails

The failed task's last log lines say what happened and what to do. Faults that may pass were retried
already. Mend the cause and clear the task: what was done before is reused. A rejected model is no failure:
the run succeeds, package and deploy are skipped, the champion goes on serving.

## Owner

The owner that the pipeline file names.
"""

from lastmile.pipeline.load import pipeline_files
from lastmile_airflow.environment import airflow_settings
from lastmile_airflow.model_dag import dag_of_file

for file in pipeline_files(airflow_settings()):
    dag = dag_of_file(file)
    globals()[dag.dag_id] = dag
