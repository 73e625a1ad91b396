import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vrt_spike_jax import sharding
from vrt_spike_jax.checkpoint import (
    Checkpoints,
    chosen_step,
    newest_step,
    restore_params,
)
from vrt_spike_jax.discriminator_state import DiscriminatorState
from vrt_spike_jax.train_state import TrainState


def state_of(step, width=3):
    params = {
        "layer": {"kernel": jnp.full((2, width), float(step)), "bias": jnp.ones(2)}
    }
    optimizer = optax.chain(optax.clip(1.0), optax.scale_by_adam())
    return TrainState(jnp.asarray(step, jnp.int32), params, optimizer.init(params))


def abstract_of(state):
    everywhere = sharding.replicated(sharding.make_mesh())
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state
    )


def test_newest_state_and_position_return(tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.latest_step() is None
        for step in (2, 4, 6):
            checkpoints.save(state_of(step), step=step, position=step + 1)
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        assert checkpoints.latest_step() == 6
        state, position = checkpoints.restore(abstract_of(state_of(0)))
    assert position == 7
    assert jax.tree.structure(state) == jax.tree.structure(state_of(6))
    jax.tree.map(np.testing.assert_array_equal, state, state_of(6))
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"4", "6"}


def test_parameters_alone_return(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state_of(5), step=5, position=5)
    assert newest_step(tmp_path) == 5
    params = restore_params(tmp_path, jax.eval_shape(lambda: state_of(0).params))
    jax.tree.map(np.testing.assert_array_equal, params, state_of(5).params)


