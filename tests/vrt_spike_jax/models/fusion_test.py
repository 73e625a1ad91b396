"""Cross-attention fusion: the identity at its start, local windows, time."""

import jax
import jax.numpy as jnp
import numpy as np

from vrt_spike_jax.models.fusion import CrossAttentionFusion

RNG = np.random.default_rng(13)
FRAMES = jnp.asarray(RNG.normal(size=(1, 2, 10, 12, 8)), jnp.float32)
SPIKES = jnp.asarray(RNG.normal(size=(1, 2, 4, 10, 12, 8)), jnp.float32)
LAYER = CrossAttentionFusion(num_heads=4, window=4)
PARAMS = LAYER.init(jax.random.key(0), FRAMES, SPIKES)["params"]
PROJ = {"kernel": RNG.normal(size=(8, 8)), "bias": RNG.normal(size=8)}
OPEN = {**PARAMS, "proj": jax.tree.map(jnp.float32, PROJ)}


def run(params, frames, spikes):
    return LAYER.apply({"params": params}, frames, spikes)


def test_it_starts_as_the_identity():
    np.testing.assert_array_equal(run(PARAMS, FRAMES, SPIKES), FRAMES)


def test_its_projection_learns_from_the_first_step():
    gradient = jax.grad(lambda p: (run(p, FRAMES, SPIKES) ** 2).sum())(PARAMS)
    assert all(np.all(np.abs(x) > 0) for x in jax.tree.leaves(gradient["proj"]))


def test_it_equals_attention_written_out():
    weights = jax.tree.map(np.asarray, OPEN)

    def dense(name, x):
        return x @ weights[name]["kernel"] + weights[name]["bias"]

    # The window of frame 1 whose upper left pixel is (4, 8).
    norm = weights["norm_frames"]
    frame, spikes = (
        np.asarray(FRAMES)[0, 1, 4:8, 8:12],
        np.asarray(SPIKES)[0, 1, :, 4:8, 8:12],
    )
    centred = frame - frame.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    normed = normed * norm["scale"] + norm["bias"]
    query = dense("query", normed).reshape(4, 4, 4, 2)
    key, value = np.split(dense("key_value", spikes), 2, -1)
    key, value = (x.reshape(4, 4, 4, 4, 2) for x in (key, value))
    y, x, head = 2, 1, 3
    logits = np.zeros((4, 4, 4))
    for s, v, u in np.ndindex(4, 4, 4):
        bias = weights["position_bias"][y - v + 3, x - u + 3, s, head]
        logits[s, v, u] = query[y, x, head] @ key[s, v, u, head] / np.sqrt(2) + bias
    attention = np.exp(logits) / np.exp(logits).sum()
    answer = (attention[..., None] * value[:, :, :, head]).sum((0, 1, 2))

    # An identity projection shows the heads' answers.
    plain = {**OPEN, "proj": {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}}
    found = (run(plain, FRAMES, SPIKES) - FRAMES)[0, 1, 4 + y, 8 + x, 6:8]
    np.testing.assert_allclose(found, answer, atol=1e-5)


def test_windows_beyond_the_border_do_not_reach_inside():
    # Height 10 is no multiple of the window; the rows of whole windows do not change.
    whole = run(OPEN, FRAMES, SPIKES)
    cut = run(OPEN, FRAMES[:, :, :8], SPIKES[:, :, :, :8])
    np.testing.assert_allclose(whole[:, :, :8], cut, atol=1e-5)


def test_heads_start_at_different_moments_of_the_exposure():
    table = np.asarray(PARAMS["position_bias"])
    assert table.shape == (7, 7, 4, 4)
    assert table[3, 3].argmax(0).tolist() == [0, 1, 2, 3]
    assert np.all(table.max((0, 1)) == table[3, 3])
