"""The clips and shards of a data set made by Apache Beam, on one machine or on many.

The workers make the same files as a local build, so the data set is the same byte by
byte. They write into the unfinished directory: every worker must see it under the same
path, on a file system that the machines share.
"""

import contextlib
import functools
import io
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipeline.spike_deblur.clip_files import finish_clip
from data_pipeline.spike_deblur.layout import CLIPS
from data_pipeline.spike_deblur.shards import ShardPlanner, write_shard
from data_pipeline.spike_deblur.source import SPLITS, Source
from data_pipeline.spike_deblur.unfinished import count_finished, missing_clips

_FAILURE = ".failure"  # the sentence of a clip that could not be made
_SECONDS = 2.0  # from one look at the progress to the next


def make(source: Source, unfinished: Path, options: str) -> None:
    """Makes every clip and shard that is missing.

    Args:
        source: of the clips.
        unfinished: directory of the data set, as the workers see it.
        options: of the Beam pipeline, as on a command line.

    Raises:
        ModuleNotFoundError: Apache Beam is not installed.
        ValueError: an option is wrong, or a clip cannot be made.
        OSError: a worker cannot write into the directory.
    """
    beam = _import_beam()
    _check_options(options)
    root = unfinished.resolve()
    missing = missing_clips(root, source.counts)
    with _progress(root, source), _plain_errors(root):
        _run(beam, options, missing, functools.partial(_finish, source, root))
        # Which clips share a shard depends on the sizes of all before them.
        planners = [ShardPlanner(root, s, source.counts[s]) for s in SPLITS]
        plans = [plan for p in planners for plan in iter(p.next, None)]
        _run(beam, options, plans, functools.partial(write_shard, root))


def _import_beam() -> Any:
    try:
        import apache_beam
    except ImportError:
        raise ModuleNotFoundError(
            "--beam needs Apache Beam, which is not installed; install it with "
            "pip install 'vrt-spike-jax[beam]'."
        ) from None
    return apache_beam


def _check_options(options: str) -> None:
    """Raises a ValueError where Beam's parser would end the program."""
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            PipelineOptions(shlex.split(options)).get_all_options()
    except ValueError as error:  # a quotation without an end
        reason = str(error)
    except SystemExit:
        reason = said.getvalue().strip().rpartition("\n")[2].rpartition("error: ")[2]
    else:
        return
    raise ValueError(f"--beam_options={options} cannot be read: {reason.rstrip('.')}.")


def _run(beam: Any, options: str, items: list[Any], work: Any) -> None:
    """Does some work on every item, each wherever the runner likes."""
    from apache_beam.options.pipeline_options import PipelineOptions

    if not items:
        return
    with beam.Pipeline(options=PipelineOptions(shlex.split(options))) as pipeline:
        _ = (
            pipeline
            | "Name what to make" >> beam.Create(items)
            # Without it a runner may keep all of them on one worker.
            | "Share it out" >> beam.Reshuffle()
            | "Make it" >> beam.Map(work)
        )


def _finish(source: Source, unfinished: Path, clip: tuple[str, int]) -> None:
    """Finishes a clip; leaves the sentence of its error, which Beam wraps in others."""
    try:
        if not (unfinished / CLIPS).is_dir():
            raise FileNotFoundError(
                f"A Beam worker does not see {unfinished}; --output must be a folder "
                "that all workers share under the same path."
            )
        finish_clip(source, unfinished, *clip)
    except (ValueError, OSError) as error:
        with contextlib.suppress(OSError):
            (unfinished / _FAILURE).write_text(str(error))
        raise


@contextlib.contextmanager
def _plain_errors(unfinished: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = unfinished / _FAILURE
        if not failure.exists():
            raise OSError(f"The Beam pipeline failed: {error}") from error
        sentence = failure.read_text()
        failure.unlink()
        raise ValueError(sentence) from error


@contextlib.contextmanager
def _progress(unfinished: Path, source: Source) -> Iterator[None]:
    """Shows the finished clips, which any machine may have made."""
    ended = threading.Event()
    done = count_finished(unfinished)
    bar = tqdm(
        total=sum(source.counts.values()),
        initial=done,
        desc=f"Building {source.config_name} with Apache Beam",
        unit="clip",
    )

    def look() -> None:
        while not ended.wait(_SECONDS):
            bar.update(count_finished(unfinished) - bar.n)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        bar.update(count_finished(unfinished) - bar.n)
        bar.close()
