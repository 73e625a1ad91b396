"""The adversarial loss: what both players, model and discriminator, want of a clip."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from vrt_spike_jax.losses.pair import compared
from vrt_spike_jax.models.discriminator import ClipDiscriminator

FORMS = ("hinge", "relativistic")

Values = Float[Array, "..."]


def adversarial(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    discriminator: PyTree,
    *,
    form: str,
    width: int,
    dtype: Any,
) -> Float[Array, ""]:
    """How far the discriminator is from taking the prediction for a sharp clip.

    It has no smallest value, and is not 0 for sharp clips. The gradient flows to the
    prediction alone.

    Args:
      prediction: (B, T, H, W, 3), RGB in [0, 1].
      target: the sharp frames, of the same shape.
      discriminator: parameters of `ClipDiscriminator(width)`.
      form: one of FORMS, see `generator_loss`.
      width: channels of the discriminator.
      dtype: of its computation.

    Raises:
      ValueError: the shapes differ or are not of clips, or the form is none of FORMS.
    """
    prediction, target = compared(prediction, target)
    values = _values(jax.lax.stop_gradient(discriminator), width, dtype)
    real = values(jax.lax.stop_gradient(target))
    return generator_loss(real, values(prediction), form=form)


def discriminator_objective(
    discriminator: PyTree,
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    *,
    form: str,
    width: int,
    dtype: Any,
    r1_weight: float,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """What the discriminator is trained on, and its parts; for a gradient to it alone.

    Args:
      discriminator: parameters of `ClipDiscriminator(width)`.
      prediction: (B, T, H, W, 3), RGB in [0, 1].
      target: the sharp frames, of the same shape.
      form: one of FORMS, see `discriminator_loss`.
      width: channels of the discriminator.
      dtype: of its computation; that of the penalty is float32 or better.
      r1_weight: what the penalty counts; at 0 it is not computed.

    Returns:
      The sum, and by name: real and fake, the mean values of the patches of sharp and
      predicted clips, and r1, the penalty, unweighted.

    Raises:
      ValueError: the shapes differ or are not of clips, or the form is none of FORMS.
    """
    prediction, target = map(jax.lax.stop_gradient, compared(prediction, target))
    values = _values(discriminator, width, dtype)
    real, fake = values(target), values(prediction)
    total = discriminator_loss(real, fake, form=form)
    parts = {"real": jnp.mean(real), "fake": jnp.mean(fake)}
    if r1_weight > 0:
        exact = jnp.promote_types(dtype, jnp.float32)
        parts["r1"] = r1_penalty(_values(discriminator, width, exact), target)
        total = total + r1_weight * parts["r1"]
    return total, parts


def generator_loss(real: Values, fake: Values, *, form: str) -> Float[Array, ""]:
    """What the model wants of the values of patches; means over all patches.

    hinge: -mean(fake); Lim and Ye, "Geometric GAN", arXiv 1705.02894.
    relativistic: mean softplus(mean(real) - fake) + mean softplus(real - mean(fake)),
    the relativistic average form of Jolicoeur-Martineau, "The relativistic
    discriminator", ICLR 2019, as in ESRGAN.

    Args:
      real: values of the patches of sharp clips.
      fake: those of predicted clips.
      form: one of FORMS.

    Raises:
      ValueError: the form is none of FORMS.
    """
    _require_form(form)
    if form == "hinge":
        return -jnp.mean(fake)
    return discriminator_loss(fake, real, form=form)


def discriminator_loss(real: Values, fake: Values, *, form: str) -> Float[Array, ""]:
    """What the discriminator wants of the values of patches; means over all patches.

    hinge: mean max(1 - real, 0) + mean max(1 + fake, 0).
    relativistic: mean softplus(mean(fake) - real) + mean softplus(fake - mean(real)).

    Args:
      real: values of the patches of sharp clips.
      fake: those of predicted clips.
      form: one of FORMS.

    Raises:
      ValueError: the form is none of FORMS.
    """
    _require_form(form)
    if form == "hinge":
        return jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))
    ahead, behind = real - jnp.mean(fake), fake - jnp.mean(real)
    return jnp.mean(jax.nn.softplus(-ahead)) + jnp.mean(jax.nn.softplus(behind))


def r1_penalty(
    values: Callable[[Float[Array, "..."]], Values], clips: Float[Array, "..."]
) -> Float[Array, ""]:
    """Half the squared slope of the discriminator at sharp clips.

    Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually
    Converge?", ICML 2018, for many patches: the square of the gradient of the sum of
    all values is divided by their number, so that it does not grow with the clips.

    Args:
      values: of the patches of clips.
      clips: sharp ones; the gradient is taken to these.
    """

    def total(clips: Float[Array, "..."]) -> tuple[Float[Array, ""], Values]:
        found = values(clips)
        return jnp.sum(found), found

    slope, found = jax.grad(total, has_aux=True)(clips)
    return 0.5 * jnp.sum(jnp.square(slope)) / found.size


def _values(discriminator: PyTree, width: int, dtype: Any) -> Callable[..., Any]:
    module = ClipDiscriminator(width, dtype=jnp.dtype(dtype))
    return lambda clips: module.apply({"params": discriminator}, clips)


def _require_form(form: str) -> None:
    if form not in FORMS:
        raise ValueError(
            f"the form of the adversarial loss is {form!r}; the choices are "
            f"{', '.join(FORMS)}."
        )
