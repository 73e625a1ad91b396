import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.discriminator import PATCH_STRIDE, ClipDiscriminator

FAST = {"xla_backend_optimization_level": 0}


def abstract_values(shape, **options):
    """Shapes of the parameters and of the values of clips."""
    module = ClipDiscriminator(4, **options)
    clips = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x)[::-1], clips
    )


def test_one_value_sees_its_patch_and_nothing_else():
    """On a strip, for height and time; the kernels are as wide as they are high."""
    module = ClipDiscriminator(1)
    clips = jnp.zeros((1, 11, 72, 8, 3))
    params = jax.jit(module.init, compiler_options=FAST)(jax.random.key(0), clips)
    kernels = [x.shape for x in jax.tree.leaves(params) if x.ndim == 5]
    assert len(kernels) == 5 and all(shape[1] == shape[2] for shape in kernels)

    def value(clips):
        return module.apply(params, clips)[0, 5, 4, 0]

    slope = jax.jit(jax.grad(value), compiler_options=FAST)(clips)
    seen = np.abs(slope[0]).sum(-1) > 0
    first = 4 * PATCH_STRIDE - 23
    expected = np.zeros((11, 72, 8), bool)
    expected[1:10, first : first + 54] = True
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    ("clip", "patches"),
    [
        ((1, 32, 32), (1, 4, 4)),
        ((2, 48, 40), (2, 6, 5)),
        ((7, 39, 33), (7, 4, 4)),
        ((1, 8, 8), (1, 1, 1)),
    ],
)
def test_any_number_of_frames_and_any_crop_is_taken(clip, patches):
    _, values = abstract_values((2, *clip, 3))
    assert values.shape == (2, *patches)


@pytest.mark.parametrize("dtype", (jnp.bfloat16, jnp.float32))
def test_parameters_and_values_are_float32(dtype):
    params, values = abstract_values((1, 2, 32, 32, 3), dtype=dtype)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert values.dtype == jnp.float32


@pytest.mark.parametrize(
    "shape", [(2, 32, 32, 3), (1, 2, 32, 32, 1), (1, 2, 7, 32, 3), (1, 0, 32, 32, 3)]
)
def test_other_arrays_are_refused(shape):
    with pytest.raises(ValueError, match=r"RGB, of at least 8x8 pixels; got \("):
        abstract_values(shape)