def test_an_older_step_can_be_chosen(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (4, 6):
            checkpoints.save(state_of(step), step=step, position=step)
    assert chosen_step(tmp_path, None) == 6
    assert chosen_step(tmp_path, 4) == 4
    abstract = jax.eval_shape(lambda: state_of(0).params)
    params = restore_params(tmp_path, abstract, step=4)
    jax.tree.map(np.testing.assert_array_equal, params, state_of(4).params)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 5 .* 4, 6\."):
        restore_params(tmp_path, abstract, step=5)


def test_half_written_checkpoint_is_passed_over_and_removed(tmp_path):
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        checkpoints.save(state_of(5), step=5, position=5)
    # What orbax leaves behind where it is killed while it writes step 9.
    partial = tmp_path / "9.orbax-checkpoint-tmp"
    (partial / "params").mkdir(parents=True)
    assert newest_step(tmp_path) == 5
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        assert checkpoints.latest_step() == 5
        checkpoints.save(state_of(9), step=9, position=9)
        checkpoints.wait()
        assert checkpoints.latest_step() == 9
    assert not partial.exists()


def test_relative_directory_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints("run/checkpoints") as checkpoints:
        checkpoints.save(state_of(1), step=1, position=1)
    assert newest_step("run/checkpoints") == 1


def test_missing_checkpoint_is_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        newest_step(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(FileNotFoundError, match="no checkpoint"):
            checkpoints.restore(abstract_of(state_of(0)))


def test_other_shapes_are_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_of(1), step=1, position=1)
    other = state_of(0, width=4)
    message = r"'layer/kernel', with the shape \(2, 3\) there and \(2, 4\)"
    with pytest.raises(ValueError, match=message):
        restore_params(tmp_path, jax.eval_shape(lambda: other.params))
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(abstract_of(other))


def test_a_discriminator_is_kept_and_none_is_made_up(tmp_path):
    players = state_of(3).replace(
        discriminator=DiscriminatorState({"kernel": jnp.full(2, 0.5)}, (jnp.ones(2),))
    )
    for name, saved, other in (
        ("both", players, state_of(3)),
        ("one", state_of(3), players),
    ):
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(saved, step=3, position=3)
            checkpoints.wait()
            restored, _ = checkpoints.restore(abstract_of(saved))
            assert jax.tree.structure(restored) == jax.tree.structure(saved)
            jax.tree.map(np.testing.assert_array_equal, restored, saved)
            message = "discriminator, but (one|none) is to be trained; continue with"
            with pytest.raises(ValueError, match=message):
                checkpoints.restore(abstract_of(other))
        # What restores videos asks for the parameters of the model alone.
        params = restore_params(tmp_path / name, abstract_of(state_of(0)).params)
        jax.tree.map(np.testing.assert_array_equal, params, saved.params)


def test_averages_are_kept_and_restored_in_the_place_of_what_they_are_of(tmp_path):
    saved = state_of(3).replace(ema={"layer/kernel": jnp.full((2, 3), 0.5)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(saved, step=3, position=3)
        checkpoints.wait()
        restored, _ = checkpoints.restore(abstract_of(saved))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    jax.tree.map(np.testing.assert_array_equal, restored, saved)
    abstract = abstract_of(state_of(0)).params
    params = restore_params(tmp_path, abstract)
    np.testing.assert_array_equal(params["layer"]["kernel"], 0.5)
    np.testing.assert_array_equal(params["layer"]["bias"], 1.0)
    params = restore_params(tmp_path, abstract, ema=False)
    jax.tree.map(np.testing.assert_array_equal, params, saved.params)


def test_names_that_are_patterns_are_refused(tmp_path):
    # Orbax would save there without the arrays, and without a word.
    for name in ("run [1]", "run*", "run?"):
        with pytest.raises(ValueError, match="one of the signs"):
            Checkpoints(tmp_path / name / "checkpoints")
    assert list(tmp_path.iterdir()) == []
    with Checkpoints(tmp_path / "a run, 50%") as checkpoints:
        checkpoints.save(state_of(2), step=2, position=2)
    restored = restore_params(tmp_path / "a run, 50%", abstract_of(state_of(0)).params)
    jax.tree.map(np.testing.assert_array_equal, restored, state_of(2).params)


def test_checkpoint_that_lost_its_arrays_is_named(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_of(2), step=2, position=2)
    for part in (tmp_path / "2" / "params").iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(ValueError, match="no parameters that can be read; delete"):
        restore_params(tmp_path, abstract_of(state_of(0)).params)


def steps_in(directory):
    return sorted(int(path.name) for path in directory.iterdir() if path.is_dir())


def test_the_best_stays_beside_the_newest(tmp_path):
    scores = {2: 30.0, 4: 32.5, 6: None, 8: 31.0, 10: 29.0, 12: None}
    for begun in ((2, 4, 6), (8, 10, 12)):  # the second run reads what the first scored
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            for step in begun:
                checkpoints.save(
                    state_of(step), step=step, position=step, score=scores[step]
                )
            checkpoints.wait()
            assert checkpoints.best_step() == 4
            newest, position = checkpoints.restore(abstract_of(state_of(0)))
        assert int(newest.step) == position == begun[-1]  # not the best
    assert steps_in(tmp_path) == [4, 10, 12]


def test_without_scores_there_is_no_best(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state_of(step), step=step, position=step)
        checkpoints.wait()
        assert checkpoints.best_step() is None
    assert steps_in(tmp_path) == [2]


def test_disk_that_is_full_is_one_sentence_and_the_last_checkpoint_stays(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = r"checkpoint could not be written .*too large\); that of step 1 stays"
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state_of(1), step=1, position=1)
        checkpoints.wait()
        noise = np.random.default_rng(0).random(2**14, np.float32)  # not compressed
        large = state_of(2).replace(params={"noise": jnp.asarray(noise)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, limits[1]))  # bytes of a file
        try:
            with pytest.raises(OSError, match=message):
                checkpoints.save(large, step=2, position=2)
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        state, _ = checkpoints.restore(abstract_of(state_of(0)))
        jax.tree.map(np.testing.assert_array_equal, state, state_of(1))
        checkpoints.save(state_of(2), step=2, position=2)  # there is room again
    assert steps_in(tmp_path) == [2]


def test_error_of_another_kind_keeps_its_own_words(tmp_path, monkeypatch):
    def lost(*args, **options):
        raise ValueError("UNKNOWN: Gloo AllGather failed")

    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(type(checkpoints._manager), "save", lost)
        with pytest.raises(ValueError, match="Gloo"):
            checkpoints.save(state_of(1), step=1, position=1)
