import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loss_inputs import OPTIONS, clip_inputs, random_discriminator
from vrt_spike_jax.losses.adversarial import (
    FORMS,
    adversarial,
    discriminator_loss,
    discriminator_objective,
    generator_loss,
    r1_penalty,
)

FAST = {"xla_backend_optimization_level": 0}
OWN = OPTIONS["adversarial"]
REAL, FAKE = np.array([2.0, 0.5]), np.array([-3.0, 0.0, 0.6])


def softplus(x):
    return np.mean(np.log(1 + np.exp(x)))


def test_values_by_hand():
    """Means are 1.25 and -0.8; 1 - real is -1 and 0.5, 1 + fake is -2, 1 and 1.6."""
    real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
    found = {
        (loss.__name__, form): float(loss(real, fake, form=form))
        for loss in (generator_loss, discriminator_loss)
        for form in FORMS
    }
    expected = {
        ("generator_loss", "hinge"): 0.8,
        ("discriminator_loss", "hinge"): 0.5 / 2 + 2.6 / 3,
        ("generator_loss", "relativistic"): softplus(1.25 - FAKE)
        + softplus(REAL + 0.8),
        ("discriminator_loss", "relativistic"): softplus(-0.8 - REAL)
        + softplus(FAKE - 1.25),
    }
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", (generator_loss, discriminator_loss))
def test_gradients_to_both_values_equal_finite_differences(loss, form):
    step = 1e-6
    with jax.enable_x64(True):
        real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
        slopes = jax.grad(lambda *x: loss(*x, form=form), (0, 1))(real, fake)
        for argument, slope in enumerate(slopes):
            for index in range(slope.size):
                moved = np.zeros(slope.size)
                moved[index] = step
                pairs = [[REAL, FAKE], [REAL, FAKE]]
                for pair, sign in zip(pairs, (1, -1), strict=True):
                    pair[argument] = pair[argument] + sign * moved
                ahead, behind = (
                    float(loss(*map(jnp.asarray, p), form=form)) for p in pairs
                )
                expected = (ahead - behind) / (2 * step)
                np.testing.assert_allclose(slope[index], expected, atol=1e-9)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="'hing'; the choices are hinge, relativistic"):
        generator_loss(jnp.ones(1), jnp.ones(1), form="hing")


def test_penalty_of_a_linear_discriminator_by_hand():
    """The slope is the weights, whatever the clip; two patches: the mean square."""
    weights = jnp.asarray([[1.0, 2.0, -2.0], [3.0, -2.0, 2.0]])
    clips = jnp.asarray([[0.3, 0.1, 0.7], [0.9, 0.0, 0.2]])
    one = r1_penalty(lambda x: x @ weights[:1].T + 5, clips)
    assert float(one) == pytest.approx(0.5 * 9)
    both = r1_penalty(lambda x: x @ weights.T, clips)
    assert float(both) == pytest.approx(0.5 * 4**2 / 2)


def test_objective_gradient_equals_finite_differences_in_float64():
    """Through the penalty, that is through the gradient of a gradient."""
    clips = {key: clip_inputs(8, seed=1)[key] for key in ("sharp", "blur")}
    step = 1e-6
    with jax.enable_x64(True):
        params = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), random_discriminator()
        )
        prediction, target = jnp.asarray(clips["blur"]), jnp.asarray(clips["sharp"])

        def objective(params, prediction, target):
            return discriminator_objective(
                params,
                prediction,
                target,
                **OWN | {"dtype": jnp.float64},
                r1_weight=2.0,
            )

        function = jax.jit(
            jax.value_and_grad(objective, (0, 1, 2), has_aux=True),
            compiler_options=FAST,
        )
        (total, parts), (gradient, *others) = function(params, prediction, target)
        assert all(np.abs(x).max() == 0 for x in others)
        rng = np.random.default_rng(0)
        direction = jax.tree.map(
            lambda x: jnp.asarray(rng.normal(size=x.shape)), params
        )
        ahead, behind = (
            function(
                jax.tree.map(lambda x, d, s=s: x + s * d, params, direction),
                prediction,
                target,
            )[0][0]
            for s in (step, -step)
        )
        slope = (ahead - behind) / (2 * step)
        products = jax.tree.map(jnp.vdot, gradient, direction)
        np.testing.assert_allclose(sum(jax.tree.leaves(products)), slope, rtol=1e-5)
        assert parts["r1"] > 0
        assert abs(float(parts["real"] - parts["fake"])) > 0
        assert np.isfinite(total)


def test_the_models_loss_gives_the_discriminator_no_gradient():
    prediction, target = (
        jnp.asarray(clip_inputs(8)[key], jnp.float32) for key in ("blur", "sharp")
    )
    slopes = jax.jit(
        jax.grad(lambda *x: adversarial(*x, **OWN), (1, 2)), compiler_options=FAST
    )(prediction, target, random_discriminator())
    assert all(np.abs(x).max() == 0 for x in jax.tree.leaves(slopes))
