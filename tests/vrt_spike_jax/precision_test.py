"""What is computed in bfloat16, and what of such a model stays in float32."""

from collections import Counter

import jax
import jax.extend
import jax.numpy as jnp
import pytest

from vrt_spike_jax import create_model
from vrt_spike_jax.train_state import SpikeShape, abstract_params

SHAPE = SpikeShape(num_channels=4, spike_scale=1)
SHALLOW = {"depths": (1,) * 9}
# Of softmax, norms and flows: exponentials, roots, and the floor of coordinates.
PRECISE = ("exp", "rsqrt", "sqrt", "div", "floor", "log", "reduce_max", "argmax")
PRODUCTS = ("dot_general", "conv_general_dilated")


def operations(jaxpr, scope=""):
    """(primitive, dtype of its first operand, scope) of operations, at any depth."""
    for equation in jaxpr.eqns:
        inputs = [x.aval for x in equation.invars if hasattr(x.aval, "dtype")]
        own = f"{scope}/{equation.source_info.name_stack}"
        if inputs:
            yield equation.primitive.name, inputs[0].dtype.name, own
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from operations(inner, own)


@pytest.fixture(scope="module")
def found():
    model = create_model(
        "tiny", fusion="cross_attn", dtype=jnp.bfloat16, time_strides=(2,), **SHALLOW
    )
    params = abstract_params(model, SHAPE)
    blur = jax.ShapeDtypeStruct((1, 2, 32, 32, 3), jnp.float32)
    spikes = jax.ShapeDtypeStruct((1, 2, 4, 32, 32), jnp.float32)

    traced = jax.make_jaxpr(lambda p, *x: model.apply({"params": p}, *x))(
        params, blur, spikes
    )
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}
    assert [x.dtype.name for x in traced.out_avals] == ["float32"]
    return list(operations(traced.jaxpr))


def test_softmax_norms_and_coordinates_are_in_float32(found):
    dtypes = Counter((name, dtype) for name, dtype, _ in found if name in PRECISE)
    assert dtypes["exp", "float32"] > 0
    assert dtypes["rsqrt", "float32"] > 0
    assert dtypes["floor", "float32"] > 0
    assert [key for key in dtypes if key[1] == "bfloat16"] == []


def test_products_are_in_bfloat16_but_for_the_flow(found):
    products = [
        (dtype, "spynet" in scope) for name, dtype, scope in found if name in PRODUCTS
    ]
    flow = {dtype for dtype, is_flow in products if is_flow}
    assert flow == {"float32"}
    others = Counter(dtype for dtype, is_flow in products if not is_flow)
    assert others["bfloat16"] > 100
    # The gain that spikes are matched to the frames with is no layer.
    assert others["float32"] == 1
