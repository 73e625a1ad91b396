"""One mesh of devices, and where parameters and batches lie on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# A smaller array costs more to gather than it saves by being shared.
MIN_SHARDED_SIZE = 2**12


def make_mesh(
    *, data: int = -1, fsdp: int = 1, devices: Sequence[Any] | None = None
) -> Mesh:
    """A mesh ('data', 'fsdp') over all devices of all processes.

    Args:
      data: devices that share the batch; -1 takes all that are left.
      fsdp: devices that share each parameter; they share the batch too.
      devices: in the place of all there are.

    Raises:
      ValueError: data * fsdp is not the number of devices.
    """
    count = jax.device_count() if devices is None else len(devices)
    if data == -1:
        data = count // fsdp
    if data * fsdp != count:
        raise ValueError(
            f"a mesh of data={data} times fsdp={fsdp} does not make the {count} "
            "device(s) found; leave data at -1 and take a divisor of that for fsdp."
        )
    # Explicit axes, the default of make_mesh, refuse the reshape of a window partition.
    return jax.make_mesh(
        (data, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def parameter_spec(shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    """Splits the largest dimension that `fsdp` divides; small arrays stay whole."""
    size = int(np.prod(shape))
    dimensions = [i for i, length in enumerate(shape) if length % fsdp == 0]
    if fsdp == 1 or size < MIN_SHARDED_SIZE or not dimensions:
        return PartitionSpec()
    largest = max(dimensions, key=lambda i: shape[i])
    return PartitionSpec(*("fsdp" if i == largest else None for i in range(len(shape))))


def state_sharding(abstract: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a parameter tree or training state."""
    return jax.tree.map(
        lambda x: NamedSharding(mesh, parameter_spec(x.shape, mesh.shape["fsdp"])),
        abstract,
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Clips are dealt out over all devices, along both axes of the mesh."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def over_clips(
    function: Callable[[Any, Any], Any], mesh: Mesh | None
) -> Callable[[Any, Any], Any]:
    """`function(shared, clips)` where each device computes on its own clips alone.

    The compiler cannot see that loops over chunks and gathers stay within a clip: left
    to itself it gathers the features of all devices for each of them. Here nothing
    passes between devices but `shared`, and the sum of its gradients.

    Args:
      function: treats clips independently.
      mesh: over which the leading axis of each array of `clips`, and of the result, is
        dealt out; None, or a mesh of one device, leaves the function as it is.
    """
    if mesh is None or mesh.size == 1:
        return function
    whole, dealt = PartitionSpec(), PartitionSpec(("data", "fsdp"))
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(whole, dealt),
        out_specs=dealt,
        # The loops over chunks have derivatives of their own, which the check of what
        # varies between devices does not follow.
        check_vma=False,
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Moves this process's clips to its devices, as its part of the global batch."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, array)
        for name, array in batch.items()
    }


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """Moves arrays that all processes have alike to every device, whole."""
    sharding = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def put_whole(array: Any, dtype: Any, place: NamedSharding) -> jax.Array:
    """Moves an array that all processes have alike to where each part of it belongs."""
    whole = np.asarray(array, dtype)
    return jax.make_array_from_callback(whole.shape, place, lambda part: whole[part])


def to_host(tree: Any) -> Any:
    """Whole arrays in the memory of each process; every process must call it."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_get(tree)
