"""Fusions: the identity at their start, what they compute, and that chunks are free."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.fusion import FUSIONS, CrossAttentionFusion

RNG = np.random.default_rng(13)
FRAMES = jnp.asarray(RNG.normal(size=(1, 2, 10, 12, 8)), jnp.float32)
SPIKES = jnp.asarray(RNG.normal(size=(1, 2, 4, 10, 12, 8)), jnp.float32)
LAYER = CrossAttentionFusion(num_heads=4, window=4)
PARAMS = LAYER.init(jax.random.key(0), FRAMES, SPIKES)["params"]
PROJ = {"kernel": RNG.normal(size=(8, 8)), "bias": RNG.normal(size=8)}
OPEN = {**PARAMS, "proj": jax.tree.map(jnp.float32, PROJ)}


def run(params, frames, spikes):
    return LAYER.apply({"params": params}, frames, spikes)


def layer_of(name, **options):
    return FUSIONS[name](num_heads=4, window=5, **options)


def opened(layer):
    """Parameters of a layer, every one away from its start."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), FRAMES, SPIKES)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.5, x.shape), jnp.float32), shapes
    )


def weights_of(params):
    return jax.tree.map(np.asarray, params)


def normed(x, epsilon=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)


def gelu(x):
    return np.asarray(jax.nn.gelu(x))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_starts_as_the_identity(name, dtype):
    layer = layer_of(name, dtype=dtype)
    frames, spikes = FRAMES.astype(dtype), SPIKES.astype(dtype)
    params = layer.init(jax.random.key(0), frames, spikes)["params"]
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    found = layer.apply({"params": params}, frames, spikes)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, frames)


@pytest.mark.parametrize("name", FUSIONS)
def test_the_last_projection_learns_from_the_first_step(name):
    layer = layer_of(name)
    params = layer.init(jax.random.key(0), FRAMES, SPIKES)["params"]
    gradient = jax.grad(
        lambda p: (layer.apply({"params": p}, FRAMES, SPIKES) ** 2).sum()
    )(params)
    assert all(np.all(np.abs(x) > 0) for x in jax.tree.leaves(gradient["proj"]))


@pytest.mark.parametrize("name", FUSIONS)
def test_chunks_change_neither_values_nor_gradients(name):
    params = opened(layer_of(name))

    def loss(max_chunk, params, frames, spikes):
        layer = layer_of(name, max_chunk=max_chunk)
        return jnp.sin(layer.apply({"params": params}, frames, spikes)).sum()

    values = jax.value_and_grad(loss, argnums=(1, 2, 3))
    expected = values(2**30, params, FRAMES, SPIKES)
    found = values(1, params, FRAMES, SPIKES)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_reads_the_times_of_its_own_exposure(name):
    layer = layer_of(name)
    params = opened(layer)
    swapped = SPIKES.at[:, 0].set(SPIKES[:, 0, ::-1])
    change = layer.apply({"params": params}, FRAMES, swapped) - layer.apply(
        {"params": params}, FRAMES, SPIKES
    )
    assert np.abs(change[:, 0]).max() > 1e-2
    np.testing.assert_allclose(change[:, 1], 0, atol=1e-6)


