"""One worker of a gang: `python -m lastmile.train.gang.member --work FOLDER`, TF_CONFIG around it.

Ends with 0, with 2 where a retry would fail the same way, with 75 where the gang should start again
from the checkpoint, with 1 for a bug.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lastmile.errors import ExitCode, LastmileError, SettingsError
from lastmile.store import Store
from lastmile.train.batches import Batches
from lastmile.train.gang import barrier
from lastmile.train.gang.checkpoint import Checkpoints
from lastmile.train.gang.cluster import Cluster
from lastmile.train.gang.events import EventWriter, Finished, error_event
from lastmile.train.gang.lifeline import StopFlag, beat, tie_to_supervisor
from lastmile.train.gang.trainer import StoppedError, Trainer
from lastmile.train.work import BUNDLE, TRAINING, Work, read_examples

if TYPE_CHECKING:
    from lastmile.train.examples import Examples

log = logging.getLogger("lastmile.train.gang.member")  # run with -m its name is __main__


def main(arguments: list[str] | None = None) -> NoReturn:
    """Do one worker's part and end the process."""
    parser = argparse.ArgumentParser(prog="python -m lastmile.train.gang.member")
    parser.add_argument("--work", type=Path, required=True, help="the work folder")
    parser.add_argument("--supervisor", type=int, help="process id that this worker ends with")
    options = parser.parse_args(arguments)
    if options.supervisor is not None:
        tie_to_supervisor(options.supervisor)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("lastmile").setLevel(logging.INFO)  # TensorFlow and tf2onnx say much
    events = EventWriter.on_stdout()
    beat(events)
    code = _guarded(options.work, events)
    logging.shutdown()
    # Not sys.exit: TensorFlow's own end waits for peers that may be gone.
    os._exit(code)


def _guarded(folder: Path, events: EventWriter) -> int:
    """Translate however the work ends into an exit code, and tell the supervisor why."""
    try:
        _work(folder, events)
    except LastmileError as error:
        if not isinstance(error, StoppedError):
            events.send(error_event(error))
        log.info("%s %s", error.headline, error.hint)
        return error.exit_code
    except Exception as error:
        if _is_lost_peer(error):
            log.info("Lost the other workers: %s", _reason(error))
            return ExitCode.TRANSIENT
        log.exception("This is a bug in Lastmile.")
        return ExitCode.BUG
    return ExitCode.DONE


def _is_lost_peer(error: Exception) -> bool:
    """Whether TensorFlow says that a collective did not come about."""
    if "tensorflow" not in sys.modules:
        return False
    from tensorflow import errors

    lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError,
            errors.DeadlineExceededError, errors.InternalError)  # fmt: skip
    return isinstance(error, lost)


def _reason(error: Exception) -> str:
    """Return the line of TensorFlow's long message that says why a collective was given up."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "aborted by" in line or "Connection" in line]
    return (telling or lines or [type(error).__name__])[0][:300]


def _work(folder: Path, events: EventWriter) -> None:
    stop = StopFlag()
    stop.arm(early=_leave_early)
    cluster, work = Cluster.from_environment(), Work.read(folder)
    train, validation = read_examples(folder, "train"), read_examples(folder, "validation")
    strategy_of = _load_tensorflow(work)
    barrier.meet(cluster, work.barrier_seconds)
    strategy = strategy_of()
    stop.arm()  # TensorFlow has taken SIGTERM in between; from here on it ends a step
    trainer = _make_trainer(work, cluster, strategy, train, validation, events, stop)
    trainer.restore()
    trainer.run()
    if cluster.is_chief:
        _finish(work, folder / BUNDLE, trainer, validation)
    trainer.loop.agree(0)  # nobody leaves before the bundle is there
    progress = trainer.progress
    events.send(
        Finished(
            epochs=progress.epoch,
            best_epoch=trainer.kept_epoch,
            validation_loss=progress.validation_curve[trainer.kept_epoch - 1],
            rows_per_second=trainer.rows_per_second,
        )
    )


def _leave_early() -> None:
    """Nothing is finished yet that could be lost."""
    os._exit(ExitCode.TRANSIENT)


def _load_tensorflow(work: Work) -> Any:
    """Import TensorFlow, make it repeatable, and return the strategy's maker."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise SettingsError(
            f"Keras runs on {keras.backend.backend()}, not on TensorFlow.",
            "Set KERAS_BACKEND=tensorflow for the workers.",
        )
    keras.config.set_floatx("float32")
    keras.utils.set_random_seed(work.train.seed)
    tf.config.experimental.enable_op_determinism()
    if gpus := tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices(gpus[:1], "GPU")  # one worker, one replica
    return tf.distribute.MultiWorkerMirroredStrategy


def _make_trainer(
    work: Work,
    cluster: Cluster,
    strategy: Any,
    train: "Examples",
    validation: "Examples",
    events: EventWriter,
    stop: StopFlag,
) -> Trainer:
    from lastmile.train.gang.loop import Loop

    def cut(rows: int) -> Batches:
        return Batches(rows, work.train.batch_size, cluster.size, cluster.index, work.train.seed)

    batches = cut(len(train))
    return Trainer(
        work=work,
        loop=Loop(strategy, work, batches, cut(len(validation)), train, validation),
        batches=batches,
        row_weights=train.weights,
        checkpoints=Checkpoints(Store(work.store_url, work.cache), work.checkpoints),
        events=events,
        stop=stop,
    )


def _finish(work: Work, folder: Path, trainer: Trainer, validation: "Examples") -> None:
    """Write the model and the account of its training beside the transform and the signature."""
    from lastmile.train.gang.objective import answering
    from lastmile.train.keras.dropout import Place
    from lastmile.train.keras.export import check_bundle, export_model

    # Built anew: the trained one's variables belong to the strategy, which the export cannot read.
    plain = work.train.model.build(work.width, work.outputs, work.train.seed, Place())
    plain.set_weights(trainer.loop.model.get_weights())
    model = answering(plain, work.task)
    model(validation.features[:1])  # Keras exports only what was called once
    export_model(model, folder)
    difference = check_bundle(model, folder, validation.features)
    log.info("The bundle answers as Keras does, to %.1g.", difference)
    progress = trainer.progress
    account = {
        "format": 1,
        "epochs": progress.epoch,
        "best_epoch": trainer.kept_epoch,
        "stopped_early": progress.epoch < work.train.epochs,
        "weights": sum(int(w.size) for w in plain.get_weights()),
        "validation_loss": progress.validation_curve[trainer.kept_epoch - 1],
        "curves": {
            "loss": progress.loss_curve,
            "validation_loss": progress.validation_curve,
        },
    }
    (folder / TRAINING).write_text(json.dumps(account, indent=1) + "\n")


if __name__ == "__main__":
    main()
