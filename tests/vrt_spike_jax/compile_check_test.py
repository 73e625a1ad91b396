import math

import jax
import jax.extend
import jax.numpy as jnp
import pytest
from flax import linen as nn

from configs import base
from vrt_spike_jax import compile_check, compile_report, create_model, sharding
from vrt_spike_jax.compile_check import UNCHUNKED
from vrt_spike_jax.stages import plan_stages
from vrt_spike_jax.train import prepare_run
from vrt_spike_jax.train_state import SpikeShape, abstract_params

BATCH, FRAMES, SIZE, BINS, WIDTH = 2, 2, 64, 2, 64
PIXELS = FRAMES * SIZE * SIZE
SHAPE = SpikeShape(num_channels=BINS, spike_scale=1)


class Net(nn.Module):
    """Two layers with the interface of VRTSpike; the first in chunks of rows."""

    takes_spikes, size_multiple, min_size, min_frames = True, 8, 64, 2
    max_chunk: int = UNCHUNKED
    upscale: int = 1

    @nn.compact
    def __call__(self, blur, spikes, *, train=False, spike_gain=None):
        light = jnp.mean(spikes, axis=2)[..., None]
        inputs = jnp.concatenate([blur, light], axis=-1)
        kernel = self.param("kernel", nn.initializers.normal(), (4, WIDTH))
        last = self.param("last", nn.initializers.normal(), (WIDTH, 3))

        def mix(x):
            return jnp.tanh(x @ kernel) @ last

        count = max(1, math.prod(inputs.shape[:-1]) * WIDTH // self.max_chunk)
        if count == 1:
            return mix(inputs)
        rows = inputs.reshape(count, -1, 4)
        out = jax.lax.map(jax.checkpoint(mix), rows)
        return out.reshape(*inputs.shape[:-1], 3)


@pytest.fixture(scope="module")
def config():
    config = base.get_config("smoke")
    # Its transform would count beside the products that are counted by hand.
    config.loss.focal_frequency.weight = 0.0
    config.data.update(num_frames=FRAMES, crop_size=SIZE, batch_size=BATCH)
    config.optimizer.groups = (("kernel", "frozen"), (".*", "main"))
    config.eval.update(tile=(FRAMES, SIZE, SIZE), overlap=(0, 0, 0))
    return config.lock()


def forward(config, model):
    return compile_check.forward_program(config, model, Net(), spike_shape=SHAPE)


def test_arithmetic_of_the_forward_pass_is_that_of_its_matrix_products(config):
    program = forward(config, Net())
    products = 2 * PIXELS * (4 * WIDTH + WIDTH * 3)
    # Beside them the mean over the bins: one addition per bin, one division.
    light = PIXELS * (BINS + 1)
    assert compile_check.cost_of(program).flops == pytest.approx(
        products + light, rel=0.01
    )
    assert (program.frames, program.devices) == (FRAMES, 1)


def test_step_computes_no_gradient_of_what_is_frozen(config):
    program = compile_check.train_program(config, Net(), Net(), spike_shape=SHAPE)
    pixels = BATCH * PIXELS
    # Forward, and the gradient of the last layer: its input's is needed by nothing.
    products = 2 * pixels * (4 * WIDTH + 2 * WIDTH * 3)
    flops = compile_check.cost_of(program).flops
    assert products < flops < 1.1 * products
    assert (program.frames, program.devices) == (BATCH * FRAMES, jax.device_count())


def test_a_step_of_stage_one_is_cheaper_than_a_full_one(config, capsys):
    changed = config.copy_and_resolve_references().unlock()
    changed.optimizer.groups = (("kernel", "flow"), (".*", "main"))
    changed.optimizer.frozen_steps.flow = 3
    arguments = {"spike_shape": SHAPE, "forward": False, "train": True}
    assert compile_report.report_costs(changed, Net(), Net(), **arguments) == []
    shown = capsys.readouterr().out
    assert f"stage 1     steps 1 to 3: {3 * WIDTH} (768 B) trained" in shown
    assert f"stage 2     steps 4 to 6: {7 * WIDTH} (1.75 KiB) trained" in shown
    assert "training step of stage 1:" in shown
    assert "training step of stage 2:" in shown
    stages = plan_stages(
        abstract_params(Net(), SHAPE), changed.optimizer, changed.train.steps
    )
    first, second = (
        compile_check.train_program(
            changed, Net(), Net(), spike_shape=SHAPE, stage=stage
        )
        for stage in stages
    )
    # In the second the gradients of the first layer and of its output are added.
    more = 2 * BATCH * PIXELS * (4 * WIDTH + WIDTH * 3)
    flops = [compile_check.cost_of(program).flops for program in (first, second)]
    assert more < flops[1] - flops[0] < 1.3 * more
    held = [
        compile_check.compile_program(program).memory.arguments
        for program in (first, second)
    ]
    # Two moments of each number of the first layer, and counts of its updates: of Adam
    # and of its warm-up.
    assert held[1] - held[0] == 2 * 4 * 4 * WIDTH + 2 * 4


def test_micro_batches_have_the_arithmetic_of_the_batch_in_less_memory(config):
    costs, temporaries = [], []
    for accumulate in (1, 2):
        changed = config.copy_and_resolve_references().unlock()
        changed.train.accumulate = accumulate
        program = compile_check.train_program(changed, Net(), Net(), spike_shape=SHAPE)
        costs.append(compile_check.cost_of(program).flops)
        memory = compile_check.compile_program(program).memory
        temporaries.append(memory.temporaries)
    assert costs[0] == costs[1]
    assert temporaries[1] < 0.8 * temporaries[0]


def test_chunks_take_less_memory_for_the_same_arithmetic(config):
    whole, chunked = (forward(config, Net(n)) for n in (UNCHUNKED, 2**14))
    costs = [compile_check.cost_of(program) for program in (whole, chunked)]
    assert costs[0].flops == costs[1].flops
    assert costs[0].unfused_bytes == costs[1].unfused_bytes
    memory = [compile_check.compile_program(p).memory for p in (whole, chunked)]
    features = 4 * PIXELS * WIDTH
    assert memory[0].temporaries > features
    assert memory[1].temporaries < features / 2
    assert memory[1].peak < memory[0].peak
    assert memory[0].arguments == memory[1].arguments


def test_memory_is_that_of_the_arrays(config):
    compiled = compile_check.compile_program(forward(config, Net()))
    parameters, clip = 4 * 7 * WIDTH, 4 * PIXELS
    # The gain of the spikes is not used by this model.
    assert compiled.memory.arguments == parameters + (3 + BINS) * clip
    assert compiled.memory.outputs == 3 * clip
    assert compiled.memory.aliased == 0
    assert compiled.compilations == 1
    assert compiled.compile_seconds > 0


def test_step_gives_up_its_state_to_the_next(config):
    program = compile_check.train_program(config, Net(), Net(), spike_shape=SHAPE)
    memory = compile_check.compile_program(program).memory
    state = prepare_run(config, Net(), SHAPE).abstract
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    # Frozen parameters among them; only the metrics are outputs of their own.
    assert 0.9 * size < memory.aliased <= size
    assert memory.peak < memory.arguments + memory.outputs + memory.temporaries


def test_compiled_step_is_the_one_that_trains(config):
    """So a training after the check finds it in the compilation cache."""
    program = compile_check.train_program(config, Net(), Net(), spike_shape=SHAPE)
    run = prepare_run(config, Net(), SHAPE)
    shapes = {
        "blur": (BATCH, FRAMES, SIZE, SIZE, 3),
        "sharp": (BATCH, FRAMES, SIZE, SIZE, 3),
        "spikes": (BATCH, FRAMES, BINS, SIZE, SIZE),
    }
    place = sharding.batch_sharding(run.mesh)
    batch = {
        name: jax.device_put(jnp.zeros(shape), place) for name, shape in shapes.items()
    }
    trained = run.train_step.lower(run.create(), batch)
    assert program.lower().as_text() == trained.as_text()


def macs_of(jaxpr):
    """Multiplications of the matrix products and convolutions of a program."""
    total = 0
    for equation in jaxpr.eqns:
        shapes = [getattr(x.aval, "shape", ()) for x in equation.invars]
        out = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            total += out * math.prod(shapes[0][i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = equation.params["dimension_numbers"].rhs_spec[0]
            total += out * math.prod(shapes[1]) // shapes[1][features]
        assert equation.primitive.name not in ("scan", "while")
        total += sum(map(macs_of, jax.extend.core.jaxprs_in_params(equation.params)))
    return total


def counted(config, model):
    """(FLOPs reported, multiplications counted equation by equation)."""
    frames, height, width = config.eval.tile
    params = abstract_params(model, SHAPE)
    blur = jax.ShapeDtypeStruct((1, frames, height, width, 3), jnp.float32)
    traced = jax.make_jaxpr(lambda p, x: model.apply({"params": p}, x))(params, blur)
    program = compile_check.forward_program(config, model, model, spike_shape=SHAPE)
    return compile_check.cost_of(program).flops, macs_of(traced.jaxpr)


def test_arithmetic_of_vrt_is_that_of_its_equations(config):
    flops, macs = counted(config, create_model("tiny", max_chunk=UNCHUNKED))
    # The rest is on single numbers: norms, softmax, sampling.
    assert 2 * macs < flops < 1.25 * 2 * macs


@pytest.mark.slow
def test_arithmetic_of_the_published_model_is_the_published(config):
    changed = config.copy_and_resolve_references().unlock()
    changed.eval.tile = (6, 256, 256)
    flops, macs = counted(changed, create_model("deblur", max_chunk=UNCHUNKED))
    assert macs / 6 == pytest.approx(744.4e9, rel=1e-3)
    assert flops == pytest.approx(2 * macs, rel=0.1)


@pytest.mark.parametrize(
    ("variant", "clip", "restored"),
    [
        ("001", (1, 6, 64, 64, 3), (1, 6, 256, 256, 3)),
        ("008", (1, 6, 64, 64, 4), (1, 6, 64, 64, 3)),
        ("009", (1, 4, 64, 64, 3), (1, 1, 64, 64, 3)),
    ],
)
def test_clip_is_the_one_that_the_task_takes(config, variant, clip, restored):
    changed = config.copy_and_resolve_references().unlock()
    changed.eval.tile = (6, 64, 64)
    depths = len(create_model(variant).depths)
    model = create_model(variant, depths=(1,) * depths, max_chunk=UNCHUNKED)
    lowered = compile_check.forward_program(
        changed, model, model, spike_shape=SHAPE
    ).lower()
    assert lowered.args_info[0][1].shape == clip
    assert lowered.out_info.shape == restored
    assert not compile_check.is_trainable(model)


def test_tile_of_the_whole_video_has_no_cost_yet(config):
    changed = config.copy_and_resolve_references().unlock()
    changed.eval.tile = (0, 64, 64)
    with pytest.raises(ValueError, match=r"eval\.tile is \(0, 64, 64\)"):
        forward(changed, Net())


def test_parameters_are_counted_by_group(config):
    params = {
        "a": {"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)},
        "b": jnp.ones(5),
    }
    labels = {"a/kernel": "main", "a/bias": "main", "b": "frozen"}
    groups = compile_check.parameter_groups(params, labels)
    assert [(g.name, g.count, g.bytes, g.is_trained) for g in groups] == [
        ("frozen", 5, 20, False),
        ("main", 16, 64, True),
    ]
    (group,) = compile_check.parameter_groups(params)
    assert (group.name, group.count, group.is_trained) == ("all", 21, False)