def test_concat_is_two_convolutions_over_what_is_concatenated():
    layer = layer_of("concat")
    params = opened(layer)
    found = layer.apply({"params": params}, FRAMES, SPIKES)
    w = weights_of(params)
    frames, spikes = np.asarray(FRAMES), np.asarray(SPIKES)
    norm = normed(frames) * w["norm_frames"]["scale"] + w["norm_frames"]["bias"]
    folded = spikes.transpose(0, 1, 3, 4, 2, 5).reshape(1, 2, 10, 12, 32)
    kernel = np.concatenate(
        [w["frames"]["kernel"], w["spikes"]["kernel"].reshape(32, 16)]
    )
    hidden = np.concatenate([norm, folded], -1) @ kernel + w["spikes"]["bias"]
    expected = frames + gelu(hidden) @ w["proj"]["kernel"] + w["proj"]["bias"]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_film_scales_and_shifts_the_normalised_frames():
    layer = layer_of("film")
    params = opened(layer)
    found = layer.apply({"params": params}, FRAMES, SPIKES)
    w = weights_of(params)
    frames, spikes = np.asarray(FRAMES), np.asarray(SPIKES)
    hidden = np.einsum("btshwc,scd->bthwd", spikes, w["spikes"]["kernel"])
    told = gelu(hidden + w["spikes"]["bias"]) @ w["proj"]["kernel"] + w["proj"]["bias"]
    expected = frames + told[..., :8] * normed(frames) + told[..., 8:]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_channel_attention_equals_attention_written_out():
    layer = layer_of("channel_attn")
    params = opened(layer)
    w = weights_of(params)
    # An identity projection shows the heads' answers.
    params = {**params, "proj": {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}}
    found = (layer.apply({"params": params}, FRAMES, SPIKES) - FRAMES)[0, 1]
    frame, spikes = np.asarray(FRAMES)[0, 1], np.asarray(SPIKES)[0, 1]
    norm = normed(frame) * w["norm_frames"]["scale"] + w["norm_frames"]["bias"]
    query = norm @ w["query"]["kernel"] + w["query"]["bias"]
    key_value = spikes @ w["key_value"]["kernel"] + w["key_value"]["bias"]
    key, value = key_value[..., :8], key_value[..., 8:]
    for channel in range(8):
        head, own = divmod(channel, 2)
        logits = np.zeros((4, 2))
        for s, other in np.ndindex(4, 2):
            a, b = query[..., channel], key[s, ..., 2 * head + other]
            cosine = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
            logits[s, other] = cosine * w["temperature"][head, 0, 0, 0]
        logits += w["channel_bias"][head, own]
        attention = np.exp(logits) / np.exp(logits).sum()
        answer = np.einsum(
            "so,shwo->hw", attention, value[..., 2 * head : 2 * head + 2]
        )
        np.testing.assert_allclose(found[..., channel], answer, atol=1e-4)


def test_channels_start_with_their_own_kind_at_moments_of_the_exposure():
    layer = layer_of("channel_attn")
    params = layer.init(jax.random.key(0), FRAMES, SPIKES)["params"]
    table = np.asarray(params["channel_bias"])
    assert table.shape == (4, 2, 4, 2)
    for head, own in np.ndindex(4, 2):
        best = np.unravel_index(table[head, own].argmax(), (4, 2))
        assert best == (head, own)


def test_attention_equals_attention_written_out():
    weights = weights_of(OPEN)

    def dense(name, x):
        return x @ weights[name]["kernel"] + weights[name]["bias"]

    # The window of frame 1 whose upper left pixel is (4, 8).
    norm = weights["norm_frames"]
    frame, spikes = (
        np.asarray(FRAMES)[0, 1, 4:8, 8:12],
        np.asarray(SPIKES)[0, 1, :, 4:8, 8:12],
    )
    query = dense("query", normed(frame) * norm["scale"] + norm["bias"])
    query = query.reshape(4, 4, 4, 2)
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


@pytest.mark.parametrize("window", [3, 4, 5, 8])
def test_windows_beyond_the_border_do_not_reach_inside(window):
    # Where the height is no multiple of the window, the rows of whole windows stay.
    layer = CrossAttentionFusion(num_heads=4, window=window)
    params = opened(layer)
    rows = 10 // window * window
    whole = layer.apply({"params": params}, FRAMES, SPIKES)
    cut = layer.apply({"params": params}, FRAMES[:, :, :rows], SPIKES[:, :, :, :rows])
    assert whole.shape == FRAMES.shape
    np.testing.assert_allclose(whole[:, :, :rows], cut, atol=1e-5)


def test_heads_start_at_different_moments_of_the_exposure():
    table = np.asarray(PARAMS["position_bias"])
    assert table.shape == (7, 7, 4, 4)
    assert table[3, 3].argmax(0).tolist() == [0, 1, 2, 3]
    assert np.all(table.max((0, 1)) == table[3, 3])


def test_the_names_of_cross_attention_are_those_of_its_checkpoints():
    shapes = {
        "key_value": {"bias": (16,), "kernel": (8, 16)},
        "norm_frames": {"bias": (8,), "scale": (8,)},
        "position_bias": (7, 7, 4, 4),
        "proj": {"bias": (8,), "kernel": (8, 8)},
        "query": {"bias": (8,), "kernel": (8, 8)},
    }
    assert jax.tree.map(jnp.shape, PARAMS) == shapes
