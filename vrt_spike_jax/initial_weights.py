"""The weights that a training begins with, where they are not random."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
from flax import traverse_util
from jaxtyping import PyTree

from vrt_spike_jax import checkpoint
from vrt_spike_jax.official_files import load_pretrained, stored_params
from vrt_spike_jax.optimizer import label_parameters

_VRT = "vrt"  # where the parameters of its VRT stand in those of VRTSpike


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Parameters of a model, all or a part of them."""

    params: PyTree  # nested dict, in the memory of each process
    source: str  # where they are from, in words

    def describe(self, whole: int) -> str:
        """How many of `whole` numbers they are, and where they are from."""
        count = sum(x.size for x in jax.tree.leaves(self.params))
        rest = f"; the other {whole - count:,} are random" if count < whole else ""
        return f"{count:,} from {self.source}{rest}"


def load_initial(config: Any, model: Any, abstract: PyTree) -> InitialWeights | None:
    """Reads the weights that `train.pretrained` names; None where it names none.

    It takes an official .pth file of VRT, or of SpyNet alone, and the work directory of
    a training or of `python -m vrt_spike_jax.pretrained`, of which it takes the newest
    checkpoint, and the averages where there are. Weights of VRT become the VRT of a
    VRTSpike, whose other parameters stay random.

    Args:
      config: a run configuration, checked.
      model: VRT or VRTSpike.
      abstract: shapes and types of its parameters.

    Raises:
      FileNotFoundError: there is no such file or directory, or no checkpoint in it.
      ValueError: there are other weights in it than the model's; PyTorch, which reads
        .pth files, is not installed; or a group is to be kept as it is in the first
        steps of which it holds nothing, or none are named.
    """
    if not config.train.pretrained:
        _require_nothing_kept(config.optimizer)
        return None
    path = Path(config.train.pretrained).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"train.pretrained is {path}, where nothing is; name a .pth file of the "
            "official VRT or of SpyNet, or a work directory."
        )
    if path.is_dir():
        step = checkpoint.newest_step(path / "checkpoints")
        params, source = stored_params(path), f"{path.resolve()}, step {step}"
    else:
        try:
            params = load_pretrained(path, getattr(model, "vrt", model))
        except ModuleNotFoundError as error:
            raise ValueError(f"train.pretrained: {error}") from error
        source = str(path.resolve())
    if _VRT in abstract and _VRT not in params:
        params = {_VRT: params}
    _require_parts(params, abstract, path)
    _require_weights_of_kept(params, abstract, config.optimizer, path)
    return InitialWeights(jax.device_get(params), source)


def _require_nothing_kept(settings: Any) -> None:
    kept = [group for group, steps in settings.frozen_steps.items() if steps > 0]
    if kept:
        raise ValueError(
            f"optimizer.frozen_steps keeps the group {kept[0]!r} as it is for "
            f"{settings.frozen_steps[kept[0]]} steps, but train.pretrained is empty, "
            "so it would keep random values; name weights by "
            "--config.train.pretrained=PATH, a .pth file or a work directory, or pass "
            f"--config.optimizer.frozen_steps.{kept[0]}=0."
        )


def _require_weights_of_kept(
    params: PyTree, abstract: PyTree, settings: Any, path: Path
) -> None:
    """Refuses to keep a group as it is of which there are random values alone.

    Of SpyNet's weights alone, the deformable convolutions of its group may be random.
    """
    kept = {group for group, steps in settings.frozen_steps.items() if steps > 0}
    if not kept:
        return
    groups = label_parameters(abstract, settings.groups)
    given = {groups[name] for name in traverse_util.flatten_dict(params, sep="/")}
    if missing := sorted(kept - given):
        group = missing[0]
        raise ValueError(
            f"optimizer.frozen_steps keeps the group {group!r} as it is for "
            f"{settings.frozen_steps[group]} steps, but train.pretrained={path} holds "
            "none of its parameters, so it would keep random values; name weights that "
            f"do, or pass --config.optimizer.frozen_steps.{group}=0."
        )


def _require_parts(params: PyTree, abstract: PyTree, path: Path) -> None:
    """Refuses what is not the whole model, the whole of its VRT, or all its SpyNet."""
    found, wanted = map(checkpoint.parameter_shapes, (params, abstract))
    parts = (f"{_VRT}/spynet/", "spynet/", f"{_VRT}/")
    prefix = next((p for p in parts if all(n.startswith(p) for n in found)), "")
    wanted = {name: shape for name, shape in wanted.items() if name.startswith(prefix)}
    if told := checkpoint.difference(found, wanted):
        raise ValueError(
            f"train.pretrained is {path}, which holds other parameters than the model: "
            f"{told}; take the model.variant, and the fusion, that it was trained with."
        )
